"""What a worker does with the rows it holds: read, run as one batch, complete each.

Logs carry identifiers and reference numbers, never a fact about a patient.
"""

from __future__ import annotations

import hashlib
import io
import logging
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import numpy as np
from celery.exceptions import SoftTimeLimitExceeded
from django.conf import settings
from django.db import InterfaceError, OperationalError, transaction
from django.utils import timezone
from PIL import Image as Pillow

from classifier.choices import ActorKind, Decision, State
from classifier.models import Analysis, ModelVersion, Prediction
from classifier.services import audit
from classifier.services.answers import hold_no_longer_than_the_lease, rank_of, store_together
from classifier.services.claims import (
    Claimed,
    attempts_left,
    back_off,
    claim_batch,
    new_reference,
)
from classifier.services.model_versions import verified_release
from classifier.services.moves import move
from classifier.services.moves import worker as worker_actor
from mlcore.bundle import ReleaseError
from mlcore.predictor import Predictor
from mlcore.quality import stored_quality

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from mlcore.predictor import Result
    from mlcore.quality import Quality

logger = logging.getLogger(__name__)

# The loaded version of each label set: a switch to another lets go of the one before.
_predictors: dict[str, tuple[UUID, Predictor]] = {}
_predictors_lock = threading.Lock()
# Those that run beside it, once there was more than a few rows to run.
_more: dict[str, list[Predictor]] = {}
_CORES = os.process_cpu_count() if hasattr(os, "process_cpu_count") else os.cpu_count()
_LANES = min(2, _CORES or 1)
_THREADS = max(1, (_CORES or 1) // _LANES)
# From so many rows on they are shared out, and stored together.
MANY = 4
_MOST_TOGETHER = 8
# On one core four at a time are as fast as eight, and need half the memory.
_MOST_AT_ONCE = 4


class InputFaultError(Exception):
    """The stored input of one analysis cannot be used; trying again will not help.

    Attributes:
        code: the failure code shown with the analysis.
    """

    def __init__(self, code: str) -> None:
        """Keep the code."""
        self.code = code
        super().__init__(code)


@dataclass(frozen=True)
class _Job:
    analysis: Analysis
    picture: Pillow.Image
    quality: Quality | None
    read_ms: float


def predictor_for(version: ModelVersion) -> Predictor:
    """Return the loaded predictor of a version; loaded once a process, in the process that runs it.

    Raises:
        ReleaseError: its files are missing or were changed.
    """
    return _lanes_for(version, 1)[0]


def _lanes_for(version: ModelVersion, count: int) -> list[Predictor]:
    """Return predictors that run beside each other, each with its share of the cores.

    Two that take a picture each are faster than one that shares a picture among two cores, and
    while one decodes the other computes.

    Raises:
        ReleaseError: the version's files are missing or were changed.
    """
    with _predictors_lock:
        pk, first = _predictors.get(version.label_set, (None, None))
        if first is None or pk != version.pk:
            first = Predictor(
                verified_release(version), engine=settings.MLCORE_ENGINE, threads=_THREADS
            )
            _predictors[version.label_set] = (version.pk, first)
            _more.pop(version.label_set, None)
        more = _more.setdefault(version.label_set, [])
        while len(more) < count - 1:
            more.append(Predictor(first.release, engine=settings.MLCORE_ENGINE, threads=_THREADS))
        return [first, *more[: count - 1]]


def run_batch(*, worker: str) -> int:
    """Claim what is due, run it and complete it.

    Args:
        worker: this worker's name.

    Returns:
        How many rows were claimed; 0 when nothing is due.

    Raises:
        SoftTimeLimitExceeded: the batch took too long; what was not finished is queued again.
    """
    claimed = claim_batch(worker=worker)
    if claimed is None:
        return 0
    analyses = list(
        Analysis.objects.filter(pk__in=claimed.attempts).select_related("image").order_by("pk")
    )
    for analysis in analyses:
        analysis.attempt = claimed.attempts[analysis.pk]
    try:
        if len(analyses) < MANY or not _run_in_lanes(analyses, claimed, worker):
            _run(_read_all(analyses, worker), claimed, worker)
    except SoftTimeLimitExceeded:
        # Where a row is done already, putting it back changes nothing.
        for analysis in analyses:
            _try_later(analysis, worker, "time_limit")
        raise
    return len(analyses)


def _read_all(analyses: Sequence[Analysis], worker: str) -> list[_Job]:
    jobs = []
    for analysis in analyses:
        try:
            jobs.append(_read(analysis))
        except SoftTimeLimitExceeded:
            raise
        except InputFaultError as fault:
            _fail(analysis, worker, fault.code)
        except Exception:  # noqa: BLE001 - whatever storage or decoder raise, the row must move
            _try_later(analysis, worker, "storage_error")
    return jobs


def _read(analysis: Analysis) -> _Job:
    started = time.perf_counter()
    try:
        with analysis.image.network_source.open("rb") as stream:
            data = stream.read()
    except FileNotFoundError as error:
        raise InputFaultError("input_missing") from error
    if hashlib.sha256(data).hexdigest() != analysis.image.network_source_sha256:
        raise InputFaultError("input_changed")
    # The file is our own lossless copy and its hash is right, so no gate is needed here.
    picture = Pillow.open(io.BytesIO(data), formats=["PNG"]).convert("RGB")
    quality = stored_quality(picture)
    return _Job(analysis, picture, quality, (time.perf_counter() - started) * 1000)


def _run_in_lanes(analyses: Sequence[Analysis], claimed: Claimed, worker: str) -> bool:
    """Read and run parts of a batch beside each other; store each while others are computed.

    A part in which anything goes wrong is read and run again in turn, where each fault is told
    apart and costs its own row only.

    Returns:
        False where the network cannot be loaded, and nothing was done.
    """
    version = claimed.model_version
    try:
        lanes = _lanes_for(version, _LANES)
    except ReleaseError:
        return False
    size = min(_MOST_TOGETHER, -(-len(analyses) // len(lanes)))
    parts = [analyses[i : i + size] for i in range(0, len(analyses), size)]
    idle: SimpleQueue[Predictor] = SimpleQueue()
    for lane in lanes:
        idle.put(lane)

    def read_and_run(part: Sequence[Analysis]) -> tuple[list[_Job], list[Result], float]:
        lane = idle.get()
        try:
            jobs = [_read(analysis) for analysis in part]
            started = time.perf_counter()
            results = _predict(lane, jobs)
            return jobs, results, (time.perf_counter() - started) * 1000 / len(jobs)
        finally:
            idle.put(lane)

    pool = ThreadPoolExecutor(len(lanes), thread_name_prefix="lane")
    try:
        for part, future in [(part, pool.submit(read_and_run, part)) for part in parts]:
            try:
                jobs, results, network_ms = future.result()
            except SoftTimeLimitExceeded:
                raise
            except Exception:  # whatever it is, it is met again and handled in turn
                logger.info("A part of %d rows is run in turn.", len(part), exc_info=True)
                _run(_read_all(part, worker), claimed, worker)
            else:
                _complete_all(jobs, results, lanes[0], version, worker, network_ms)
    finally:
        # A batch that took too long does not wait for what nobody will ask for.
        pool.shutdown(wait=False, cancel_futures=True)
    return True


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
            _try_later(job.analysis, worker, "release_error")
        return
    except Exception:  # whatever an engine raises, the rows must move
        if len(jobs) > 1:
            logger.exception("A batch of %d broke; its rows are run one by one.", len(jobs))
            for job in jobs:
                _run([job], claimed, worker)
        else:
            _try_later(jobs[0].analysis, worker, "network_error")
        return
    network_ms = (time.perf_counter() - started) * 1000 / len(jobs)
    _complete_all(jobs, results, predictor, claimed.model_version, worker, network_ms)


def _complete_all(
    jobs: Sequence[_Job],
    results: Sequence[Result],
    predictor: Predictor,
    version: ModelVersion,
    worker: str,
    network_ms: float,
) -> None:
    """Store many results together; where one of them does not fit, each by itself."""
    if len(jobs) >= MANY:
        try:
            if store_together(
                [
                    (job.analysis, _row(job.analysis, result, predictor, version, timings))
                    for job, result in zip(jobs, results, strict=True)
                    for timings in [_timings(job, network_ms)]
                ],
                worker=worker,
            ):
                return
        except SoftTimeLimitExceeded:
            raise
        except Exception:  # whatever the database raises, it is met again and handled in turn
            logger.info("%d results are stored one by one.", len(jobs), exc_info=True)
    for job, result in zip(jobs, results, strict=True):
        _complete_or_put_back(job, result, predictor, version, worker, network_ms)


def _complete_or_put_back(
    job: _Job,
    result: Result,
    predictor: Predictor,
    version: ModelVersion,
    worker: str,
    network_ms: float,
) -> None:
    try:
        _complete(job, result, predictor, version, worker, network_ms)
    except (OperationalError, InterfaceError):
        # The lease runs out and the row is taken again; nothing is written twice.
        logger.exception("The result of %s could not be stored now.", job.analysis.pk)
    except SoftTimeLimitExceeded:
        raise
    except Exception:  # noqa: BLE001 - one bad result must not cost its neighbours theirs
        _try_later(job.analysis, worker, "result_error")


def _complete(
    job: _Job,
    result: Result,
    predictor: Predictor,
    version: ModelVersion,
    worker: str,
    network_ms: float,
) -> None:
    analysis = job.analysis
    timings = _timings(job, network_ms)
    with transaction.atomic():
        hold_no_longer_than_the_lease()
        prediction = _store(analysis, result, predictor, version, timings)
        rejected = prediction.decision == Decision.REJECTED
        done = move(
            analysis_id=analysis.pk,
            origin=State.RUNNING,
            target=State.REJECTED if rejected else State.SUCCEEDED,
            attempt=analysis.attempt,
            actor=worker_actor(worker),
            prediction=prediction,
            decision=prediction.decision,
            top_label=prediction.top_label,
            triage_rank=rank_of(prediction),
        )
        if done:
            # What it says stays out: who reads the trail may still have to read the image.
            audit.record(
                action="analysis.answered",
                actor_kind=ActorKind.WORKER,
                clinic_id=analysis.clinic_id,
                subject=analysis,
                worker=worker,
                attempt=analysis.attempt,
                version=str(version),
            )
        else:
            # The lease was lost meanwhile: whoever holds the row now finds the same result.
            transaction.set_rollback(True)
    if not done:
        logger.warning("A stale result of %s was dropped.", analysis.pk)


def _timings(job: _Job, network_ms: float) -> dict[str, float]:
    waited = (job.analysis.started_at or timezone.now()) - job.analysis.created_at
    return {
        "queue": round(waited.total_seconds() * 1000, 1),
        "read": round(job.read_ms, 1),
        "network": round(network_ms, 1),
    }


def _store(
    analysis: Analysis,
    result: Result,
    predictor: Predictor,
    version: ModelVersion,
    timings: dict[str, float],
) -> Prediction:
    """Insert the result unless this version has judged this image before; return what is stored."""
    row = _row(analysis, result, predictor, version, timings)
    Prediction.objects.bulk_create([row], ignore_conflicts=True)
    return Prediction.objects.get(image_id=analysis.image_id, model_version=version)


def _row(
    analysis: Analysis,
    result: Result,
    predictor: Predictor,
    version: ModelVersion,
    timings: dict[str, float],
) -> Prediction:
    return Prediction(
        clinic_id=analysis.clinic_id,
        image_id=analysis.image_id,
        model_version=version,
        decision=result.decision,
        reason_code=result.reason_code,
        reason=result.reason,
        probabilities=result.probabilities,
        top_label=result.top,
        confidence=min(1.0, max(0.0, result.confidence)),
        triage_group=result.triage_group,
        evidence_maps={key: _map_facts(result, key) for key in result.probabilities},
        engine=predictor.engine.name,
        artefact_sha256=predictor.artefact_sha256,
        input_sha256=analysis.image.network_source_sha256,
        attempt=analysis.attempt,
        timings_ms=timings,
    )


def _map_facts(result: Result, key: str) -> dict[str, Any]:
    values = np.rint(result.map_for(key) * 255).astype(int)
    return {
        "height": values.shape[0],
        "width": values.shape[1],
        "values": values.ravel().tolist(),
    }


def _try_later(analysis: Analysis, worker: str, code: str) -> None:
    """Put a row back after a fault that may pass, or fail it when no attempt is left.

    Call it where the fault is handled: it goes to the log with a reference number.
    """
    reference = new_reference()
    logger.exception(  # noqa: LOG004 - called while the fault is handled
        "%s: %s, reference %s", analysis.pk, code, reference
    )
    if not attempts_left(analysis):
        _fail(analysis, worker, code, reference)
        return
    move(
        analysis_id=analysis.pk,
        origin=State.RUNNING,
        target=State.QUEUED,
        attempt=analysis.attempt,
        actor=worker_actor(worker),
        reason=f"{code}, reference {reference}",
        not_before=timezone.now() + back_off(analysis),
    )


def _fail(analysis: Analysis, worker: str, code: str, reference: str | None = None) -> None:
    reference = reference or new_reference()
    logger.error("%s failed: %s, reference %s", analysis.pk, code, reference)
    with transaction.atomic():
        failed = move(
            analysis_id=analysis.pk,
            origin=State.RUNNING,
            target=State.FAILED,
            attempt=analysis.attempt,
            actor=worker_actor(worker),
            reason=code,
            failure_code=code,
            failure_reference=reference,
        )
        if failed:
            audit.record(
                action="analysis.failed",
                actor_kind=ActorKind.WORKER,
                clinic_id=analysis.clinic_id,
                subject=analysis,
                worker=worker,
                attempt=analysis.attempt,
                code=code,
            )
