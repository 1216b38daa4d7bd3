"""What a worker does with the rows it holds: read, run as one batch, complete each.

Logs carry identifiers and reference numbers, never a fact about a patient.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TYPE_CHECKING, Self

from celery.exceptions import SoftTimeLimitExceeded
from django.conf import settings
from django.utils import timezone

from classifier.models import Analysis
from classifier.services.answers import MANY, Answer, complete_all
from classifier.services.claims import Claimed, claim_batch
from classifier.services.faults import fail, try_later
from classifier.services.network_inputs import InputFaultError, stored_input
from classifier.services.predictors import LANES, lanes_for, predictor_for
from mlcore.bundle import ReleaseError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from uuid import UUID

    from PIL import Image as Pillow

    from classifier.models import ModelVersion
    from mlcore.predictor import Predictor, Result
    from mlcore.quality import Quality

logger = logging.getLogger(__name__)

_MOST_TOGETHER = 8
_MOST_STORED = 32
# On one core two at a time are as fast as four or eight, and need the least memory.
_MOST_AT_ONCE = 2


@dataclass(frozen=True)
class _Job:
    analysis: Analysis
    picture: Pillow.Image
    quality: Quality | None
    read_ms: float


def run_batch(*, worker: str, go_on_seconds: float = 0.0) -> int:
    """Claim what is due, run it and complete it.

    Args:
        worker: this worker's name.
        go_on_seconds: so long a full batch is followed by another, which is claimed while the one
            before is computed and stored: no core waits for the database.

    Returns:
        How many rows were claimed; 0 when nothing is due.

    Raises:
        SoftTimeLimitExceeded: it took too long; what was not finished is queued again.
    """
    until = time.monotonic() + go_on_seconds
    count = 0
    with _Lanes(worker) as lanes:
        while (claimed := claim_batch(worker=worker)) is not None:
            analyses = _rows_of(claimed)
            count += len(analyses)
            if not lanes.put(analyses, claimed):
                # Few, or one that was tried before: if it kills the worker, it does so alone.
                lanes.settle()
                lanes.run_in_turn(analyses, claimed)
                break
            if len(analyses) < settings.ANALYSIS_BATCH_SIZE or time.monotonic() >= until:
                break
            lanes.settle(most=LANES)
        lanes.settle()
    return count


def _rows_of(claimed: Claimed) -> list[Analysis]:
    rows = Analysis.objects.filter(pk__in=claimed.attempts).select_related("image").order_by("pk")
    analyses = list(rows)
    for analysis in analyses:
        analysis.attempt = claimed.attempts[analysis.pk]
    return analyses


@dataclass(frozen=True)
class _Part:
    analyses: Sequence[Analysis]
    claimed: Claimed
    answers: Future[list[Answer]]


class _Lanes:
    """Reads and runs parts of batches beside each other, and stores each while others are computed.

    A part in which anything goes wrong is read and run again in turn, where each fault is told
    apart and costs its own row only. Where time runs out, what was not completed is queued again.
    """

    def __init__(self, worker: str) -> None:
        self._worker = worker
        self._pool = ThreadPoolExecutor(LANES, thread_name_prefix="lane")
        self._idle: dict[UUID, SimpleQueue[Predictor]] = {}
        self._under_way: deque[_Part] = deque()
        self._held: dict[UUID, Analysis] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_rest: object) -> None:
        # What took too long does not wait for what nobody will ask for.
        self._pool.shutdown(wait=False, cancel_futures=True)
        if kind is not None and issubclass(kind, SoftTimeLimitExceeded):
            for analysis in self._held.values():
                try_later(analysis, self._worker, "time_limit")

    def put(self, analyses: Sequence[Analysis], claimed: Claimed) -> bool:
        """Begin with a batch.

        Returns:
            False where it is too small to be parted or the network cannot be loaded; nothing has
            begun then.
        """
        self._held |= {analysis.pk: analysis for analysis in analyses}
        version = claimed.model_version
        try:
            idle = self._predictors(version) if len(analyses) >= MANY else None
        except ReleaseError:
            idle = None
        if idle is None:
            return False
        size = min(_MOST_TOGETHER, -(-len(analyses) // LANES))
        for i in range(0, len(analyses), size):
            part = analyses[i : i + size]
            future = self._pool.submit(_read_and_run, part, version, idle)
            self._under_way.append(_Part(part, claimed, future))
        return True

    def settle(self, most: int = 0) -> None:
        """Store what is done, and wait until no more than so many parts are under way."""
        while len(self._under_way) > most:
            answers = self._next()
            # One transaction for what came to its end meanwhile.
            while len(answers) < _MOST_STORED and self._more_of(answers):
                answers += self._next()
            if answers:
                complete_all(answers, worker=self._worker)
                self._let_go(answer.analysis for answer in answers)

    def run_in_turn(self, analyses: Sequence[Analysis], claimed: Claimed) -> None:
        """Read and run rows as one batch, and one by one where that breaks."""
        _run(_read_all(analyses, self._worker), claimed, self._worker)
        self._let_go(analyses)

    def _predictors(self, version: ModelVersion) -> SimpleQueue[Predictor]:
        if version.pk not in self._idle:
            idle: SimpleQueue[Predictor] = SimpleQueue()
            for predictor in lanes_for(version, LANES):
                idle.put(predictor)
            self._idle[version.pk] = idle
        return self._idle[version.pk]

    def _next(self) -> list[Answer]:
        """Wait for the oldest part; where it broke, run it in turn and return nothing."""
        part = self._under_way.popleft()
        try:
            return part.answers.result()
        except SoftTimeLimitExceeded:
            raise
        except Exception:  # whatever it is, it is met again and handled in turn
            logger.info("A part of %d rows is run in turn.", len(part.analyses), exc_info=True)
            self.run_in_turn(part.analyses, part.claimed)
            return []

    def _more_of(self, answers: Sequence[Answer]) -> bool:
        if not (answers and self._under_way and self._under_way[0].answers.done()):
            return False
        part = self._under_way[0]
        # What broke is met after what is in hand was stored: it may take the worker with it.
        if part.answers.exception() is not None:
            return False
        return part.claimed.model_version.pk == answers[0].version.pk

    def _let_go(self, analyses: Iterable[Analysis]) -> None:
        for analysis in analyses:
            self._held.pop(analysis.pk, None)


def _read_and_run(
    part: Sequence[Analysis], version: ModelVersion, idle: SimpleQueue[Predictor]
) -> list[Answer]:
    predictor = idle.get()
    try:
        jobs = [_read(analysis) for analysis in part]
        started = time.perf_counter()
        results = _predict(predictor, jobs)
        network_ms = (time.perf_counter() - started) * 1000 / len(jobs)
        return _answers(jobs, results, predictor, version, network_ms)
    finally:
        idle.put(predictor)


def _read_all(analyses: Sequence[Analysis], worker: str) -> list[_Job]:
    jobs = []
    for analysis in analyses:
        try:
            jobs.append(_read(analysis))
        except SoftTimeLimitExceeded:
            raise
        except InputFaultError as fault:
            fail(analysis, worker, fault.code)
        except Exception:  # noqa: BLE001 - whatever storage or decoder raise, the row must move
            try_later(analysis, worker, "storage_error")
    return jobs


def _read(analysis: Analysis) -> _Job:
    started = time.perf_counter()
    picture, quality = stored_input(analysis.image)
    return _Job(analysis, picture, quality, (time.perf_counter() - started) * 1000)


def _predict(predictor: Predictor, jobs: Sequence[_Job]) -> list[Result]:
    results: list[Result] = []
    for i in range(0, len(jobs), _MOST_AT_ONCE):
        part = jobs[i : i + _MOST_AT_ONCE]
        results += predictor.predict([job.picture for job in part], [job.quality for job in part])
    return results


def _run(jobs: Sequence[_Job], claimed: Claimed, worker: str) -> None:
    """Run jobs as one batch; if that breaks, one by one, so that a bad picture fails alone."""
    if not jobs:
        return
    started = time.perf_counter()
    try:
        predictor = predictor_for(claimed.model_version)
        results = _predict(predictor, jobs)
    except SoftTimeLimitExceeded:
        raise
    except ReleaseError:
        # No picture is to blame, so none is tried by itself.
        for job in jobs:
            try_later(job.analysis, worker, "release_error")
        return
    except Exception:  # whatever an engine raises, the rows must move
        if len(jobs) > 1:
            logger.exception("A batch of %d broke; its rows are run one by one.", len(jobs))
            for job in jobs:
                _run([job], claimed, worker)
        else:
            try_later(jobs[0].analysis, worker, "network_error")
        return
    network_ms = (time.perf_counter() - started) * 1000 / len(jobs)
    answers = _answers(jobs, results, predictor, claimed.model_version, network_ms)
    complete_all(answers, worker=worker)


def _answers(
    jobs: Sequence[_Job],
    results: Sequence[Result],
    predictor: Predictor,
    version: ModelVersion,
    network_ms: float,
) -> list[Answer]:
    return [
        Answer(job.analysis, result, predictor, version, _timings(job, network_ms))
        for job, result in zip(jobs, results, strict=True)
    ]


def _timings(job: _Job, network_ms: float) -> dict[str, float]:
    waited = (job.analysis.started_at or timezone.now()) - job.analysis.created_at
    return {
        "queue": round(waited.total_seconds() * 1000, 1),
        "read": round(job.read_ms, 1),
        "network": round(network_ms, 1),
    }
