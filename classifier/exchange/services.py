"""Handing out one analysis in other systems' forms. Each export is in the audit trail."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import transaction

from classifier.exchange import fhir, letter
from classifier.exchange.report import report_of
from classifier.services import audit
from classifier.services.results import record_answer_viewed

if TYPE_CHECKING:
    from collections.abc import Callable

    from classifier.exchange.facts import Report
    from classifier.models import Analysis, User


def export_letter(*, analysis: Analysis, by: User) -> bytes:
    """Return the letter (PDF) about an analysis that is visible to the person.

    Raises:
        RuleError: there is no answer yet, or it is hidden from this person.
        OSError: the picture is not where its row says.
    """
    return _exported(analysis, by, "letter.exported", letter.letter_pdf)


def export_fhir(*, analysis: Analysis, by: User) -> bytes:
    """Return the FHIR Bundle (JSON) about an analysis that is visible to the person.

    Raises:
        RuleError: see :func:`export_letter`.
        OSError: see :func:`export_letter`.
    """
    return _exported(analysis, by, "fhir.exported", fhir.fhir_json)


def _exported(analysis: Analysis, by: User, action: str, write: Callable[[Report], bytes]) -> bytes:
    """Write a report down and record who took it, and that they have seen the answer."""
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
