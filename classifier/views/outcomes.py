"""What lesions turned out to be, and how right the networks and the readers were."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from classifier.forms.outcomes import OutcomeFiguresForm, OutcomeForm, WithdrawalForm
from classifier.models import Clinic, Lesion, Outcome
from classifier.querysets.people import WRITING_ROLES
from classifier.selectors.accuracy import outcome_figures
from classifier.selectors.outcomes import scored_predictions
from classifier.selectors.workplace import workplace_of
from classifier.services import audit
from classifier.services.errors import ConflictError, RuleError
from classifier.services.outcomes import record_outcome, withdraw_outcome
from classifier.services.results import record_answers_viewed
from classifier.views.access import person, visible_or_404, writable_or_403
from classifier.views.patients import add_rule_error

if TYPE_CHECKING:
    import uuid

    from django import forms
    from django.http import HttpRequest, HttpResponse, QueryDict

_UNPROCESSABLE = 422
_CONFLICT = 409


@require_safe
def lesion_outcome(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Show what a lesion turned out to be, and every past prediction against it."""
    lesion = visible_or_404(_lesions(), person(request), pk)
    return _page(request, lesion)


@require_POST
def outcome_record(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Record the outcome, or correct it; the form stands on the page above."""
    user = person(request)
    lesion = writable_or_403(_lesions(), user, pk)
    number = Outcome.objects.filter(lesion=lesion).count()
    form = OutcomeForm(request.POST, number=number)
    status = _UNPROCESSABLE
    if form.is_valid():
        try:
            record_outcome(lesion=lesion, by=user, **form.cleaned_data)
        except RuleError as error:
            if isinstance(error, ConflictError):
                number = Outcome.objects.filter(lesion=lesion).count()
                status, form = _CONFLICT, OutcomeForm(_asked_again(request, number), number=number)
            add_rule_error(form, error)
        else:
            messages.success(request, _("The outcome is recorded."))
            return redirect("lesion_outcome", lesion.pk)
    return _page(request, lesion, form=form, status=status)


@require_POST
def outcome_withdraw(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Say that the lesion has no outcome after all."""
    user = person(request)
    lesion = writable_or_403(_lesions(), user, pk)
    form = WithdrawalForm(request.POST)
    status = _UNPROCESSABLE
    if form.is_valid():
        try:
            withdraw_outcome(lesion=lesion, by=user, **form.cleaned_data)
        except RuleError as error:
            if not Outcome.objects.standing().filter(lesion=lesion).exists():
                # The page has no form any more that could show what is wrong.
                messages.error(request, str(error))
                return redirect("lesion_outcome", lesion.pk)
            if isinstance(error, ConflictError):
                number = Outcome.objects.filter(lesion=lesion).count()
                status, form = _CONFLICT, WithdrawalForm(_asked_again(request, number))
            add_rule_error(form, error)
        else:
            messages.success(request, _("The outcome is withdrawn. What was recorded stays."))
            return redirect("lesion_outcome", lesion.pk)
    return _page(request, lesion, withdrawal=form, status=status)


@require_safe
def outcome_figures_page(request: HttpRequest) -> HttpResponse:
    """Show sensitivity and specificity by model version, for one of the person's clinics."""
    user = person(request)
    clinics = list(Clinic.objects.visible_to(user))
    form = OutcomeFiguresForm(request.GET, clinics=clinics)
    clinic = form.chosen
    context = {
        "form": form,
        "several": len(clinics) > 1,
        "clinic": clinic,
        "sets": outcome_figures(clinic, user) if clinic is not None else [],
    }
    return render(request, "outcomes/figures.html", context, status=200 if form.is_valid() else 400)


def _lesions() -> Any:
    return Lesion.objects.select_related("patient", "clinic").defer("patient__notes")


def _asked_again(request: HttpRequest, number: int) -> QueryDict:
    """Return the person's words, as an answer to what is on record after a conflict."""
    again = request.POST.copy()
    again["expected_number"] = str(number)
    return again


def _page(
    request: HttpRequest,
    lesion: Lesion,
    *,
    form: OutcomeForm | None = None,
    withdrawal: forms.Form | None = None,
    status: int = 200,
) -> HttpResponse:
    user = person(request)
    audit.record_view(
        action="lesion.viewed", actor=user, clinic_id=lesion.clinic_id, subject=lesion
    )
    versions = list(lesion.outcomes.select_related("recorded_by").order_by("-number"))
    standing = versions[0] if versions and not versions[0].withdrawn else None
    scored = scored_predictions(lesion, standing, user) if standing is not None else []
    shown = {row.analysis.pk: row.analysis for row in scored if row.prediction and row.analysis}
    if shown:
        record_answers_viewed(analyses=shown.values(), by=user)
    number = len(versions)
    # What every page knows anyway says what the person may do here.
    work = workplace_of(user)
    role = next((own.my_role for own in work["clinics"] if own.pk == lesion.clinic_id), "")
    context = work | {
        "lesion": lesion,
        "patient": lesion.patient,
        "versions": versions,
        "standing": standing,
        "scored": scored,
        "may_write": role in WRITING_ROLES,
        "form": form or OutcomeForm(number=number, standing=standing),
        "withdrawal": withdrawal or WithdrawalForm(initial={"expected_number": number}),
        "withdrawal_open": withdrawal is not None,
    }
    return render(request, "outcomes/lesion.html", context, status=status)
