"""The figures page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from classifier.forms.figures import FiguresForm
from classifier.selectors.figures import figures_page
from classifier.views.access import person

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse


@require_safe
def figures(request: HttpRequest) -> HttpResponse:
    """Show what a period came to, for one of the person's clinics, or all for a superuser."""
    user = person(request)
    form = FiguresForm(request.GET, user=user)
    context: dict[str, Any] = {"form": form}
    if form.is_valid() and form.has_clinic:
        period = form.period()
        context |= {
            "period": period,
            "last_day": form.cleaned_data["until"],
            "page": figures_page(user, period, now=timezone.now()),
        }
    return render(request, "figures/page.html", context, status=200 if form.is_valid() else 400)
