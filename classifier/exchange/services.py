"""Handing out one analysis in other systems' forms. Each export is in the audit trail."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import transaction
from django.utils.translation import get_language, override

from classifier.exchange import dicom_out, fhir, letter
from classifier.exchange.facts import Party
from classifier.exchange.report import patient_facts, picture_facts, report_of
from classifier.services import audit
from classifier.services.results import record_answer_viewed

if TYPE_CHECKING:
    from collections.abc import Callable

    from classifier.exchange.facts import Report
    from classifier.models import Analysis, User


# The words in files that programs read do not depend on who fetched them.
_FOR_PROGRAMS = "en"


def export_letter(*, analysis: Analysis, by: User) -> bytes:
    """Return the letter (PDF) about an analysis that is visible to the person.

    Raises:
        RuleError: the picture's modality was corrected since, there is no answer yet, or it is
            hidden from this person.
        OSError: the picture is not where its row says.
    """
    return _exported(analysis, by, "letter.exported", letter.letter_pdf, language=get_language())


def export_fhir(*, analysis: Analysis, by: User) -> bytes:
    """Return the FHIR Bundle (JSON) about an analysis that is visible to the person.

    Raises:
        RuleError: see :func:`export_letter`.
        OSError: see :func:`export_letter`.
    """
    return _exported(analysis, by, "fhir.exported", fhir.fhir_json)


def export_dicom_report(*, analysis: Analysis, by: User) -> bytes:
    """Return the report as a DICOM object, about an analysis that is visible to the person.

    Raises:
        RuleError: see :func:`export_letter`.
        OSError: see :func:`export_letter`.
    """
    return _exported(analysis, by, "dicom_report.exported", dicom_out.report_object)


def export_dicom_image(*, analysis: Analysis, by: User) -> bytes:
    """Return the picture as a DICOM object; nothing of any answer is in it.

    Raises:
        OSError: see :func:`export_letter`.
    """
    with override(_FOR_PROGRAMS):
        written = dicom_out.image_object(
            clinic=Party(analysis.clinic_id, analysis.clinic.name),
            patient=patient_facts(analysis.patient),
            picture=picture_facts(analysis.image),
        )
    with transaction.atomic():
        audit.record(
            action="dicom_image.exported",
            actor=by,
            clinic_id=analysis.clinic_id,
            subject=analysis.image,
        )
    return written


def _exported(
    analysis: Analysis,
    by: User,
    action: str,
    write: Callable[[Report], bytes],
    *,
    language: str | None = _FOR_PROGRAMS,
) -> bytes:
    """Write a report down and record who took it, and that they have seen the answer."""
    with override(language):
        report = report_of(analysis, by)
        written = write(report)
    with transaction.atomic():
        record_answer_viewed(analysis=analysis, by=by)
        audit.record(
            action=action,
            actor=by,
            clinic_id=analysis.clinic_id,
            subject=analysis,
            status=report.status.value,
        )
    return written
