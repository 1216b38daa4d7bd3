"""The audit trail, to read."""

from django.contrib import admin

from classifier.admin.base import ReadOnlyAdmin
from classifier.models import AuditEvent


@admin.register(AuditEvent)
class AuditEventAdmin(ReadOnlyAdmin[AuditEvent]):
    """Who did what."""

    list_display = ("at", "actor_kind", "actor", "action", "subject_type", "subject_id", "clinic")
    list_select_related = ("actor", "clinic")
    list_filter = ("actor_kind", "action", "clinic")
    search_fields = ("subject_id", "actor__email")
    date_hierarchy = None
