"""Addresses of the clinic's pages, one file per area. Identifiers are UUIDs."""

from django.urls import include, path

urlpatterns = [
    path("", include("classifier.urls.lists")),
    path("", include("classifier.urls.patients")),
    path("", include("classifier.urls.images")),
    path("", include("classifier.urls.analyses")),
    path("", include("classifier.urls.models")),
    path("", include("classifier.urls.figures")),
    path("", include("classifier.urls.readings")),
    path("", include("classifier.urls.outcomes")),
    path("", include("classifier.urls.records")),
    path("", include("classifier.urls.access")),
    path("", include("classifier.exchange.urls")),
    path("", include("classifier.urls.api")),
]
