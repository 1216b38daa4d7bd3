"""Patients: the list, the search, one patient's page, and the forms."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import messages
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe

from classifier.choices import BodySite, Role
from classifier.forms.patients import LesionForm, PatientForm
from classifier.forms.records import ConsentForm
from classifier.models import Patient
from classifier.querysets.people import WRITING_ROLES
from classifier.selectors.consents import consents_of
from classifier.selectors.patients import (
    find_for_upload,
    lesion_page,
    patient_page,
    patients_with_sites,
    sites_of,
    timeline,
)
from classifier.selectors.workplace import workplace_of
from classifier.services import audit
from classifier.services.consents import record_consent
from classifier.services.errors import ConflictError, RuleError
from classifier.services.patients import (
    FieldRuleError,
    add_lesion,
    register_patient,
    update_patient,
)
from classifier.views.access import (
    person,
    require_writing_somewhere,
    visible_or_404,
    writable_or_403,
)
from classifier.views.undo import done

if TYPE_CHECKING:
    import uuid

    from django import forms
    from django.http import HttpRequest, HttpResponse

    from classifier.models import User

_READ_AND_SEND = ["GET", "HEAD", "POST"]
_UNPROCESSABLE = 422
_CONFLICT = 409
# A search is a few words; a longer one is a mistake or an attack on the database.
_LONGEST_SEARCH = 100


def search_text(request: HttpRequest) -> str:
    """Return what the person searches for, without what PostgreSQL cannot hold."""
    return request.GET.get("q", "").replace("\x00", "").strip()[:_LONGEST_SEARCH]


def add_rule_error(form: forms.Form, error: RuleError) -> None:
    """Show a broken rule beside the field it is about, or above the form."""
    about = error.field if isinstance(error, FieldRuleError) else None
    form.add_error(about if about in form.fields else None, str(error))


@require_safe
def patient_list(request: HttpRequest) -> HttpResponse:
    """List the patients a person may see, by name."""
    text = search_text(request)
    archived = request.GET.get("archived") == "1"
    page = patient_page(
        person(request), text=text, archived=archived, cursor=request.GET.get("cursor", "")
    )
    context = {"page": page, "text": text, "archived": archived}
    fragment = request.headers.get("HX-Target") == "patient-list"
    template = "patients/_list.html" if fragment else "patients/list.html"
    return render(request, template, context)


@require_safe
def patient_search(request: HttpRequest) -> HttpResponse:
    """Answer the quick search: a few patients to send an image for."""
    text = search_text(request)
    found = find_for_upload(person(request), text)
    return render(request, "patients/_search_results.html", {"text": text, "found": found})


@require_http_methods(_READ_AND_SEND)
def patient_create(request: HttpRequest) -> HttpResponse:
    """Register a patient."""
    user = person(request)
    require_writing_somewhere(user)
    form = PatientForm(request.POST or None, user=user)
    if request.method == "POST" and form.is_valid():
        try:
            patient = register_patient(by=user, **form.facts())
        except RuleError as error:
            add_rule_error(form, error)
        else:
            messages.success(request, _("The patient is registered."))
            return redirect(patient)
    return render(request, "patients/form.html", {"form": form}, status=422 if form.errors else 200)


@require_http_methods(_READ_AND_SEND)
def patient_update(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Correct a patient's facts, archive the patient or bring them back."""
    user = person(request)
    patient = writable_or_403(Patient.objects.select_related("clinic"), user, pk)
    form = PatientForm(request.POST or None, user=user, patient=patient)
    wrong = _UNPROCESSABLE
    if request.method == "POST" and form.is_valid():
        try:
            changed = update_patient(patient=patient, by=user, **form.facts())
        except RuleError as error:
            wrong = _CONFLICT if isinstance(error, ConflictError) else wrong
            add_rule_error(form, error)
        else:
            told = _("The changes are saved.")
            if changed.updated_at == patient.updated_at:
                messages.success(request, told)
                return redirect(patient)
            seen = changed.updated_at.isoformat()
            return done(request, told, patient, "patient_updated", key=patient.pk, seen=seen)
    note_view(patient, user)
    return render(
        request,
        "patients/form.html",
        {"form": form, "patient": patient},
        status=wrong if form.errors else 200,
    )


@require_safe
def patient_detail(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Show a patient: facts, lesions, and all images and predictions in time order."""
    user = person(request)
    patient = visible_or_404(patients_with_sites(), user, pk)
    form = LesionForm(initial={"body_site": _chosen_site(request) or BodySite.UNKNOWN})
    return _patient_page(request, patient, user, form)


@require_http_methods(_READ_AND_SEND)
def lesion_create(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Record a lesion; the form stands on the patient's page."""
    user = person(request)
    patient = writable_or_403(patients_with_sites(), user, pk)
    form = LesionForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            add_lesion(patient=patient, by=user, **form.cleaned_data)
        except RuleError as error:
            add_rule_error(form, error)
        else:
            messages.success(request, _("The lesion is recorded."))
            return redirect(patient)
    return _patient_page(request, patient, user, form, lesion_form_open=True)


@require_http_methods(_READ_AND_SEND)
def consent_create(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Record what the patient allows; the form stands on the patient's page."""
    user = person(request)
    patient = writable_or_403(patients_with_sites(), user, pk)
    form = ConsentForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            record_consent(patient=patient, by=user, **form.cleaned_data)
        except RuleError as error:
            add_rule_error(form, error)
        else:
            messages.success(request, _("The consent is recorded."))
            return redirect(patient)
    return _patient_page(request, patient, user, LesionForm(), consent_form=form)


def _patient_page(
    request: HttpRequest,
    patient: Patient,
    user: User,
    lesion_form: LesionForm,
    *,
    lesion_form_open: bool = False,
    consent_form: ConsentForm | None = None,
) -> HttpResponse:
    note_view(patient, user)
    site = _chosen_site(request)
    sites = sites_of(patient, site)
    lesions = lesion_page(patient, site=site, cursor=request.GET.get("lesions", ""))
    page, entries = timeline(
        patient, user, cursor=request.GET.get("cursor", ""), site=site, reviewed=True
    )
    # What every page knows anyway says what the person may do here.
    work = workplace_of(user)
    role = next((own.my_role for own in work["clinics"] if own.pk == patient.clinic_id), "")
    context = work | {
        "patient": patient,
        "lesions": lesions,
        "sites": sites,
        "chosen_site": next((own for own in sites if own.chosen), None),
        "page": page,
        "entries": entries,
        "may_write": role in WRITING_ROLES,
        "lesion_form": lesion_form,
        # Whoever points at an empty site of the body most likely has something to record there.
        "lesion_form_open": lesion_form_open or (bool(site) and not lesions.rows),
        "consents": consents_of(patient),
        "consent_form": consent_form or ConsentForm(),
        "may_administer": role == Role.ADMINISTRATOR,
    }
    wrong = lesion_form.errors or (consent_form is not None and consent_form.errors)
    status = _UNPROCESSABLE if wrong else 200
    return render(request, "patients/detail.html", context, status=status)


def note_view(patient: Patient, user: User) -> None:
    """Append to the audit trail that the person looked at the patient."""
    audit.record_view(
        action="patient.viewed", actor=user, clinic_id=patient.clinic_id, subject=patient
    )


def _chosen_site(request: HttpRequest) -> str:
    """Return the site of the body that the page shows only, or nothing."""
    wanted = request.GET.get("site", "")
    return wanted if wanted in BodySite.values else ""
