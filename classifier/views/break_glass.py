"""Emergency access: who has it, demanding it, ending it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from allauth.core import ratelimit
from django.conf import settings
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from classifier.forms.break_glass import BreakGlassForm
from classifier.models import BreakGlass
from classifier.services.break_glass import demand_access, end_access, may_demand
from classifier.services.errors import RuleError
from classifier.views.access import confirmed_recently, person
from classifier.views.patients import add_rule_error

if TYPE_CHECKING:
    import uuid

    from django.http import HttpRequest, HttpResponse

# The page is for what is open and what was lately; the audit trail holds the rest.
_MOST_LISTED = 100
_UNPROCESSABLE = 422


@require_safe
def break_glass_list(request: HttpRequest) -> HttpResponse:
    """List the person's own emergency accesses, and those in clinics they administer."""
    user = person(request)
    rows = BreakGlass.objects.visible_to(user).select_related(
        "user", "clinic", "patient", "ended_by"
    )
    context = {
        "rows": rows[:_MOST_LISTED],
        "most_listed": _MOST_LISTED,
        "now": timezone.now(),
        "may_demand": may_demand(user),
        "minutes": settings.BREAK_GLASS_MINUTES,
    }
    return render(request, "access/list.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@confirmed_recently
def break_glass_create(request: HttpRequest) -> HttpResponse:
    """Demand emergency access to one patient, with a reason."""
    user = person(request)
    if not may_demand(user):
        raise PermissionDenied(_("Emergency access is for clinicians."))
    sent = request.method == "POST"
    form = BreakGlassForm(request.POST if sent else None, user=user)
    if sent and form.is_valid():
        # Counted before it is looked up: numbers cannot be tried out.
        if not ratelimit.consume(request, action="break_glass", user=user):
            refused: HttpResponse = ratelimit.respond_429(request)
            return refused
        try:
            access = demand_access(by=user, **form.cleaned_data)
        except RuleError as error:
            add_rule_error(form, error)
        else:
            messages.warning(
                request,
                _("You may read this record for %(minutes)d minutes. The clinic was told.")
                % {"minutes": settings.BREAK_GLASS_MINUTES},
            )
            return redirect(access.patient)
    status = _UNPROCESSABLE if form.errors else 200
    context = {"form": form, "minutes": settings.BREAK_GLASS_MINUTES}
    return render(request, "access/form.html", context, status=status)


@require_POST
def break_glass_end(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """End an emergency access now: one's own, or one in a clinic that one administers."""
    user = person(request)
    access = get_object_or_404(BreakGlass.objects.visible_to(user), pk=pk)
    try:
        end_access(access=access, by=user)
    except RuleError as error:
        messages.error(request, str(error))
    else:
        messages.success(request, _("The emergency access is over."))
    return redirect("break_glass_list")
