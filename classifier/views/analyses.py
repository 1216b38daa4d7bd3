"""The result page, its polled fragment and its map."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from classifier import links
from classifier.choices import ReviewState, State
from classifier.forms.readings import SecondReadingForm
from classifier.forms.reviews import ModalityForm, ReadingForm, ReasonForm, ReviewForm
from classifier.models import Analysis, Prediction
from classifier.selectors.maps import overlay_png
from classifier.selectors.results import result_page, veil
from classifier.selectors.second_readings import possible_readers, second_opinion
from classifier.services.analyses import cancel_analysis, retry_analysis
from classifier.services.errors import ConflictError, RuleError
from classifier.services.modalities import correct_modality
from classifier.services.results import record_answer_viewed, record_map_viewed
from classifier.views.access import person, visible_or_404, writable_or_403
from classifier.wording import within

if TYPE_CHECKING:
    import uuid
    from collections.abc import Callable

    from django.http import HttpRequest

_UNPROCESSABLE = 422
_CONFLICT = 409
# htmx stops polling when it gets this status, and shows the answer it carries.
STOP_POLLING = 286
# Seconds between two questions: quick at first, because most answers take one.
_POLLS = (1, 1, 1, 2, 2, 3, 5, 8, 10)
# Counting stops here; the interval has long stopped growing.
_MOST_POLLS = 1_000


def all_of_page() -> Any:
    """Return analyses with what the result page shows of them."""
    return Analysis.objects.select_related(
        "clinic",
        "patient",
        "image__lesion",
        "image__uploaded_by",
        "prediction__model_version",
    ).defer(
        "prediction__evidence_maps",
        "prediction__model_version__metrics",
    )


@require_safe
def analysis_detail(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Show an analysis as far as the person may see it."""
    analysis = visible_or_404(all_of_page(), person(request), pk)
    return render(request, "analyses/detail.html", detail_context(request, analysis))


def detail_context(request: HttpRequest, analysis: Analysis, **given: Any) -> dict[str, Any]:
    """Return everything the result page shows; ``given`` forms replace the fresh ones.

    Where that is the answer, it is recorded that the person saw it: a page that comes back with
    what is wrong in a form shows it as well as a fresh one.
    """
    page = result_page(analysis, person(request))
    if page.answer is not None:
        record_answer_viewed(analysis=analysis, by=person(request))
    own = page.reading
    second = second_opinion(page, person(request))
    fresh: dict[str, Any] = {
        "reading_form": ReadingForm(analysis=analysis),
        "review_form": ReviewForm(
            analysis=analysis,
            must_say_why=second.readers_differ,
            initial={
                "expected_number": analysis.review_count,
                "seen": page.mark,
                "diagnosis": own.diagnosis if own else "",
                "diagnosis_text": own.diagnosis_text if own else "",
            },
        ),
        "reason_form": ReasonForm(),
        "modality_form": ModalityForm(image=analysis.image),
    }
    if page.can_review and not page.outdated and second.request is None:
        readers = possible_readers(analysis, person(request))
        fresh["second_form"] = SecondReadingForm(readers=readers)
    waits = page.has_result and analysis.review_state == ReviewState.PENDING
    told = {
        "page": page,
        "analysis": analysis,
        "second": second,
        # Where in the navigation the page belongs.
        "nav_here": "worklist" if waits else "history",
    }
    return told | _poll_facts(analysis, 0) | fresh | given


def _poll_facts(analysis: Analysis, poll: int) -> dict[str, Any]:
    """Return how the page asks next: the question's number, when, and what it knows by then."""
    return {
        "poll": poll,
        "poll_after": _POLLS[min(poll, len(_POLLS) - 1)],
        "seen": f"{analysis.state}-{analysis.attempt}",
    }


def not_saved(
    request: HttpRequest, pk: uuid.UUID, form: forms.Form, error: RuleError
) -> HttpResponse:
    """Say why a form was not taken that the page does not show any more, and keep its words.

    The analysis has moved on, so the page is made of the row as it is by now. What was typed stands
    there to be copied; where nothing was, the page is opened anew.
    """
    analysis = writable_or_403(all_of_page(), person(request), pk)
    messages.error(request, str(error))
    words = [
        (bound.label, str(bound.value()))
        for bound in form.visible_fields()
        if isinstance(bound.field, forms.CharField) and (bound.value() or "").strip()
    ]
    if not words:
        return redirect(analysis)
    context = detail_context(request, analysis, not_saved=words)
    status = _CONFLICT if isinstance(error, ConflictError) else _UNPROCESSABLE
    return render(request, "analyses/detail.html", context, status=status)


@require_safe
def analysis_status(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Answer the page's question "is it done?"; the interval grows with every question."""
    analysis = visible_or_404(all_of_page(), person(request), pk)
    try:
        poll = min(max(0, int(request.GET.get("poll", "0"))), _MOST_POLLS) + 1
    except ValueError:
        poll = 1
    if not Analysis.objects.revealed_to(person(request)).filter(pk=analysis.pk).exists():
        veil(analysis)
    context = {"analysis": analysis} | _poll_facts(analysis, poll)
    if analysis.is_waiting:
        context["news"] = request.GET.get("seen") != context["seen"]
        return render(request, "analyses/_status.html", context)
    response = render(request, "analyses/_finished.html", context, status=STOP_POLLING)
    # The whole page is loaded anew: it shows the reading form, or the answer.
    response.headers["HX-Refresh"] = "true"
    return response


@require_safe
def analysis_map(request: HttpRequest, pk: uuid.UUID, label: str) -> HttpResponse:
    """Send the class activation map of a label as a transparent picture.

    Like the picture's, its address is signed for this person, and who looked is recorded.
    """
    user = person(request)
    links.check(request)
    analysis = visible_or_404(Analysis.objects.all(), user, pk)
    if not Analysis.objects.revealed_to(user).filter(pk=analysis.pk).exists():
        raise Http404
    if analysis.prediction_id is None:
        raise Http404
    predictions = Prediction.objects.filter(pk=analysis.prediction_id)
    maps = predictions.values_list("evidence_maps", flat=True).first()
    if not maps or label not in maps:
        raise Http404
    record_map_viewed(analysis=analysis, by=user, label=label)
    response = HttpResponse(overlay_png(maps[label]), content_type="image/png")
    response.headers["Content-Disposition"] = f'inline; filename="{analysis.pk}.png"'
    response.headers["Content-Security-Policy"] = "default-src 'none'; sandbox"
    response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Cache-Control"] = "no-store, private"
    return response


@require_POST
def analysis_retry(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Try a failed or rejected analysis again."""
    return _moved(request, pk, retry_analysis, _("The analysis is queued again."))


@require_POST
def analysis_cancel(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Call a queued analysis off."""
    return _moved(request, pk, cancel_analysis, _("The analysis was cancelled."))


@require_POST
def analysis_modality(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Correct how the analysed image was taken, and go on to the other network's analysis."""
    user = person(request)
    analysis = writable_or_403(all_of_page(), user, pk)
    form = ModalityForm(request.POST, image=analysis.image)
    if not form.is_valid():
        context = detail_context(request, analysis, modality_form=form)
        return render(request, "analyses/detail.html", context, status=_UNPROCESSABLE)
    try:
        following = correct_modality(image=analysis.image, by=user, **form.cleaned_data)
    except RuleError as error:
        return not_saved(request, pk, form, error)
    told = _("The modality is corrected to %(modality)s. This is the analysis made for it.")
    messages.success(request, told % {"modality": within(following.get_modality_display())})
    return redirect(following)


def _moved(
    request: HttpRequest, pk: uuid.UUID, service: Callable[..., None], done: str
) -> HttpResponse:
    user = person(request)
    analysis = writable_or_403(all_of_page(), user, pk)
    form = ReasonForm(request.POST)
    hidden = (
        analysis.state in {State.SUCCEEDED, State.REJECTED}
        and not Analysis.objects.revealed_to(user).filter(pk=analysis.pk).exists()
    )
    if hidden:
        # Whether it can be tried again would tell whether it was rejected.
        return not_saved(request, pk, form, RuleError(_("Save your own reading first.")))
    if not form.is_valid():
        context = detail_context(request, analysis, reason_form=form)
        return render(request, "analyses/detail.html", context, status=_UNPROCESSABLE)
    try:
        service(analysis=analysis, by=user, reason=form.cleaned_data["reason"])
    except RuleError as error:
        return not_saved(request, pk, form, error)
    messages.success(request, done)
    return redirect(analysis)
