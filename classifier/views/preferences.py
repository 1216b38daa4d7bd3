"""The page of a person's own settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import messages
from django.shortcuts import redirect, render
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from classifier.forms.preferences import NoticesForm
from classifier.services.errors import RuleError
from classifier.services.notices import choose_notices, notices_possible, pace_of
from classifier.views.access import person
from classifier.views.patients import add_rule_error

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse

_UNPROCESSABLE = 422


@require_http_methods(["GET", "HEAD", "POST"])
def preferences(request: HttpRequest) -> HttpResponse:
    """Show the person's settings, and save how often they want to be told of results."""
    user = person(request)
    sent = request.method == "POST"
    initial = {} if sent else {"pace": pace_of(user)}
    form = NoticesForm(request.POST if sent else None, initial=initial)
    if sent and form.is_valid():
        pace = form.cleaned_data["pace"]
        try:
            choose_notices(by=user, pace=pace, language=get_language() or "en")
        except RuleError as error:
            add_rule_error(form, error)
        else:
            messages.success(request, _("Your choice is saved."))
            return redirect("preferences")
    status = _UNPROCESSABLE if form.errors else 200
    context = {"form": form, "notices_possible": notices_possible()}
    return render(request, "account/preferences.html", context, status=status)
