"""The audit trail, changes, consents, export and erasure."""

from django.urls import URLPattern, path

from classifier.views import patients, records

urlpatterns: list[URLPattern] = [
    path("audit/", records.audit_trail, name="audit_trail"),
    path("patients/<uuid:pk>/changes/", records.patient_changes, name="patient_changes"),
    path("patients/<uuid:pk>/consents/new/", patients.consent_create, name="consent_create"),
    path("patients/<uuid:pk>/export/", records.patient_export, name="patient_export"),
    path("patients/<uuid:pk>/erase/", records.patient_erase, name="patient_erase"),
]
