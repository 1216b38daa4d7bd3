"""Saving readings and reviews."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import messages
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from classifier.choices import State
from classifier.forms.reviews import ReadingForm, ReviewForm
from classifier.selectors.results import mark_of
from classifier.services.disagreements import needs_reason
from classifier.services.errors import ConflictError, RuleError
from classifier.services.readings import save_reading
from classifier.services.reviews import save_review
from classifier.views.access import person, writable_or_403
from classifier.views.analyses import all_of_page, detail_context, not_saved

if TYPE_CHECKING:
    import uuid

    from django.http import HttpRequest, HttpResponse, QueryDict

    from classifier.models import Analysis

_UNPROCESSABLE = 422
_CONFLICT = 409


@require_POST
def reading_create(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Save the person's own reading; the answer is revealed afterwards."""
    user = person(request)
    analysis = writable_or_403(all_of_page(), user, pk)
    form = ReadingForm(request.POST, analysis=analysis)
    if form.is_valid():
        try:
            save_reading(analysis=analysis, by=user, **form.cleaned_data)
        except RuleError as error:
            finished = analysis.state in {State.SUCCEEDED, State.REJECTED}
            if isinstance(error, ConflictError) or not finished:
                # The page has no form for a reading that could show what is wrong.
                return not_saved(request, pk, form, error)
            form.add_error(None, str(error))
        else:
            messages.success(request, _("Your reading is saved and locked."))
            return redirect(analysis)
    context = detail_context(request, analysis, reading_form=form)
    return render(request, "analyses/detail.html", context, status=_UNPROCESSABLE)


@require_POST
def review_create(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Append the person's verdict; a faster colleague's is shown first, and nothing is lost."""
    user = person(request)
    analysis = writable_or_403(all_of_page(), user, pk)
    form = _review_form(request.POST, analysis)
    status, faster = _UNPROCESSABLE, False
    if form.is_valid():
        try:
            save_review(analysis=analysis, by=user, **form.cleaned_data)
        except ConflictError:
            status = _CONFLICT
            # A retry may have brought another answer meanwhile: nothing of the row is kept.
            analysis = writable_or_403(all_of_page(), user, pk)
            faster = analysis.review_count > form.cleaned_data["expected_number"]
            # The person's own words stay in the form; sending it again answers to what is now
            # on record.
            again = request.POST.copy()
            again["expected_number"] = str(analysis.review_count)
            again["seen"] = mark_of(analysis, analysis.readings.count())
            form = _review_form(again, analysis)
            if not faster:
                form.add_error(None, _("The analysis has moved on meanwhile. Look again."))
        except RuleError as error:
            form.add_error(None, str(error))
        else:
            messages.success(request, _("Your review is saved."))
            return redirect(analysis)
    context = detail_context(request, analysis, review_form=form)
    if not context["page"].can_review:
        # The page has no review form that could show what is wrong.
        why = " ".join(map(str, form.non_field_errors())) or _("There is no answer to review yet.")
        kind = ConflictError if status == _CONFLICT else RuleError
        return not_saved(request, pk, form, kind(why))
    # Told once, above the record; the form itself is in order.
    context["conflict"] = faster
    return render(request, "analyses/detail.html", context, status=status)


def _review_form(sent: QueryDict, analysis: Analysis) -> ReviewForm:
    """Return what was sent as the form that the page shows: its reason may be asked of anybody."""
    return ReviewForm(sent, analysis=analysis, must_say_why=needs_reason(analysis))
