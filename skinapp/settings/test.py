"""Settings of the test suite: a real PostgreSQL and a real Valkey, cheap password hashes."""

import tempfile
from pathlib import Path

from skinapp.settings.base import *  # noqa: F403 - a settings module extends the base by design
from skinapp.settings.base import INSTALLED_APPS, STORAGES

SECRET_KEY = "only-for-tests-" + "x" * 40
ALLOWED_HOSTS = ["testserver", "localhost", "127.0.0.1"]
# Checks migrations in .ci/check; it is not installed in a hospital.
INSTALLED_APPS = [*INSTALLED_APPS, "django_migration_linter"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
# Tests of the second factor ask for it; the others are about something else.
SECOND_FACTOR_FOR_STAFF = False
EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
SITE_ADDRESS = "https://skin.hospital.example"
# Figures are counted anew at every look, however slow the machine is.
FIGURES_SLOW_SECONDS = float("inf")
MEDIA_ROOT = Path(tempfile.gettempdir()) / "skinapp-tests-media"
STORAGES = STORAGES | {
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
# Static files come straight from their folders, so that no test needs collectstatic first.
WHITENOISE_AUTOREFRESH = True
WHITENOISE_USE_FINDERS = True
