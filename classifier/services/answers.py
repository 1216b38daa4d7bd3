"""Storing what a worker's networks said: many results in one transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import connection, transaction

from classifier.choices import ActorKind, Decision, State
from classifier.models import AuditEvent, Prediction
from classifier.services.moves import Step, move_all
from classifier.services.moves import worker as worker_actor
from mlcore.labels import TRIAGE_ORDER, UNJUDGED_RANK

if TYPE_CHECKING:
    from collections.abc import Sequence

    from classifier.models import Analysis


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
        by_image = {row.image_id: row for row in stored.defer("evidence_maps")}
        steps = [_step(analysis, by_image[analysis.image_id]) for analysis, _ in answers]
        moved = move_all(origin=State.RUNNING, steps=steps, actor=worker_actor(worker))
        if moved:
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
