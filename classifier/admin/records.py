"""Patients, lesions and images."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from django.contrib import admin

from classifier.admin.base import ReadOnlyAdmin, RecordAdmin, found_by_patient
from classifier.models import Image, Lesion, Patient

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest

    from classifier.models.patients import PatientQuerySet

# Hexadecimal digits of a SHA-256.
_DIGITS = 64


@admin.register(Patient)
class PatientAdmin(RecordAdmin[Patient]):
    """Patients: facts can be corrected, the clinic cannot be changed."""

    list_display = ("record_number", "name", "clinic", "archived", "created_at")
    list_select_related = ("clinic",)
    list_filter = ("archived", "clinic")
    search_fields = ("name", "record_number")
    readonly_fields = ("clinic", "created_by", "created_at", "updated_at")
    ordering = ("name", "id")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Patient], search_term: str
    ) -> tuple[QuerySet[Patient], bool]:
        """Search as the application does: without accents, through the index."""
        del request
        return cast("PatientQuerySet", queryset).matching(search_term), False

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002 - Django's signature
        """Return False: patients are registered in the application, by a clinic's member."""
        return False


@admin.register(Lesion)
class LesionAdmin(ReadOnlyAdmin[Lesion]):
    """Lesions."""

    list_display = ("label", "body_site", "patient", "clinic", "created_at")
    list_select_related = ("patient", "clinic")
    list_filter = ("body_site", "clinic")
    search_fields = ("patient__name", "patient__record_number")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Lesion], search_term: str
    ) -> tuple[QuerySet[Lesion], bool]:
        """Look for a key or a patient."""
        del request
        if not search_term:
            return queryset, False
        return found_by_patient(queryset, search_term, patient="patient"), False


@admin.register(Image)
class ImageAdmin(ReadOnlyAdmin[Image]):
    """Images: facts only; the picture is seen in the application, by a clinic's member."""

    list_display = ("id", "patient", "modality", "width", "height", "uploaded_by", "created_at")
    list_select_related = ("patient", "uploaded_by")
    list_filter = ("modality", "clinic")
    search_fields = ("patient__name", "patient__record_number", "original_sha256")
    exclude = ("display", "thumbnail", "network_source")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Image], search_term: str
    ) -> tuple[QuerySet[Image], bool]:
        """Look for a key, the whole SHA-256 of an upload, or a patient."""
        del request
        if len(search_term) == _DIGITS:
            return queryset.filter(original_sha256=search_term.lower()), False
        if not search_term:
            return queryset, False
        return found_by_patient(queryset, search_term, patient="patient"), False
