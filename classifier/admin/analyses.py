"""Analyses with their transitions; predictions, readings and reviews."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin
from django.utils.formats import date_format
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from classifier.admin.base import (
    ActorMixin,
    ReadOnlyAdmin,
    ReasonMixin,
    found_by_patient,
    people_like,
    person,
)
from classifier.models import Analysis, Prediction, Reading, Review, Transition
from classifier.services.analyses import cancel_analysis, retry_analysis

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.db.models import QuerySet
    from django.http import HttpRequest, HttpResponse


class TransitionInline(ActorMixin, admin.TabularInline[Transition, Analysis]):
    """Every move of the analysis, oldest first."""

    model = Transition
    extra = 0
    can_delete = False
    fields = (
        "created_at",
        "from_state",
        "to_state",
        "attempt",
        "who",
        "worker",
        "reason",
    )
    readonly_fields = fields

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002 - Django's signature
        """Return False."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002 - Django's signature
        """Return False."""
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Transition]:
        """Fetch the named persons in the same query."""
        return super().get_queryset(request).select_related("actor")


@admin.register(Analysis)
class AnalysisAdmin(ReasonMixin, ReadOnlyAdmin[Analysis]):
    """Jobs: looked at here, moved only by actions that demand a reason."""

    inlines: ClassVar[list[Any]] = [TransitionInline]
    list_display = (
        "id",
        "patient",
        "label_set",
        "state",
        "attempt",
        "failure_code",
        "failure_reference",
        "model_version",
        "created_at",
        "finished_at",
    )
    list_select_related = ("patient", "model_version")
    list_filter = ("state", "label_set", "decision", "review_state", "clinic")
    search_fields = ("id", "patient__name", "patient__record_number", "failure_reference")
    actions = ("retry", "cancel")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Analysis], search_term: str
    ) -> tuple[QuerySet[Analysis], bool]:
        """Look for a key, the whole reference of a failure, or a patient."""
        del request
        if not search_term:
            return queryset, False
        failed = queryset.filter(failure_reference=search_term.strip().lower())
        if failed.exclude(failure_reference="").exists():
            return failed, False
        found = found_by_patient(queryset, search_term, patient="patient", keys=("pk", "image"))
        return found, False

    def has_move_permission(self, request: HttpRequest) -> bool:
        """Return whether the person may retry and cancel jobs (the change permission)."""
        return request.user.has_perm("classifier.change_analysis")

    @admin.action(description=_("Retry the chosen analyses"), permissions=["move"])
    def retry(self, request: HttpRequest, queryset: QuerySet[Analysis]) -> HttpResponse | None:
        """Queue failed or rejected analyses again."""
        return self._move(request, queryset, "retry", _("Retry"), retry_analysis)

    @admin.action(description=_("Cancel the chosen analyses"), permissions=["move"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[Analysis]) -> HttpResponse | None:
        """Cancel queued analyses."""
        return self._move(request, queryset, "cancel", _("Cancel"), cancel_analysis)

    def about(self, row: Analysis) -> str:
        """Return what tells one job from another."""
        return f"{row.get_state_display()} · {date_format(row.created_at, 'DATETIME_FORMAT')}"

    def _move(
        self,
        request: HttpRequest,
        queryset: QuerySet[Analysis],
        action: str,
        verb: Any,
        service: Callable[..., object],
    ) -> HttpResponse | None:
        return self.with_reason(
            request,
            queryset,
            action=action,
            verb=verb,
            intro=_("These analyses will be moved. Say why; it is kept."),
            deed=lambda row, reason: service(analysis=row, by=person(request), reason=reason),
            done=lambda n: ngettext("%(n)d analysis moved.", "%(n)d analyses moved.", n) % {"n": n},
        )


@admin.register(Prediction)
class PredictionAdmin(ReadOnlyAdmin[Prediction]):
    """What the networks said; nobody alters it."""

    list_display = (
        "id",
        "decision",
        "top_label",
        "confidence",
        "model_version",
        "engine",
        "created_at",
    )
    list_select_related = ("model_version",)
    list_filter = ("decision", "model_version", "clinic")
    search_fields = ("id", "image__patient__record_number")
    exclude = ("evidence_maps",)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Prediction], search_term: str
    ) -> tuple[QuerySet[Prediction], bool]:
        """Look for a key or a patient."""
        del request
        if not search_term:
            return queryset, False
        found = found_by_patient(
            queryset, search_term, patient="image__patient", keys=("pk", "image")
        )
        return found, False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Prediction]:
        """Leave the maps in the database."""
        return super().get_queryset(request).defer("evidence_maps")


@admin.register(Reading)
class ReadingAdmin(ReadOnlyAdmin[Reading]):
    """Clinicians' own readings."""

    list_display = ("analysis_id", "reader", "diagnosis", "blinded", "created_at")
    list_select_related = ("reader",)
    list_filter = ("blinded", "clinic")
    search_fields = ("reader__email", "analysis__patient__record_number")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Reading], search_term: str
    ) -> tuple[QuerySet[Reading], bool]:
        """Look for a key, the address of a person, or a patient."""
        del request
        if "@" in search_term:
            return queryset.filter(reader__in=people_like(search_term)), False
        if not search_term:
            return queryset, False
        found = found_by_patient(
            queryset, search_term, patient="analysis__patient", keys=("pk", "analysis")
        )
        return found, False


@admin.register(Review)
class ReviewAdmin(ReadOnlyAdmin[Review]):
    """Clinicians' verdicts."""

    list_display = ("analysis_id", "number", "reviewer", "verdict", "diagnosis", "created_at")
    list_select_related = ("reviewer",)
    list_filter = ("verdict", "clinic")
    # Newest first: by the number alone, which is 1 of most, no list has an order.
    ordering = ("-created_at", "-id")
    search_fields = ("reviewer__email", "analysis__patient__record_number")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Review], search_term: str
    ) -> tuple[QuerySet[Review], bool]:
        """Look for a key, the address of a person, or a patient."""
        del request
        if "@" in search_term:
            return queryset.filter(reviewer__in=people_like(search_term)), False
        if not search_term:
            return queryset, False
        found = found_by_patient(
            queryset, search_term, patient="analysis__patient", keys=("pk", "analysis")
        )
        return found, False
