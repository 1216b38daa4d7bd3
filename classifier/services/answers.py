"""Storing what a worker's networks said: together where it can be, and each by itself where not."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from celery.exceptions import SoftTimeLimitExceeded
from django.conf import settings
from django.db import InterfaceError, OperationalError, connection, transaction

from classifier.choices import ActorKind, Decision, State
from classifier.models import AuditEvent, Embedding, Prediction
from classifier.models.embeddings import DIMENSIONS
from classifier.services import audit
from classifier.services.disagreements import note_answers
from classifier.services.faults import try_later
from classifier.services.moves import Step, move, move_all
from classifier.services.moves import worker as worker_actor
from mlcore.labels import TRIAGE_ORDER, UNJUDGED_RANK

if TYPE_CHECKING:
    from collections.abc import Sequence

    from classifier.models import Analysis, ModelVersion
    from mlcore.predictor import Predictor, Result

logger = logging.getLogger(__name__)

# From so many rows on they are stored together.
MANY = 4


@dataclass(frozen=True)
class Answer:
    """What one network said about the image of one analysis.

    Attributes:
        analysis: the row, with the attempt that the worker holds it for.
        result: what the network said.
        predictor: the loaded network.
        version: its version.
        timings_ms: how long each step took, in milliseconds, by the step's name.
    """

    analysis: Analysis
    result: Result
    predictor: Predictor
    version: ModelVersion
    timings_ms: dict[str, float]

    def row(self) -> Prediction:
        """Return the row that keeps it, not stored yet."""
        result = self.result
        return Prediction(
            clinic_id=self.analysis.clinic_id,
            image_id=self.analysis.image_id,
            model_version=self.version,
            decision=result.decision,
            reason_code=result.reason_code,
            reason=result.reason,
            probabilities=result.probabilities,
            top_label=result.top,
            confidence=min(1.0, max(0.0, result.confidence)),
            triage_group=result.triage_group,
            evidence_maps={key: _map_facts(result, key) for key in result.probabilities},
            engine=self.predictor.engine.name,
            artefact_sha256=self.predictor.artefact_sha256,
            input_sha256=self.analysis.image.network_source_sha256,
            attempt=self.analysis.attempt,
            measures=stored_measures(result),
            timings_ms=self.timings_ms,
        )


def complete_all(answers: Sequence[Answer], *, worker: str) -> None:
    """Store many results together; where one of them does not fit, each by itself.

    Raises:
        SoftTimeLimitExceeded: the batch took too long.
    """
    if len(answers) >= MANY:
        try:
            pairs = [(answer.analysis, answer.row()) for answer in answers]
            with transaction.atomic():
                if store_together(pairs, worker=worker):
                    keep_embeddings(answers)
                    return
        except SoftTimeLimitExceeded:
            raise
        except Exception:  # whatever the database raises, it is met again and handled in turn
            logger.info("%d results are stored one by one.", len(answers), exc_info=True)
    for answer in answers:
        _complete_or_put_back(answer, worker)


def store_together(answers: Sequence[tuple[Analysis, Prediction]], *, worker: str) -> bool:
    """Store the results of one model version and complete their analyses: all of them, or none.

    Args:
        answers: analyses that the worker holds, each with its unsaved result.
        worker: its name.

    Returns:
        False where one of the analyses is not the worker's any more; nothing is stored then.
    """
    with transaction.atomic():
        hold_no_longer_than_the_lease()
        # Whoever judged one of these images with this version before keeps the result's place.
        Prediction.objects.bulk_create((row for _, row in answers), ignore_conflicts=True)
        stored = Prediction.objects.filter(
            model_version=answers[0][1].model_version_id,
            image__in=[row.image_id for _, row in answers],
        )
        by_image = {
            row.image_id: row
            for row in stored.only("image", "decision", "top_label", "triage_group")
        }
        steps = [_step(analysis, by_image[analysis.image_id]) for analysis, _ in answers]
        moved = move_all(origin=State.RUNNING, steps=steps, actor=worker_actor(worker))
        if moved:
            note_answers(answers=[(each, by_image[each.image_id]) for each, _row in answers])
            # What it says stays out: who reads the trail may still have to read the image.
            AuditEvent.objects.bulk_create(
                AuditEvent(
                    action="analysis.answered",
                    actor_kind=ActorKind.WORKER,
                    clinic_id=analysis.clinic_id,
                    subject_type="analysis",
                    subject_id=str(analysis.pk),
                    patient_key=analysis.patient_id,
                    details={
                        "worker": worker,
                        "attempt": analysis.attempt,
                        "version": str(row.model_version),
                    },
                )
                for analysis, row in answers
            )
        else:
            transaction.set_rollback(True)
    return moved


def keep_embeddings(answers: Sequence[Answer]) -> None:
    """Keep where one model version places the images of stored results.

    A network with more features than the column has keeps none: its cases have no similar ones.
    """
    images = [answer.analysis.image_id for answer in answers]
    stored = Prediction.objects.filter(model_version=answers[0].version, image__in=images)
    keys = dict(stored.values_list("image", "pk"))
    Embedding.objects.bulk_create(
        (
            Embedding(
                prediction_id=keys[answer.analysis.image_id],
                clinic_id=answer.analysis.clinic_id,
                patient_id=answer.analysis.patient_id,
                model_version=answer.version,
                vector=vector,
            )
            for answer in answers
            if (vector := place_of(answer.result)) is not None
        ),
        ignore_conflicts=True,
    )


def place_of(result: Result) -> list[float] | None:
    """Return where a network places an image as its column keeps it; None for nowhere."""
    features = result.embedding.ravel()
    if features.size > DIMENSIONS or not features.any():
        return None
    vector: list[float] = np.pad(features, (0, DIMENSIONS - features.size)).tolist()
    return vector


def _complete_or_put_back(answer: Answer, worker: str) -> None:
    try:
        _complete(answer, worker)
    except (OperationalError, InterfaceError):
        # The lease runs out and the row is taken again; nothing is written twice.
        logger.exception("The result of %s could not be stored now.", answer.analysis.pk)
    except SoftTimeLimitExceeded:
        raise
    except Exception:  # noqa: BLE001 - one bad result must not cost its neighbours theirs
        try_later(answer.analysis, worker, "result_error")


def _complete(answer: Answer, worker: str) -> None:
    analysis = answer.analysis
    with transaction.atomic():
        hold_no_longer_than_the_lease()
        prediction = _store(answer)
        step = _step(analysis, prediction)
        done = move(
            analysis_id=analysis.pk,
            origin=State.RUNNING,
            target=step.target,
            attempt=analysis.attempt,
            actor=worker_actor(worker),
            **step.facts,
        )
        if done:
            keep_embeddings([answer])
            note_answers(answers=[(analysis, prediction)])
            # What it says stays out: who reads the trail may still have to read the image.
            audit.record(
                action="analysis.answered",
                actor_kind=ActorKind.WORKER,
                clinic_id=analysis.clinic_id,
                subject=analysis,
                worker=worker,
                attempt=analysis.attempt,
                version=str(answer.version),
            )
        else:
            # The lease was lost meanwhile: whoever holds the row now finds the same result.
            transaction.set_rollback(True)
    if not done:
        logger.warning("A stale result of %s was dropped.", analysis.pk)


def _store(answer: Answer) -> Prediction:
    """Insert the result unless this version has judged this image before; return what is stored."""
    Prediction.objects.bulk_create([answer.row()], ignore_conflicts=True)
    return Prediction.objects.get(image_id=answer.analysis.image_id, model_version=answer.version)


def stored_measures(result: Result) -> dict[str, float]:
    """Return the measures as a release's reference keeps its own: five decimals.

    JSON has no word for what is not finite: a measure that is not is left out, and so is missing
    from what is compared.
    """
    return {
        name: round(float(value), 5)
        for name, value in result.measures.items()
        if math.isfinite(value)
    }


def _map_facts(result: Result, key: str) -> dict[str, Any]:
    values = np.rint(result.map_for(key) * 255).astype(int)
    return {
        "height": values.shape[0],
        "width": values.shape[1],
        "values": values.ravel().tolist(),
    }


def _step(analysis: Analysis, prediction: Prediction) -> Step:
    rejected = prediction.decision == Decision.REJECTED
    facts: dict[str, Any] = {
        "prediction": prediction,
        "decision": prediction.decision,
        "top_label": prediction.top_label,
        "triage_rank": rank_of(prediction),
    }
    target = State.REJECTED if rejected else State.SUCCEEDED
    return Step(analysis.pk, target, analysis.attempt, facts)


def rank_of(prediction: Prediction) -> int:
    """Return where on the worklist it belongs: the lower, the more urgent."""
    rank = TRIAGE_ORDER.index(prediction.triage_group)
    if prediction.decision == Decision.ANSWER:
        return rank
    # What the network could not judge must not sink to the end of the worklist.
    return min(rank, UNJUDGED_RANK)


def hold_no_longer_than_the_lease() -> None:
    """Let the database end this transaction if the process freezes in it.

    A suspended machine would hold the row, and the place of the result, for as long as it sleeps:
    neither the sweep nor another worker could get past it.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SET LOCAL idle_in_transaction_session_timeout = %s",
            [settings.ANALYSIS_LEASE_SECONDS * 1000],
        )
