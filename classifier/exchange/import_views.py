"""Pages on which a clinic's administrator imports old images."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from classifier.cells import harmless
from classifier.choices import ImportState, RowState
from classifier.exchange.importing import check_again, counts_of, discard, send_archive, start
from classifier.exchange.sources import COLUMNS
from classifier.exchange.views import as_file
from classifier.models import Clinic, ImportRow, ImportRun
from classifier.services.errors import RuleError
from classifier.tasks.imports import wake
from classifier.views.access import person

if TYPE_CHECKING:
    import uuid
    from collections.abc import Callable
    from typing import Any

    from django.http import HttpRequest, HttpResponse

    from classifier.models import User

_UNPROCESSABLE = 422
# More than these nobody reads on a page; the CSV has all that were refused.
_MOST_SHOWN = 200


class ArchiveForm(forms.Form):
    """An archive of old images, and the clinic where the person may choose one."""

    clinic = forms.ModelChoiceField(label=gettext_lazy("Clinic"), queryset=Clinic.objects.none())
    archive = forms.FileField(
        label=gettext_lazy("ZIP archive"),
        help_text=gettext_lazy("The pictures, and one CSV file that says what they are."),
        widget=forms.FileInput(attrs={"accept": ".zip,application/zip"}),
    )

    def __init__(self, *args: Any, clinics: list[Clinic], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._only = clinics[0]
        choice = self.fields["clinic"]
        if len(clinics) == 1:
            del self.fields["clinic"]
        elif isinstance(choice, forms.ModelChoiceField):
            choice.queryset = Clinic.objects.filter(pk__in=[each.pk for each in clinics])

    @property
    def chosen(self) -> Clinic:
        """The clinic of the valid form."""
        clinic: Clinic = self.cleaned_data.get("clinic") or self._only
        return clinic


@require_http_methods(["GET", "HEAD", "POST"])
def import_list(request: HttpRequest) -> HttpResponse:
    """List a clinic's imports, and take an archive."""
    user = person(request)
    clinics = list(Clinic.objects.administered_by(user))
    if not clinics:
        raise PermissionDenied(_("Only a clinic's administrator imports its old images."))
    sent = request.method == "POST"
    form = ArchiveForm(
        request.POST if sent else None, request.FILES if sent else None, clinics=clinics
    )
    if sent and form.is_valid():
        try:
            run = send_archive(
                clinic=form.chosen, by=user, archive=form.cleaned_data["archive"].file
            )
        except RuleError as error:
            form.add_error("archive", str(error))
        else:
            wake()
            return redirect(run)
    context = {
        "form": form,
        "columns": COLUMNS,
        "runs": ImportRun.objects.visible_to(user).select_related("clinic", "created_by")[:50],
    }
    return render(
        request, "imports/list.html", context, status=_UNPROCESSABLE if form.errors else 200
    )


@require_safe
def import_detail(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Show an import: how far it is, what each line would do or did, what was refused and why."""
    run = _own(person(request), pk)
    counts = counts_of(run)
    left = counts[RowState.NEW] if run.state == ImportState.CHECKING else counts[RowState.READY]
    rows = run.rows.select_related("patient", "image__lesion").defer("patient__notes")
    rows = rows.order_by("line")
    shown = [*rows.filter(state=RowState.REFUSED)[:_MOST_SHOWN]]
    shown += rows.exclude(state=RowState.REFUSED)[: _MOST_SHOWN - len(shown)]
    context = {
        "run": run,
        "counts": [(RowState(state).label, count) for state, count in counts.items()],
        "total": sum(counts.values()),
        "done": sum(counts.values()) - left,
        "ready": counts[RowState.READY],
        "refused": counts[RowState.REFUSED],
        "rows": shown,
    }
    part = request.headers.get("HX-Request") == "true"
    response = render(request, "imports/_progress.html" if part else "imports/detail.html", context)
    if part and not run.is_busy:
        response.headers["HX-Refresh"] = "true"
    return response


@require_POST
def import_start(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Take in what was found fit."""
    return _done(request, pk, start, _("The import is under way."))


@require_POST
def import_again(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Look the refused lines through again."""
    return _done(request, pk, check_again, _("The lines are being looked through again."))


@require_POST
def import_discard(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Remove the archive and its lines."""
    user = person(request)
    discard(run=_own(user, pk), by=user)
    messages.success(request, _("The archive and its lines are removed. What was added stays."))
    return redirect("import_list")


@require_safe
def import_refused(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Send the refused lines as a table of the same form, with the reasons."""
    run = _own(person(request), pk)
    response = as_file(b"", "text/csv; charset=utf-8", f"{run.pk}-refused.csv")
    # Spreadsheets take a file without this mark for some other encoding.
    response.write("\ufeff")
    writer = csv.writer(response)
    writer.writerow([*COLUMNS, "line", "reason"])
    for row in run.rows.filter(state=RowState.REFUSED).order_by("line"):
        writer.writerow([harmless(cell) for cell in _cells(row)])
    return response


def _cells(row: ImportRow) -> list[str]:
    return [*(row.facts.get(name, "") for name in COLUMNS), str(row.line), row.told]


def _own(user: User, pk: uuid.UUID) -> ImportRun:
    """Return an import of a clinic that the person administers; anything else is not there."""
    return get_object_or_404(ImportRun.objects.visible_to(user).select_related("clinic"), pk=pk)


def _done(
    request: HttpRequest, pk: uuid.UUID, service: Callable[..., None], told: str
) -> HttpResponse:
    user = person(request)
    run = _own(user, pk)
    try:
        service(run=run, by=user)
    except RuleError as error:
        messages.error(request, str(error))
    else:
        messages.success(request, told)
        wake()
    return redirect(run)
