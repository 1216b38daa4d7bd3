"""Patients and lesions.

Annotations are read at run time here, so there is no ``from __future__ import annotations``.
"""

import uuid
from typing import Annotated, Any

from django.http import HttpRequest
from ninja import Query, Router

from classifier.api.auth import Token, token_of
from classifier.api.once import Key, done, once
from classifier.api.reach import PAGE, Limit, note_list, page_of, seen, visible, written
from classifier.api.schemas import (
    LesionIn,
    LesionList,
    LesionOut,
    ListedPatient,
    PatientIn,
    PatientOut,
    PatientPage,
)
from classifier.choices import BodySite, Scope, Sex, SkinType
from classifier.models import Lesion, Patient
from classifier.selectors.patients import lesions_of
from classifier.services import audit
from classifier.services.patients import add_lesion, register_patient
from classifier.services.sent_once import Answer

router = Router(tags=["Patients"])

Search = Annotated[
    str,
    Query(
        max_length=100,
        pattern=r"^[^\x00]*$",
        description="Words that the name or the record number contains.",
    ),
]


def told_patient(patient: Patient) -> PatientOut:
    """Return a patient's facts."""
    return PatientOut(
        id=patient.pk,
        clinic=patient.clinic_id,
        record_number=patient.record_number,
        name=patient.name,
        date_of_birth=patient.date_of_birth,
        sex=Sex(patient.sex),
        skin_type=SkinType(patient.skin_type),
        notes=patient.notes,
        archived=patient.archived,
        created_at=patient.created_at,
        updated_at=patient.updated_at,
    )


def told_lesion(lesion: Lesion) -> LesionOut:
    """Return a lesion's facts."""
    return LesionOut(
        id=lesion.pk,
        patient=lesion.patient_id,
        label=lesion.label,
        body_site=BodySite(lesion.body_site),
        first_seen=lesion.first_seen,
        created_at=lesion.created_at,
    )


@router.get(
    "/patients", response=PatientPage, auth=Token(Scope.READ), url_name="patients", summary="List"
)
def list_patients(
    request: HttpRequest,
    q: Search = "",
    archived: bool = False,  # noqa: FBT001, FBT002 - a parameter of the query
    after: uuid.UUID | None = None,
    limit: Limit = PAGE,
) -> Any:
    """List the clinic's patients by name; archived ones only where they are asked for."""
    token = token_of(request)
    mine = visible(Patient.objects.all(), token)
    found = visible(Patient.objects.all().matching(q), token)
    rows, following = page_of(
        (found if archived else found.filter(archived=False)).defer("notes"),
        order=("name", "id"),
        after=after,
        limit=limit,
        anchors=mine,
    )
    note_list(token, "patients.listed")
    return PatientPage(
        items=[
            ListedPatient(
                id=row.pk,
                record_number=row.record_number,
                name=row.name,
                date_of_birth=row.date_of_birth,
                sex=Sex(row.sex),
                archived=row.archived,
            )
            for row in rows
        ],
        next=following,
    )


@router.post(
    "/patients",
    response={201: PatientOut},
    auth=Token(Scope.UPLOAD),
    url_name="patients",
    summary="Register",
)
@once
def create_patient(request: HttpRequest, facts: PatientIn, idempotency_key: Key = None) -> Answer:
    """Register a patient of the clinic."""
    token = token_of(request)
    patient = register_patient(clinic=token.clinic, by=token.user, **facts.model_dump())
    return done(told_patient(patient), patient=patient)


@router.get(
    "/patients/{uuid:patient}",
    response=PatientOut,
    auth=Token(Scope.READ),
    url_name="patient",
    summary="Get",
)
def get_patient(request: HttpRequest, patient: uuid.UUID) -> Any:
    """Return one patient."""
    token = token_of(request)
    row = seen(Patient.objects.all(), token, patient)
    audit.record_view(
        action="patient.viewed", actor=token.user, clinic_id=row.clinic_id, subject=row
    )
    return told_patient(row)


@router.get(
    "/patients/{uuid:patient}/lesions",
    response=LesionList,
    auth=Token(Scope.READ),
    url_name="lesions",
    summary="List the lesions of a patient",
)
def list_lesions(request: HttpRequest, patient: uuid.UUID) -> Any:
    """List all lesions of a patient, oldest first."""
    token = token_of(request)
    row = seen(Patient.objects.all(), token, patient)
    audit.record_view(
        action="patient.viewed", actor=token.user, clinic_id=row.clinic_id, subject=row
    )
    return LesionList(items=[told_lesion(lesion) for lesion in lesions_of(row)])


@router.post(
    "/patients/{uuid:patient}/lesions",
    response={201: LesionOut},
    auth=Token(Scope.UPLOAD),
    url_name="lesions",
    summary="Record a lesion of a patient",
)
@once
def create_lesion(
    request: HttpRequest, patient: uuid.UUID, facts: LesionIn, idempotency_key: Key = None
) -> Answer:
    """Record a lesion of a patient."""
    token = token_of(request)
    row = written(Patient.objects.select_related("clinic"), token, patient)
    lesion = add_lesion(patient=row, by=token.user, **facts.model_dump())
    return done(told_lesion(lesion), patient=row)
