"""Second readings: asking for one, taking the question back, and the lists."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from classifier.forms.readings import SecondReadingForm
from classifier.models import ReadingRequest
from classifier.selectors.second_readings import (
    count_disagreements,
    disagreement_queue,
    possible_readers,
    requests_asking,
    requests_made,
)
from classifier.services.errors import RuleError
from classifier.services.results import record_answers_viewed
from classifier.services.second_readings import request_second_reading, withdraw_request
from classifier.views.access import person, writable_or_403
from classifier.views.analyses import all_of_page, detail_context
from classifier.views.undo import done

if TYPE_CHECKING:
    import uuid

    from django.http import HttpRequest, HttpResponse

_UNPROCESSABLE = 422
TABS = ("asked", "differ", "mine")


@require_safe
def second_reading_list(request: HttpRequest) -> HttpResponse:
    """List what the person is asked to read, what they asked others, and what opinions differ."""
    user = person(request)
    tab = request.GET.get("tab", "")
    tab = tab if tab in TABS else TABS[0]
    cursor = request.GET.get("cursor", "")
    context: dict[str, Any] = {
        "tab": tab,
        "differ_count": count_disagreements(user),
    }
    if tab == "differ":
        context["page"], lines = disagreement_queue(user, cursor=cursor)
        # The lines tell the network's answer and what everybody thinks of it.
        record_answers_viewed(analyses=[line.row.analysis for line in lines], by=user)
        context["lines"] = lines
    else:
        look = requests_made if tab == "mine" else requests_asking
        context["page"] = look(user, cursor=cursor)
    return render(request, "readings/list.html", context)


@require_POST
def second_reading_request(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Ask for a second reading; the form stands on the result page."""
    user = person(request)
    analysis = writable_or_403(all_of_page(), user, pk)
    form = SecondReadingForm(request.POST, readers=possible_readers(analysis, user))
    if form.is_valid():
        try:
            request_second_reading(analysis=analysis, by=user, **form.cleaned_data)
        except RuleError as error:
            messages.error(request, str(error))
        else:
            asked = form.cleaned_data["asked"]
            told = (
                _("%(who)s is asked for a second reading.") % {"who": asked}
                if asked
                else _("The clinic is asked for a second reading.")
            )
            messages.success(request, told)
        return redirect(analysis)
    context = detail_context(request, analysis, second_form=form)
    return render(request, "analyses/detail.html", context, status=_UNPROCESSABLE)


@require_POST
def second_reading_withdraw(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Take a request for a second reading back."""
    user = person(request)
    asked = writable_or_403(ReadingRequest.objects.select_related("analysis"), user, pk)
    from_list = request.POST.get("back") == "list"
    mine = reverse("second_reading_list") + "?tab=mine"
    back = mine if from_list else asked.analysis.get_absolute_url()
    try:
        withdraw_request(request=asked, by=user)
    except RuleError as error:
        messages.error(request, str(error))
        return redirect(back)
    told = _("The request is withdrawn.")
    if asked.requested_by_id != user.pk:
        # Whoever asked must ask again: it would be another person's question.
        messages.success(request, told)
        return redirect(back)
    return done(request, told, back, "second_reading_withdrawn", key=asked.pk)
