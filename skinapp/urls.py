"""Every address of the application."""

from django.contrib import admin
from django.urls import include, path

from skinapp import health

urlpatterns = [
    path("healthz", health.alive, name="healthz"),
    path("readyz", health.ready, name="readyz"),
    path("admin/", admin.site.urls),
    path("accounts/", include("allauth.urls")),
    path("", include("classifier.urls")),
]

handler500 = "skinapp.middleware.server_error"
