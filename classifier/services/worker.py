"""What a worker does with the rows it holds: read, run as one batch, complete each.

Logs carry identifiers and reference numbers, never a fact about a patient.
"""

from __future__ import annotations

import hashlib
import io
import logging
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from celery.exceptions import SoftTimeLimitExceeded
from django.conf import settings
from django.db import InterfaceError, OperationalError, connection, transaction
from django.utils import timezone
from PIL import Image as Pillow

from classifier.choices import ActorKind, Decision, State
from classifier.models import Analysis, ModelVersion, Prediction
from classifier.services import audit
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
from mlcore.labels import TRIAGE_ORDER, UNJUDGED_RANK
from mlcore.predictor import Predictor

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from mlcore.predictor import Result

logger = logging.getLogger(__name__)

# The loaded version of each label set: a switch to another lets go of the one before.
_predictors: dict[str, tuple[UUID, Predictor]] = {}
_predictors_lock = threading.Lock()


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
    read_ms: float


def predictor_for(version: ModelVersion) -> Predictor:
    """Return the loaded predictor of a version; loaded once a process, in the process that runs it.

    Raises:
        ReleaseError: its files are missing or were changed.
    """
    with _predictors_lock:
        pk, predictor = _predictors.get(version.label_set, (None, None))
        if predictor is None or pk != version.pk:
            predictor = Predictor(verified_release(version), engine=settings.MLCORE_ENGINE)
            _predictors[version.label_set] = (version.pk, predictor)
        return predictor


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
    return _Job(analysis, picture, (time.perf_counter() - started) * 1000)


def _run(jobs: Sequence[_Job], claimed: Claimed, worker: str) -> None:
    """Run jobs as one batch; if that breaks, one by one, so that a bad picture fails alone."""
    if not jobs:
        return
    started = time.perf_counter()
    try:
        predictor = predictor_for(claimed.model_version)
        results = predictor.predict([job.picture for job in jobs])
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
    for job, result in zip(jobs, results, strict=True):
        _complete_or_put_back(job, result, predictor, claimed.model_version, worker, network_ms)


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
    waited = (analysis.started_at or timezone.now()) - analysis.created_at
    timings = {
        "queue": round(waited.total_seconds() * 1000, 1),
        "read": round(job.read_ms, 1),
        "network": round(network_ms, 1),
    }
    with transaction.atomic():
        _hold_no_longer_than_the_lease()
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
            triage_rank=_rank(prediction),
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


def _hold_no_longer_than_the_lease() -> None:
    """Let the database end this transaction if the process freezes in it.

    A suspended machine would hold the row, and the place of the result, for as long as it sleeps:
    neither the sweep nor another worker could get past it.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SET LOCAL idle_in_transaction_session_timeout = %s",
            [settings.ANALYSIS_LEASE_SECONDS * 1000],
        )


def _store(
    analysis: Analysis,
    result: Result,
    predictor: Predictor,
    version: ModelVersion,
    timings: dict[str, float],
) -> Prediction:
    """Insert the result unless this version has judged this image before; return what is stored."""
    row = Prediction(
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
    Prediction.objects.bulk_create([row], ignore_conflicts=True)
    return Prediction.objects.get(image_id=analysis.image_id, model_version=version)


def _map_facts(result: Result, key: str) -> dict[str, Any]:
    values = np.rint(result.map_for(key) * 255).astype(int)
    return {
        "height": values.shape[0],
        "width": values.shape[1],
        "values": [int(value) for value in values.ravel()],
    }


def _rank(prediction: Prediction) -> int:
    rank = TRIAGE_ORDER.index(prediction.triage_group)
    if prediction.decision == Decision.ANSWER:
        return rank
    # What the network could not judge must not sink to the end of the worklist.
    return min(rank, UNJUDGED_RANK)


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
