"""Settings of a hospital's installation. What matters has no default: missing means no start."""

from datetime import timedelta

from django.core.exceptions import ImproperlyConfigured

from skinapp.settings.base import *  # noqa: F403 - a settings module extends the base by design
from skinapp.settings.base import DATABASES
from skinapp.settings.env import env, secret

SECRET_KEY = secret("SECRET_KEY")
_SHORTEST_KEY = 50
if len(SECRET_KEY) < _SHORTEST_KEY or SECRET_KEY.startswith(("django-insecure", "change")):
    msg = f"SECRET_KEY must be random and at least {_SHORTEST_KEY} characters long."
    raise ImproperlyConfigured(msg)

# Read again without the base's default, so that a missing address stops the start.
DATABASES["default"] = env.db_url_config(secret("DATABASE_URL")) | {
    "CONN_MAX_AGE": 60,
    "CONN_HEALTH_CHECKS": True,
}
REDIS_URL = secret("REDIS_URL")
CELERY_BROKER_URL = REDIS_URL
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": REDIS_URL,
        "KEY_PREFIX": "skinapp",
    },
}
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS")
if not ALLOWED_HOSTS or "*" in ALLOWED_HOSTS:
    msg = "ALLOWED_HOSTS must name the host names of this installation; '*' is refused."
    raise ImproperlyConfigured(msg)
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])

# TLS ends at the hospital's proxy, which must set this header itself and drop a client's own.
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_SSL_REDIRECT = True
# The container's own health check speaks plain HTTP on the loopback.
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$"]
SECURE_HSTS_SECONDS = int(timedelta(days=365).total_seconds())
SECURE_HSTS_INCLUDE_SUBDOMAINS = True
SECURE_HSTS_PRELOAD = True
SESSION_COOKIE_SECURE = True
SESSION_COOKIE_NAME = "__Host-sessionid"
CSRF_COOKIE_SECURE = True
CSRF_COOKIE_NAME = "__Host-csrftoken"

EMAIL_CONFIG = env.email_url("EMAIL_URL")
vars().update(EMAIL_CONFIG)
