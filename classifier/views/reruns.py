"""Comparing a network with the answers on record."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

from django.conf import settings
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import override
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from classifier.cells import harmless
from classifier.choices import RerunState
from classifier.forms.models import RerunForm
from classifier.models import ModelVersion, RerunRun
from classifier.querysets.people import may_switch
from classifier.selectors.reruns import (
    CSV_HEADER,
    changed_cases,
    csv_rows,
    totals_of,
    versions_before,
    whose,
)
from classifier.services import audit
from classifier.services.errors import RuleError
from classifier.services.reruns import cancel_rerun, count_cases, may_compare, start_rerun
from classifier.tasks.reruns import wake
from classifier.views.access import confirmed_recently, person

if TYPE_CHECKING:
    import uuid

    from django.http import HttpRequest

    from classifier.models import User

_UNPROCESSABLE = 422


@require_http_methods(["GET", "HEAD", "POST"])
def rerun_create(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Choose past cases, say how many they are, and have them judged by a version."""
    user = person(request)
    if not may_compare(user):
        raise PermissionDenied(_("Only a clinic's administrator has its cases judged again."))
    version = get_object_or_404(ModelVersion, pk=pk)
    sent = request.method == "POST"
    asked = request.POST if sent else request.GET or None
    form = RerunForm(asked, user=user)
    count = None
    if form.is_bound and form.is_valid():
        try:
            if sent:
                run = start_rerun(version=version, by=user, **form.cleaned_data)
                wake()
                return redirect(run)
            count = count_cases(version=version, **form.cleaned_data)
        except RuleError as error:
            form.add_error(None, str(error))
    context = {
        "form": form,
        "version": version,
        "count": count,
        "most": settings.RERUN_MOST_CASES,
        "too_many": count is not None and count > settings.RERUN_MOST_CASES,
    }
    status = _UNPROCESSABLE if form.errors else 200
    return render(request, "models/rerun_form.html", context, status=status)


@require_safe
def rerun_detail(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Show how far a comparison is, what would change, and for which cases."""
    user = person(request)
    run = _own(user, pk)
    context = {"run": run, "totals": totals_of(run, user), "whose": whose(run)}
    if request.headers.get("HX-Request") == "true":
        response = render(request, "models/_rerun_progress.html", context)
        if not run.is_busy:
            response.headers["HX-Refresh"] = "true"
        return response
    if not run.is_busy:
        change = request.GET.get("change", "")
        cursor = request.GET.get("cursor", "")
        context |= {
            "versions": versions_before(run),
            "change": change,
            "listed": changed_cases(run, user, change=change, cursor=cursor),
            "may_activate": run.state == RerunState.FINISHED
            and may_switch(user)
            and not run.version.active,
        }
    return render(request, "models/rerun.html", context)


@require_POST
def rerun_cancel(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """End a comparison before its time."""
    user = person(request)
    run = _own(user, pk)
    try:
        cancel_rerun(run=run, by=user)
    except RuleError as error:
        messages.error(request, str(error))
    else:
        messages.success(request, _("The comparison is cancelled."))
    return redirect(run)


@require_safe
@confirmed_recently
def rerun_csv(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Send the cases whose triage group would change, as far as the person may see them."""
    user = person(request)
    run = _own(user, pk)
    with transaction.atomic():
        audit.record(action="rerun.exported", actor=user, clinic_id=run.clinic_id, subject=run)
    response = HttpResponse(content_type="text/csv; charset=utf-8")
    response.headers["Content-Disposition"] = f'attachment; filename="comparison-{run.pk}.csv"'
    response.headers["X-Content-Type-Options"] = "nosniff"
    # Spreadsheets take a file without this mark for some other encoding.
    response.write("\ufeff")
    writer = csv.writer(response)
    writer.writerow(CSV_HEADER)
    with override("en"):
        for row in csv_rows(run, user):
            writer.writerow([harmless(str(cell)) for cell in row])
    return response


def _own(user: User, pk: uuid.UUID) -> RerunRun:
    """Return a comparison that the person may see; anything else is not there."""
    runs = RerunRun.objects.visible_to(user)
    return get_object_or_404(
        runs.select_related("version", "clinic", "created_by", "ended_by").defer(
            "version__manifest", "version__metrics"
        ),
        pk=pk,
    )
