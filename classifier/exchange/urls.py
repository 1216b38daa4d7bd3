"""Exports of one analysis, and the import of old images."""

from django.urls import URLPattern, path

from classifier.exchange import import_views, views

urlpatterns: list[URLPattern] = [
    path("analyses/<uuid:pk>/letter.pdf", views.analysis_letter, name="analysis_letter"),
    path("analyses/<uuid:pk>/report.fhir.json", views.analysis_fhir, name="analysis_fhir"),
    path("analyses/<uuid:pk>/image.dcm", views.analysis_dicom_image, name="analysis_dicom_image"),
    path(
        "analyses/<uuid:pk>/report.dcm", views.analysis_dicom_report, name="analysis_dicom_report"
    ),
    path("imports/", import_views.import_list, name="import_list"),
    path("imports/<uuid:pk>/", import_views.import_detail, name="import_detail"),
    path("imports/<uuid:pk>/start/", import_views.import_start, name="import_start"),
    path("imports/<uuid:pk>/again/", import_views.import_again, name="import_again"),
    path("imports/<uuid:pk>/discard/", import_views.import_discard, name="import_discard"),
    path("imports/<uuid:pk>/refused.csv", import_views.import_refused, name="import_refused"),
]
