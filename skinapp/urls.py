"""Every address of the application."""

from django.contrib import admin
from django.urls import include, path

from classifier.accounts import no_own_addresses
from skinapp import health
from skinapp.languages import choose_language

urlpatterns = [
    path("healthz", health.alive, name="healthz"),
    path("readyz", health.ready, name="readyz"),
    path("language/", choose_language, name="choose_language"),
    path("admin/", admin.site.urls),
    # Before the library's page of the same address, which it shuts.
    path("accounts/email/", no_own_addresses, name="account_email"),
    path("accounts/", include("allauth.urls")),
    path("", include("classifier.urls")),
]

handler500 = "skinapp.faults.server_error"
