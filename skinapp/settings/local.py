"""Settings of ``make run``: one person's machine, embedded servers, data under ``var/``."""

import hashlib
import secrets
from pathlib import Path

from skinapp.settings.base import *  # noqa: F403 - a settings module extends the base by design
from skinapp.settings.base import BASE_DIR
from skinapp.settings.env import env, optional_secret

# The supervisor names its folder, so that two installations share nothing.
VAR = Path(env.str("SKINAPP_VAR", default=str(BASE_DIR / "var")))


def _own_secret_key() -> str:
    """Return this installation's key, drawn at the first start and kept under ``var/``."""
    path = VAR / "secret_key"
    if not path.exists() or not path.stat().st_size:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600, exist_ok=True)
        path.write_text(secrets.token_urlsafe(48), encoding="utf-8")
    return path.read_text(encoding="utf-8")


SECRET_KEY = optional_secret("SECRET_KEY") or _own_secret_key()
DEBUG = env.bool("DEBUG", default=False)
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"])
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])
# Browsers keep cookies by host, not by port: with one name for all, signing in to one clone would
# sign out of another on the same machine.
_NAME = hashlib.sha256(str(VAR).encode()).hexdigest()[:8]
SESSION_COOKIE_NAME = f"session_{_NAME}"
CSRF_COOKIE_NAME = f"csrf_{_NAME}"
STATIC_ROOT = env.path("STATIC_ROOT", default=str(VAR / "static"))()
MEDIA_ROOT = env.path("MEDIA_ROOT", default=str(VAR / "media"))()
DEMO_CLINIC = env.bool("DEMO_CLINIC", default=True)
# The demo's administrator shows the admin panel without a phone at hand.
SECOND_FACTOR_FOR_STAFF = env.bool("SECOND_FACTOR_FOR_STAFF", default=False)
# Password-reset letters are written to files under var/mail instead of being sent.
EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
EMAIL_FILE_PATH = str(VAR / "mail")
