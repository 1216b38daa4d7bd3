"""Model versions: which network answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from django.contrib import admin, messages
from django.shortcuts import redirect
from django.utils.translation import gettext_lazy as _

from classifier.admin.base import ReadOnlyAdmin
from classifier.models import ModelVersion, RerunRun
from classifier.querysets.people import may_switch

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest, HttpResponse

    from classifier.models import User


@admin.register(ModelVersion)
class ModelVersionAdmin(ReadOnlyAdmin[ModelVersion]):
    """Registered releases; one of each label set is active."""

    list_display = (
        "label_set",
        "version",
        "active",
        "registered_at",
        "activated_at",
        "artefact_sha256",
    )
    list_filter = ("label_set", "active")
    search_fields = ("version", "artefact_sha256")
    actions = ("activate", "back")

    def has_switch_permission(self, request: HttpRequest) -> bool:
        """Return whether the person may switch networks (the change permission)."""
        return may_switch(cast("User", request.user))

    @admin.action(description=_("Activate the chosen version …"), permissions=["switch"])
    def activate(
        self, request: HttpRequest, queryset: QuerySet[ModelVersion]
    ) -> HttpResponse | None:
        """Go to the page that switches: it shows what answers now and demands a reason."""
        return self._one(request, queryset, "model_version_activate")

    @admin.action(
        description=_("Roll back the label set of the chosen version …"), permissions=["switch"]
    )
    def back(self, request: HttpRequest, queryset: QuerySet[ModelVersion]) -> HttpResponse | None:
        """Go to the page that rolls back from the version that answers."""
        chosen = ModelVersion.objects.filter(
            label_set__in=queryset.values("label_set"), active=True
        )
        return self._one(request, chosen, "model_version_roll_back")

    def _one(
        self, request: HttpRequest, queryset: QuerySet[ModelVersion], page: str
    ) -> HttpResponse | None:
        chosen = list(queryset[:2])
        if len(chosen) != 1:
            self.message_user(
                request,
                _("Choose one version of a label set that has an active one."),
                messages.ERROR,
            )
            return None
        return redirect(page, chosen[0].pk)


@admin.register(RerunRun)
class RerunRunAdmin(ReadOnlyAdmin[RerunRun]):
    """Comparisons of networks; their cases are seen in the application, by a clinic's members."""

    list_display = ("version", "clinic", "since", "until", "state", "created_by", "created_at")
    list_select_related = ("version", "clinic", "created_by")
    list_filter = ("state", "clinic")
    ordering = ("-created_at", "-id")
