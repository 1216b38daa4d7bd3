"""Uploads and image bytes."""

from django.urls import URLPattern, path

from classifier.views import images

urlpatterns: list[URLPattern] = [
    path("analyses/new/", images.analysis_new, name="analysis_new"),
    path("patients/<uuid:pk>/images/new/", images.image_upload, name="image_upload"),
    path("images/<uuid:pk>/<slug:variant>/", images.image_bytes, name="image_bytes"),
]
