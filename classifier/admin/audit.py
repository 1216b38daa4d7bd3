"""The audit trail, to read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.contrib import admin
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from classifier.admin.base import ActorMixin, ReadOnlyAdmin, as_key, people_like
from classifier.models import AuditEvent
from classifier.selectors.audit import ACTIONS

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest


class ActionFilter(admin.SimpleListFilter):
    """The actions there are in the code; the stock filter reads the whole trail to know them."""

    title = _("action")
    parameter_name = "action"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:  # noqa: ARG002 - Django's signature
        """Return (code, words) in the order of the words."""
        return sorted(ACTIONS.items(), key=lambda pair: str(pair[1]))

    def queryset(
        self,
        request: HttpRequest,  # noqa: ARG002 - Django's signature
        queryset: QuerySet[AuditEvent],
    ) -> QuerySet[AuditEvent]:
        """Keep the events of the chosen action."""
        return queryset.filter(action=self.value()) if self.value() else queryset


@admin.register(AuditEvent)
class AuditEventAdmin(ActorMixin, ReadOnlyAdmin[AuditEvent]):
    """Who did what."""

    list_display = ("at", "who", "action", "subject_type", "subject_id", "clinic")
    fields = (
        "at",
        "who",
        "clinic",
        "action",
        "subject_type",
        "subject_id",
        "patient_key",
        "reason",
        "details",
    )
    list_select_related = ("actor", "clinic")
    list_filter = ("actor_kind", ActionFilter, "clinic")
    search_fields = ("subject_id", "actor__email")
    date_hierarchy = None

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[AuditEvent], search_term: str
    ) -> tuple[QuerySet[AuditEvent], bool]:
        """Look for the key of a subject or a patient, or for what a person did."""
        del request
        key = as_key(search_term)
        if key is not None:
            # The kind of subject leads the index.
            kinds = [
                model._meta.model_name for model in apps.get_app_config("classifier").get_models()
            ]
            named = Q(subject_type__in=kinds, subject_id=str(key))
            return queryset.filter(named | Q(patient_key=key)), False
        if not search_term:
            return queryset, False
        return queryset.filter(actor__in=people_like(search_term)), False
