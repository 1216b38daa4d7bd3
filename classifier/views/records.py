"""The audit trail, a patient's changes and consents, export and erasure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import FileResponse, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe

from classifier.forms.records import ErasureForm, ExportForm, TrailForm
from classifier.models import Clinic, Patient
from classifier.selectors.audit import trail
from classifier.selectors.changes import changes
from classifier.services.erasure import erase_patient
from classifier.services.errors import RuleError
from classifier.services.exports import export_patient
from classifier.services.results import record_answers_viewed
from classifier.views.access import confirmed_recently, person, visible_or_404
from classifier.views.patients import note_view

if TYPE_CHECKING:
    import uuid

    from django.http import HttpRequest

    from classifier.models import User

_READ_AND_SEND = ["GET", "HEAD", "POST"]
_UNPROCESSABLE = 422


@require_safe
def audit_trail(request: HttpRequest) -> HttpResponse:
    """Show a clinic's audit trail to whoever administers it."""
    user = person(request)
    clinics = list(Clinic.objects.administered_by(user))
    if not clinics:
        raise PermissionDenied(_("Only a clinic's administrator reads its audit trail."))
    form = TrailForm(request.GET, clinics=clinics)
    context = {"form": form, "query": request.GET.urlencode()}
    if form.is_valid():
        cursor = request.GET.get("cursor", "")
        page, lines = trail(form.clinic, form.cleaned_data, reader=user, cursor=cursor)
        context |= {"page": page, "lines": lines}
    return render(request, "records/trail.html", context, status=200 if form.is_valid() else 400)


@require_safe
def patient_changes(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Show what was changed in a patient's record, by whom and from where."""
    user = person(request)
    patient = visible_or_404(Patient.objects.select_related("clinic"), user, pk)
    note_view(patient, user)
    page = changes(patient, user, cursor=request.GET.get("cursor", ""))
    # Who knows what others think reads such an image first no more.
    told = {row.told.pk: row.told for row in page.rows if row.told is not None}
    if told:
        record_answers_viewed(analyses=told.values(), by=user)
    return render(request, "records/changes.html", {"patient": patient, "page": page})


@require_http_methods(_READ_AND_SEND)
@confirmed_recently
def patient_export(request: HttpRequest, pk: uuid.UUID) -> HttpResponseBase:
    """Hand out everything that is kept about a patient as one archive."""
    user = person(request)
    patient = _administered_or_403(user, pk)
    form = ExportForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            archive = export_patient(patient=patient, by=user, **form.cleaned_data)
        except RuleError as error:
            form.add_error(None, str(error))
        except FileNotFoundError:
            form.add_error(
                None, _("A picture of this patient is missing. Tell the system's administrator.")
            )
        else:
            response = FileResponse(
                archive,
                as_attachment=True,
                filename=f"{patient.pk}.zip",
                content_type="application/zip",
            )
            response.headers["X-Content-Type-Options"] = "nosniff"
            response.headers["Cache-Control"] = "no-store, private"
            return response
    return render(
        request,
        "records/export.html",
        {"patient": patient, "form": form},
        status=_UNPROCESSABLE if form.errors else 200,
    )


@require_http_methods(_READ_AND_SEND)
@confirmed_recently
def patient_erase(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Erase a patient for ever."""
    user = person(request)
    patient = _administered_or_403(user, pk)
    form = ErasureForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            erase_patient(patient_key=patient.pk, by=user, **form.cleaned_data)
        except RuleError as error:
            form.add_error("confirmation", str(error))
        else:
            messages.success(request, _("The patient is erased."))
            return redirect("patient_list")
    return render(
        request,
        "records/erase.html",
        {"patient": patient, "form": form},
        status=_UNPROCESSABLE if form.errors else 200,
    )


def _administered_or_403(user: User, pk: uuid.UUID) -> Patient:
    """Return a patient of a clinic that the person administers.

    Raises:
        Http404: the person may not see the patient.
        PermissionDenied: they may, and do not administer the clinic.
    """
    patient = visible_or_404(Patient.objects.select_related("clinic"), user, pk)
    if not Clinic.objects.administered_by(user).filter(pk=patient.clinic_id).exists():
        raise PermissionDenied(_("Only the clinic's administrator exports or erases a record."))
    return patient
