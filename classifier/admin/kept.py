"""What is kept for proof, to read: integrity checks, consents, tombstones, emergency accesses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import admin
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext_lazy as _

from classifier.admin.base import ReadOnlyAdmin, as_key, found_by_patient
from classifier.models import (
    BreakGlass,
    Consent,
    Disagreement,
    Erasure,
    IntegrityRun,
    Outcome,
    ReadingRequest,
)

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest
    from django.utils.safestring import SafeString

# Of a run's findings so many are shown; ``manage.py check_integrity`` prints the rest.
_MOST_FINDINGS = 100


@admin.register(IntegrityRun)
class IntegrityRunAdmin(ReadOnlyAdmin[IntegrityRun]):
    """What the nightly check looked at and found."""

    list_display = ("started_at", "finished_at", "slices_done", "found", "swept")
    list_filter = ("started_at",)
    fields = ("started_at", "finished_at", "slices_done", "looked_at", "counts", "swept", "listed")

    def get_queryset(self, request: HttpRequest) -> QuerySet[IntegrityRun]:
        """Leave the findings of a whole list of runs in the database."""
        return super().get_queryset(request).defer("findings")

    @admin.display(description=_("findings"))
    def found(self, run: IntegrityRun) -> int:
        """Return how many findings a run has."""
        return sum(run.counts.values())

    @admin.display(description=_("findings"))
    def listed(self, run: IntegrityRun) -> SafeString | str:
        """Return the first findings, a line each: code, subject, detail."""
        rows = [
            (row.get("code", ""), row.get("subject", ""), row.get("detail", ""))
            for row in run.findings[:_MOST_FINDINGS]
        ]
        if not rows:
            return "–"
        return format_html("<ul>{}</ul>", format_html_join("", "<li>{}: {} {}</li>", rows))


@admin.register(Consent)
class ConsentAdmin(ReadOnlyAdmin[Consent]):
    """What patients said about uses of their images, each word of it."""

    list_display = ("patient", "use", "given", "decided_on", "recorded_by", "recorded_at")
    list_select_related = ("patient", "recorded_by")
    list_filter = ("use", "given", "clinic")
    search_fields = ("patient__name", "patient__record_number")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Consent], search_term: str
    ) -> tuple[QuerySet[Consent], bool]:
        """Look for a key or a patient."""
        del request
        if not search_term:
            return queryset, False
        return found_by_patient(queryset, search_term, patient="patient"), False


@admin.register(Erasure)
class ErasureAdmin(ReadOnlyAdmin[Erasure]):
    """Tombstones: who was erased when, by identifier, and whether all files are gone."""

    list_display = ("patient_key", "clinic", "erased_by", "erased_at", "files_removed_at")
    list_select_related = ("clinic", "erased_by")
    list_filter = ("clinic",)
    search_fields = ("patient_key",)
    exclude = ("files",)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Erasure], search_term: str
    ) -> tuple[QuerySet[Erasure], bool]:
        """Look for the whole key of a patient."""
        del request
        if not search_term:
            return queryset, False
        key = as_key(search_term)
        return (queryset.none() if key is None else queryset.filter(patient_key=key)), False


@admin.register(BreakGlass)
class BreakGlassAdmin(ReadOnlyAdmin[BreakGlass]):
    """Emergency accesses of all clinics; a clinic's administrator ends one in the application."""

    list_display = ("user", "clinic", "patient", "created_at", "expires_at", "ended_at")
    list_select_related = ("user", "clinic", "patient")
    list_filter = ("clinic",)
    search_fields = ("user__email", "patient__record_number")


@admin.register(ReadingRequest)
class ReadingRequestAdmin(ReadOnlyAdmin[ReadingRequest]):
    """Who was asked to read an image again, and what became of it."""

    list_display = ("analysis_id", "requested_by", "asked", "created_at", "reading_id")
    list_select_related = ("requested_by", "asked")
    list_filter = ("clinic",)
    ordering = ("-created_at", "-id")
    search_fields = ("patient__name", "patient__record_number")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[ReadingRequest], search_term: str
    ) -> tuple[QuerySet[ReadingRequest], bool]:
        """Look for a key or a patient."""
        del request
        if not search_term:
            return queryset, False
        found = found_by_patient(queryset, search_term, patient="patient", keys=("pk", "analysis"))
        return found, False


@admin.register(Disagreement)
class DisagreementAdmin(ReadOnlyAdmin[Disagreement]):
    """Where opinions differed, and by which review that was decided."""

    list_display = ("analysis_id", "difference", "opened_at", "settled_by_id")
    list_filter = ("difference", "clinic")
    ordering = ("-opened_at", "-id")
    search_fields = ("patient__name", "patient__record_number")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Disagreement], search_term: str
    ) -> tuple[QuerySet[Disagreement], bool]:
        """Look for a key or a patient."""
        del request
        if not search_term:
            return queryset, False
        found = found_by_patient(queryset, search_term, patient="patient", keys=("pk", "analysis"))
        return found, False


@admin.register(Outcome)
class OutcomeAdmin(ReadOnlyAdmin[Outcome]):
    """What lesions turned out to be, each version of it."""

    list_display = ("lesion_id", "number", "kind", "diagnosis", "found_on", "recorded_by")
    list_select_related = ("recorded_by",)
    list_filter = ("kind", "behaviour", "clinic")
    ordering = ("-recorded_at", "-id")
    search_fields = ("patient__name", "patient__record_number")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Outcome], search_term: str
    ) -> tuple[QuerySet[Outcome], bool]:
        """Look for a key or a patient."""
        del request
        if not search_term:
            return queryset, False
        return found_by_patient(
            queryset, search_term, patient="patient", keys=("pk", "lesion")
        ), False
