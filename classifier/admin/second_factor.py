"""Second factors: an administrator sees that there is one and takes a lost one away."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from allauth.mfa.models import Authenticator
from django.contrib import admin
from django.db import transaction

from classifier.admin.base import CappedPaginator, person
from classifier.services import audit

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest

# The library's own page shows the secret itself: whoever saw it could sign in as that person.
admin.site.unregister(Authenticator)


@admin.register(Authenticator)
class SecondFactorAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # the library ships no types
    """Shows when a factor was set up and used, never its secret; removing one is audited."""

    paginator = CappedPaginator
    show_full_result_count = False
    list_per_page = 50
    list_display = ("user", "type", "created_at", "last_used_at")
    list_filter = ("type",)
    list_select_related = ("user",)
    search_fields = ("user__email",)
    fields = ("user", "type", "created_at", "last_used_at")
    readonly_fields = fields

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002 - Django's signature
        """Return False: people set up their own."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002 - Django's signature
        """Return False: there is nothing in it to change."""
        return False

    @transaction.atomic
    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        """Remove a factor and say so in the audit trail."""
        audit.record(
            action="second_factor.removed", actor=person(request), subject=obj.user, type=obj.type
        )
        super().delete_model(request, obj)

    @transaction.atomic
    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """Remove several, each with its own event."""
        for factor in queryset.select_related("user"):
            self.delete_model(request, factor)
