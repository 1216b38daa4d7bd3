"""Patients and lesions."""

from django.urls import URLPattern, path

from classifier.views import lesions, patients

urlpatterns: list[URLPattern] = [
    path("patients/", patients.patient_list, name="patient_list"),
    path("patients/new/", patients.patient_create, name="patient_create"),
    path("patients/search/", patients.patient_search, name="patient_search"),
    path("patients/<uuid:pk>/", patients.patient_detail, name="patient_detail"),
    path("patients/<uuid:pk>/edit/", patients.patient_update, name="patient_update"),
    path("patients/<uuid:pk>/lesions/new/", patients.lesion_create, name="lesion_create"),
    path("lesions/<uuid:pk>/", lesions.lesion_detail, name="lesion_detail"),
    path("lesions/<uuid:pk>/compare/", lesions.lesion_compare, name="lesion_compare"),
]
