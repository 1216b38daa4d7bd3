"""The worklist, the history and its CSV."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import transaction
from django.http import StreamingHttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from classifier.cells import harmless
from classifier.choices import FilteredPage
from classifier.forms.filters import HistoryFilterForm, WorklistFilterForm
from classifier.selectors.lists import (
    CSV_HEADER,
    MOST_COUNTED,
    TABS,
    ListPage,
    csv_rows,
    history,
    worklist,
    worklist_counts,
)
from classifier.selectors.paging import KeysetPage
from classifier.services import audit
from classifier.views.access import confirmed_recently, person
from classifier.views.saved_filters import saving_context

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.http import HttpRequest, HttpResponse

# For a filter that is wrong: everything would pass for the answer to the one that was meant.
_NOTHING = ListPage(rows=[], page=KeysetPage(rows=[], next="", previous=""))


@require_safe
def worklist_page(request: HttpRequest) -> HttpResponse:
    """Show what waits for a person."""
    user = person(request)
    form = WorklistFilterForm(request.GET, user=user)
    valid = form.is_valid()
    tab = form.cleaned_data.get("tab", TABS[0])
    filters = form.cleaned_data
    cursor = request.GET.get("cursor", "")
    context = {
        "form": form,
        "tab": tab,
        "counts": worklist_counts(user, filters=filters),
        "most_counted": MOST_COUNTED,
        "listed": worklist(user, tab=tab, filters=filters, cursor=cursor) if valid else _NOTHING,
        **saving_context(user, FilteredPage.WORKLIST, form),
    }
    return render(request, "lists/worklist.html", context, status=200 if valid else 400)


@require_safe
def history_page(request: HttpRequest) -> HttpResponse:
    """Show past analyses, filtered."""
    user = person(request)
    form = HistoryFilterForm(request.GET, user=user)
    listed = _NOTHING
    if form.is_valid():
        listed = history(user, form.cleaned_data, cursor=request.GET.get("cursor", ""))
    kept = request.GET.copy()
    kept.pop("cursor", None)
    context = {
        "form": form,
        "query": kept.urlencode(),
        "listed": listed,
        "csv_max_rows": settings.CSV_MAX_ROWS,
        **saving_context(user, FilteredPage.HISTORY, form),
    }
    return render(request, "lists/history.html", context, status=200 if form.is_valid() else 400)


@require_safe
@confirmed_recently
def history_csv(request: HttpRequest) -> HttpResponse | StreamingHttpResponse:
    """Send the filtered history as CSV, row by row."""
    user = person(request)
    form = HistoryFilterForm(request.GET, user=user)
    if not form.is_valid():
        return history_page(request)
    with transaction.atomic():
        audit.record_in_their_clinics(
            action="history.exported",
            actor=user,
            filters=sorted(name for name, value in form.cleaned_data.items() if value),
        )
    response = StreamingHttpResponse(
        _csv_lines(user, form.cleaned_data), content_type="text/csv; charset=utf-8"
    )
    name = f"skinapp-history-{timezone.localdate():%Y-%m-%d}.csv"
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


class _Echo:
    """A file that gives back what is written to it."""

    def write(self, text: str) -> str:
        """Return the text."""
        return text


def _csv_lines(user: Any, filters: dict[str, Any]) -> Iterator[str]:
    writer = csv.writer(_Echo())
    # Spreadsheets take a file without this mark for some other encoding.
    yield "\ufeff" + writer.writerow(CSV_HEADER)
    most: int = settings.CSV_MAX_ROWS
    for number, row in enumerate(csv_rows(user, filters, most=most + 1)):
        if number == most:
            yield writer.writerow([f"Cut after {most} rows; narrow the filters for the rest."])
            return
        yield writer.writerow([harmless(cell) for cell in row])
