"""Model versions: which network answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import admin, messages
from django.utils.translation import gettext_lazy as _

from classifier.admin.base import ReadOnlyAdmin, person
from classifier.models import ModelVersion
from classifier.services.errors import RuleError
from classifier.services.model_versions import activate_version, roll_back

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest


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
        return request.user.has_perm("classifier.change_modelversion")

    @admin.action(description=_("Activate the chosen version"), permissions=["switch"])
    def activate(self, request: HttpRequest, queryset: QuerySet[ModelVersion]) -> None:
        """Make each chosen version the one that answers for its label set."""
        chosen = list(queryset)
        if len({version.label_set for version in chosen}) != len(chosen):
            self.message_user(request, _("Choose one version of each label set."), messages.ERROR)
            return
        for version in chosen:
            try:
                activate_version(version=version, by=person(request))
            except RuleError as error:
                self.message_user(request, f"{version}: {error}", messages.ERROR)
            else:
                self.message_user(request, _("%s now answers.") % version, messages.SUCCESS)

    @admin.action(
        description=_("Roll back the label set of the chosen version"), permissions=["switch"]
    )
    def back(self, request: HttpRequest, queryset: QuerySet[ModelVersion]) -> None:
        """Return to the version that answered before, for each chosen label set."""
        for label_set in sorted({version.label_set for version in queryset}):
            try:
                version = roll_back(label_set=label_set, by=person(request))
            except RuleError as error:
                self.message_user(request, f"{label_set}: {error}", messages.ERROR)
            else:
                self.message_user(request, _("%s answers again.") % version, messages.SUCCESS)
