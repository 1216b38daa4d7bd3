"""Networks: which there are, facts about each, and which one answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe

from classifier.choices import RerunState
from classifier.forms.models import SwitchForm
from classifier.models import ModelVersion
from classifier.querysets.people import may_switch
from classifier.selectors.model_versions import facts_page, networks, switches
from classifier.selectors.reruns import comparisons_of
from classifier.services.errors import ConflictError, RuleError
from classifier.services.model_versions import (
    activate_version,
    measured_facts,
    roll_back,
    version_before,
)
from classifier.services.reruns import may_compare
from classifier.views.access import confirmed_recently, person

if TYPE_CHECKING:
    import uuid

    from django.http import HttpRequest, HttpResponse

    from classifier.models import User

_READ_AND_SEND = ["GET", "HEAD", "POST"]
_UNPROCESSABLE = 422
_CONFLICT = 409


@require_safe
def model_version_list(request: HttpRequest) -> HttpResponse:
    """List the networks of each label set and the latest switches. They belong to no clinic."""
    context = {
        "networks": networks(),
        "switches": switches(),
        "may_switch": may_switch(person(request)),
    }
    return render(request, "models/list.html", context)


@require_safe
def model_version_detail(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Show a version's card and plots. Networks belong to no clinic."""
    version = get_object_or_404(ModelVersion, pk=pk)
    facts: dict[str, Any] = {}
    missing = ""
    try:
        facts = measured_facts(version=version)
    except RuleError as error:
        missing = str(error)
    context = {
        "page": facts_page(version, facts),
        "version": version,
        "missing": missing,
        "switches": switches(version.label_set),
        "may_switch": may_switch(person(request)),
        "back": version_before(version.label_set) if version.active else None,
        "comparisons": comparisons_of(version, person(request)),
        "may_compare": may_compare(person(request)),
    }
    return render(request, "models/detail.html", context)


@require_http_methods(_READ_AND_SEND)
@confirmed_recently
def model_version_activate(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Let a version answer from now on, with a reason."""
    user = _switcher_or_403(request)
    version = get_object_or_404(ModelVersion, pk=pk)
    present = ModelVersion.objects.filter(label_set=version.label_set, active=True).first()
    form = _switch_form(request, present)
    status = 200
    if form.is_bound and form.is_valid():
        try:
            switched = activate_version(version=version, by=user, **form.cleaned_data)
        except RuleError as error:
            status = _refused(form, error, present)
        else:
            told = _("%s answers from the next image on.") if switched else _("%s answers already.")
            messages.success(request, told % version)
            return redirect("model_version_list")
    context = {
        "form": form,
        "version": version,
        "present": present,
        "to": version,
        "compared": version.reruns.filter(state=RerunState.FINISHED).exists(),
    }
    return render(request, "models/switch.html", context, status=_status(form, status))


@require_http_methods(_READ_AND_SEND)
@confirmed_recently
def model_version_roll_back(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Go back from a version that answers to the one that answered before, with a reason."""
    user = _switcher_or_403(request)
    version = get_object_or_404(ModelVersion, pk=pk)
    back = version_before(version.label_set)
    form = _switch_form(request, version)
    status = 200
    if form.is_bound and form.is_valid():
        try:
            # What the address names is what the person saw answering.
            chosen = roll_back(
                label_set=version.label_set,
                by=user,
                reason=form.cleaned_data["reason"],
                seen=str(version.pk),
            )
        except RuleError as error:
            status = _refused(form, error, version)
        else:
            messages.success(request, _("%s answers again, from the next image on.") % chosen)
            return redirect("model_version_list")
    context = {"form": form, "version": version, "present": version, "to": back, "is_back": True}
    return render(request, "models/switch.html", context, status=_status(form, status))


def _switcher_or_403(request: HttpRequest) -> User:
    user = person(request)
    if not may_switch(user):
        raise PermissionDenied(_("Only an administrator of the installation switches networks."))
    return user


def _switch_form(request: HttpRequest, present: ModelVersion | None) -> SwitchForm:
    if request.method == "POST":
        return SwitchForm(request.POST)
    return SwitchForm(initial={"seen": str(present.pk) if present else ""})


def _refused(form: SwitchForm, error: RuleError, present: ModelVersion | None) -> int:
    """Put the sentence above the form; its reader knows now what answers, and may send it again."""
    form.add_error(None, str(error))
    form.data = {"reason": form.data["reason"], "seen": str(present.pk) if present else ""}
    return _CONFLICT if isinstance(error, ConflictError) else _UNPROCESSABLE


def _status(form: SwitchForm, status: int) -> int:
    return _UNPROCESSABLE if form.errors and status < _CONFLICT else status
