"""Addresses at which one analysis is fetched in other systems' forms."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from classifier.exchange import dicom_out, fhir, letter
from classifier.exchange.services import (
    export_dicom_image,
    export_dicom_report,
    export_fhir,
    export_letter,
)
from classifier.services.errors import RuleError
from classifier.views.access import person, visible_or_404
from classifier.views.analyses import all_of_page

if TYPE_CHECKING:
    import uuid
    from collections.abc import Callable

    from django.http import HttpRequest

logger = logging.getLogger(__name__)


@require_safe
def analysis_letter(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Send the letter about an analysis."""
    return _sent(request, pk, export_letter, letter.CONTENT_TYPE, "pdf")


@require_safe
def analysis_fhir(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Send the FHIR Bundle about an analysis."""
    return _sent(request, pk, export_fhir, fhir.CONTENT_TYPE, "fhir.json")


@require_safe
def analysis_dicom_report(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Send the report about an analysis as a DICOM object."""
    return _sent(request, pk, export_dicom_report, dicom_out.CONTENT_TYPE, "sr.dcm")


@require_safe
def analysis_dicom_image(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Send the analysed picture as a DICOM object."""
    return _sent(request, pk, export_dicom_image, dicom_out.CONTENT_TYPE, "dcm")


def _sent(
    request: HttpRequest,
    pk: uuid.UUID,
    export: Callable[..., bytes],
    content_type: str,
    ending: str,
) -> HttpResponse:
    """Send what a service wrote; what forbids it is told on the result page."""
    user = person(request)
    analysis = visible_or_404(all_of_page(), user, pk)
    try:
        written = export(analysis=analysis, by=user)
    except RuleError as error:
        messages.error(request, str(error))
        return redirect("analysis_detail", pk=pk)
    except OSError:
        logger.exception("the picture of analysis %s cannot be read", pk)
        messages.error(
            request,
            _("The picture of this analysis cannot be read now. Tell the system's administrator."),
        )
        return redirect("analysis_detail", pk=pk)
    return as_file(written, content_type, f"{pk}.{ending}")


def as_file(written: bytes, content_type: str, name: str) -> HttpResponse:
    """Return an answer that a browser saves and neither shows nor keeps.

    ``name`` names nobody: it stays in lists of downloads.
    """
    response = HttpResponse(written, content_type=content_type)
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Cache-Control"] = "no-store, private"
    response.headers["Content-Security-Policy"] = "default-src 'none'; sandbox"
    return response
