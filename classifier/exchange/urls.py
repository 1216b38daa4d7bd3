"""Exports of one analysis, and the import of old images."""

from django.urls import URLPattern, path

from classifier.exchange import views

urlpatterns: list[URLPattern] = [
    path("analyses/<uuid:pk>/letter.pdf", views.analysis_letter, name="analysis_letter"),
    path("analyses/<uuid:pk>/report.fhir.json", views.analysis_fhir, name="analysis_fhir"),
    path("analyses/<uuid:pk>/image.dcm", views.analysis_dicom_image, name="analysis_dicom_image"),
    path(
        "analyses/<uuid:pk>/report.dcm", views.analysis_dicom_report, name="analysis_dicom_report"
    ),
]
