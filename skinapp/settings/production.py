"""Settings of a hospital's installation. Whatever matters has no default: missing means no start.

Every secret comes from the environment or from a file that ``NAME_FILE`` points to.
"""

from datetime import timedelta
from urllib.parse import unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

from skinapp.settings.base import *  # noqa: F403 - a settings module extends the base by design
from skinapp.settings.base import (
    CACHES,
    DATABASE_OPTIONS,
    MEDIA_S3_BUCKET,
    MFA_KEYS,
    SECRET_KEY_FALLBACKS,
)
from skinapp.settings.env import env, optional_secret, secret, with_password

_SHORTEST_KEY = 50
_SHORTEST_PASSWORD = 12
_SHORTEST_SEAL = 32
_FEWEST_CHARACTERS = 5
# Words that stand in examples all over the world.
_KNOWN_WORDS = (
    "admin",
    "change",
    "default",
    "django-insecure",
    "example",
    "minioadmin",
    "password",
    "postgres",
    "secret",
    "skinapp",
)


def _refuse_guessable(name: str, value: str, shortest: int) -> None:
    """Stop the start when a secret is short, monotonous or a word of an example.

    Raises:
        ImproperlyConfigured: it is; the sentence says how to draw a good one.
    """
    if (
        len(value) < shortest
        or len(set(value)) < _FEWEST_CHARACTERS
        or value.lower().startswith(_KNOWN_WORDS)
    ):
        msg = (
            f"{name} must be random and at least {shortest} characters long. "
            "Draw one: openssl rand -hex 32"
        )
        raise ImproperlyConfigured(msg)


def _password_of(name: str, address: str) -> str:
    """Return the password in an address.

    Raises:
        ImproperlyConfigured: there is none; the sentence names both places where it may stand.
    """
    try:
        password = urlsplit(address).password
    except ValueError:
        msg = f"{name}_URL is no address."
        raise ImproperlyConfigured(msg) from None
    if not password:
        msg = (
            f"There is no password in {name}_URL: set {name}_PASSWORD, or {name}_PASSWORD_FILE to "
            "a file that holds it."
        )
        raise ImproperlyConfigured(msg)
    # What counts is what it stands for: "%E2%82%AC" is one character.
    return unquote(password)


SECRET_KEY = secret("SECRET_KEY")
_refuse_guessable("SECRET_KEY", SECRET_KEY, _SHORTEST_KEY)
# What they signed is believed as well.
for _key in SECRET_KEY_FALLBACKS:
    _refuse_guessable("Each of SECRET_KEY_FALLBACKS", _key, _SHORTEST_KEY)

# Keys of their own: with SECRET_KEY as the seal, changing it would lock people out.
if not MFA_KEYS:
    secret("MFA_KEYS")
for _key in MFA_KEYS:
    _refuse_guessable("Each of MFA_KEYS", _key, _SHORTEST_SEAL)

# Read again without the base's default, so that a missing address stops the start.
_DATABASE_URL = with_password("DATABASE", secret("DATABASE_URL"))
_refuse_guessable(
    "The password in DATABASE_URL or DATABASE_PASSWORD",
    _password_of("DATABASE", _DATABASE_URL),
    _SHORTEST_PASSWORD,
)
# A dictionary of its own: the base settings' one may belong to another settings module as well.
_DATABASE = env.db_url_config(_DATABASE_URL) | {"CONN_MAX_AGE": 60, "CONN_HEALTH_CHECKS": True}
_DATABASE["OPTIONS"] = DATABASE_OPTIONS | _DATABASE.get("OPTIONS", {})
DATABASES = {"default": _DATABASE}
REDIS_URL = with_password("REDIS", secret("REDIS_URL"))
_refuse_guessable(
    "The password in REDIS_URL or REDIS_PASSWORD",
    _password_of("REDIS", REDIS_URL),
    _SHORTEST_PASSWORD,
)
CELERY_BROKER_URL = REDIS_URL
CACHES = {"default": CACHES["default"] | {"LOCATION": REDIS_URL}}
ALLOWED_HOSTS = [host.strip() for host in env.list("ALLOWED_HOSTS", default=[]) if host.strip()]
if not ALLOWED_HOSTS or any("*" in host for host in ALLOWED_HOSTS):
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
LANGUAGE_COOKIE_SECURE = True
CSRF_COOKIE_NAME = "__Host-csrftoken"

_EMAIL_URL = secret("EMAIL_URL")
if urlsplit(_EMAIL_URL).username:
    _EMAIL_URL = with_password("EMAIL", _EMAIL_URL)
    # Somebody else drew it: only what everybody tries first is refused.
    _refuse_guessable(
        "The password in EMAIL_URL or EMAIL_PASSWORD",
        _password_of("EMAIL", _EMAIL_URL),
        _FEWEST_CHARACTERS,
    )
elif optional_secret("EMAIL_PASSWORD"):
    msg = "EMAIL_PASSWORD is set, but EMAIL_URL names nobody whose password it is."
    raise ImproperlyConfigured(msg)
EMAIL_CONFIG = env.email_url_config(_EMAIL_URL)
vars().update(EMAIL_CONFIG)
DEFAULT_FROM_EMAIL = env.str("DEFAULT_FROM_EMAIL", default="")
if "@" not in DEFAULT_FROM_EMAIL:
    msg = "DEFAULT_FROM_EMAIL must be the address that password-reset letters come from."
    raise ImproperlyConfigured(msg)
SERVER_EMAIL = DEFAULT_FROM_EMAIL

if MEDIA_S3_BUCKET:
    if optional_secret("MEDIA_S3_ACCESS_KEY").lower().startswith(_KNOWN_WORDS):
        msg = "MEDIA_S3_ACCESS_KEY is one that everybody knows. Make one for this installation."
        raise ImproperlyConfigured(msg)
    _refuse_guessable("MEDIA_S3_SECRET_KEY", secret("MEDIA_S3_SECRET_KEY"), _SHORTEST_PASSWORD)
