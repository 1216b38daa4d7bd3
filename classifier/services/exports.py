"""Handing out everything that is kept about one patient."""

from __future__ import annotations

import json
import tempfile
import zipfile
from typing import IO, TYPE_CHECKING, Any

from django.apps import apps
from django.core.serializers.json import DjangoJSONEncoder
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from classifier.models import (
    Analysis,
    AuditEvent,
    BreakGlass,
    Clinic,
    Consent,
    Disagreement,
    Embedding,
    Image,
    ImportRow,
    Lesion,
    Outcome,
    Patient,
    Prediction,
    Reading,
    ReadingRequest,
    RerunRow,
    Review,
    Transition,
    User,
)
from classifier.services import audit
from classifier.services.errors import RuleError
from classifier.services.results import record_answer_viewed

if TYPE_CHECKING:
    from django.db.models import QuerySet

# Above it the archive lies in an unnamed file on disk instead of in memory.
_IN_MEMORY = 32 * 1024 * 1024
_COPIES = {"display": "jpg", "thumbnail": "jpg", "network_source": "png"}


def export_patient(*, patient: Patient, by: User, reason: str) -> IO[bytes]:
    """Return a ZIP archive of all rows, pictures, readings and audit events of a patient.

    The network's answers are in it: whoever takes the export is recorded as having seen them, so
    that a reading of theirs that follows does not pass for an unaided one.

    Args:
        patient: whose data it is.
        by: who takes it: an administrator of the patient's clinic.
        reason: kept in the audit trail.

    Raises:
        RuleError: no reason, or no right to export.
        FileNotFoundError: a picture is not where its row says.
    """
    if not Clinic.objects.administered_by(by).filter(pk=patient.clinic_id).exists():
        raise RuleError(_("Only the clinic's administrator exports a patient's record."))
    if not reason.strip():
        raise RuleError(_("Say why the record is exported."))
    with transaction.atomic():
        for analysis in Analysis.objects.filter(patient=patient, prediction__isnull=False):
            record_answer_viewed(analysis=analysis, by=by)
        audit.record(
            action="patient.exported",
            actor=by,
            clinic_id=patient.clinic_id,
            subject=patient,
            reason=reason.strip(),
        )
    archive: IO[bytes] = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 - the caller closes it
    try:
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as pack:
            pack.writestr("record.json", json.dumps(_record(patient), cls=DjangoJSONEncoder))
            for image in Image.objects.filter(patient=patient).order_by("pk"):
                for copy, ending in _COPIES.items():
                    stored = getattr(image, copy)
                    with stored.storage.open(stored.name, "rb") as opened:
                        # Pictures are compressed as they are.
                        pack.writestr(
                            f"images/{image.pk}/{copy}.{ending}",
                            opened.read(),
                            compress_type=zipfile.ZIP_STORED,
                        )
    except BaseException:
        archive.close()
        raise
    archive.seek(0)
    return archive


def _record(patient: Patient) -> dict[str, Any]:
    analyses = Analysis.objects.filter(patient=patient)
    tables: dict[str, QuerySet[Any]] = {
        "patient": Patient.objects.filter(pk=patient.pk),
        "lesions": Lesion.objects.filter(patient=patient),
        "images": Image.objects.filter(patient=patient),
        "analyses": analyses,
        "transitions": Transition.objects.filter(analysis__in=analyses),
        "embeddings": Embedding.objects.filter(patient=patient),
        "predictions": Prediction.objects.filter(image__patient=patient),
        "readings": Reading.objects.filter(analysis__in=analyses),
        "outcomes": Outcome.objects.filter(patient=patient),
        "reading_requests": ReadingRequest.objects.filter(patient=patient),
        "disagreements": Disagreement.objects.filter(patient=patient),
        "reviews": Review.objects.filter(analysis__in=analyses),
        "consents": Consent.objects.filter(patient=patient),
        "emergency_accesses": BreakGlass.objects.filter(patient=patient),
        "comparison_rows": RerunRow.objects.filter(patient=patient),
        "import_rows": ImportRow.objects.filter(patient=patient),
        "audit": AuditEvent.objects.filter(patient_key=patient.pk),
    }
    whose: dict[str, dict[str, Any]] = {
        "Patient": {"pgh_obj": patient},
        "Lesion": {"patient": patient},
        "Image": {"patient": patient},
        "Review": {"analysis__in": analyses},
    }
    for name, facts in whose.items():
        versions = apps.get_model("classifier", f"{name}Event").objects
        tables[f"versions_of_{name.lower()}s"] = versions.filter(**facts)
    rows = {name: list(found.order_by("pk").values()) for name, found in tables.items()}
    return {
        "exported_at": timezone.now(),
        "clinic": str(patient.clinic),
        "people": {
            str(key): str(user) for key, user in User.objects.in_bulk(_people(rows)).items()
        },
        **rows,
    }


def _people(rows: dict[str, list[dict[str, Any]]]) -> set[Any]:
    """Return the keys of the people whom the rows name, so that a reader learns who they are."""
    columns = ("_by_id", "asked_id", "reader_id", "reviewer_id", "actor_id", "user_id")
    return {
        value
        for table in rows.values()
        for row in table
        for column, value in row.items()
        if value and column.endswith(columns)
    }
