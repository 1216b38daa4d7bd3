"""The clinic's register.

Annotations are read at run time here, so there is no ``from __future__ import annotations``.
"""

import uuid
from typing import Any

from django.http import HttpRequest
from ninja import Router

from classifier.api.auth import Token, token_of
from classifier.api.reach import PAGE, Limit, no_such_row
from classifier.api.schemas import Day, RegisterPage, RegisterRow
from classifier.choices import BodySite, Decision, Modality, ReviewState, Scope, State
from classifier.selectors.outcomes import outcome_name
from classifier.selectors.paging import UnknownRowError
from classifier.selectors.register import Registered, register_page
from classifier.services import audit

router = Router(tags=["Register"])


@router.get(
    "/register",
    response=RegisterPage,
    auth=Token(Scope.EXPORT),
    url_name="register",
    summary="Export the clinic's register",
)
def get_register(
    request: HttpRequest,
    since: Day | None = None,
    until: Day | None = None,
    after: uuid.UUID | None = None,
    limit: Limit = PAGE,
) -> Any:
    """Page through all analyses of the clinic, newest first; both days are included."""
    token = token_of(request)
    try:
        rows, following = register_page(
            token.user, token.clinic, {"since": since, "until": until}, after=after, size=limit
        )
    except UnknownRowError as error:
        raise no_such_row() from error
    audit.record(
        action="register.exported",
        actor=token.user,
        clinic_id=token.clinic_id,
        filters=[name for name, day in (("since", since), ("until", until)) if day],
        rows=len(rows),
    )
    return RegisterPage(items=[_told(row) for row in rows], next=following)


def _told(row: Registered) -> RegisterRow:
    analysis = row.analysis
    lesion = analysis.image.lesion
    prediction = analysis.prediction if row.revealed else None
    return RegisterRow(
        analysis=analysis.pk,
        patient=analysis.patient_id,
        record_number=analysis.patient.record_number,
        patient_name=analysis.patient.name,
        modality=Modality(analysis.modality),
        lesion=lesion.label if lesion else None,
        body_site=BodySite(lesion.body_site) if lesion else None,
        requested_at=analysis.created_at,
        state=State(analysis.state),
        hidden=analysis.prediction_id is not None and not row.revealed,
        decision=Decision(prediction.decision) if prediction else None,
        first_label=(analysis.top_label or None) if prediction else None,
        probability=prediction.confidence if prediction else None,
        model_version=str(analysis.model_version) if analysis.model_version else None,
        review_state=ReviewState(analysis.review_state),
        reviewer=str(analysis.last_reviewer) if analysis.last_reviewer else None,
        final_diagnosis=row.final or None,
        outcome=outcome_name(row.outcome) if row.outcome else None,
        outcome_found_on=row.outcome.found_on if row.outcome else None,
    )
