"""Settings that every installation shares."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import django_stubs_ext
from celery.schedules import crontab
from csp.constants import NONE, SELF
from django.utils.translation import gettext_lazy as _

from skinapp import logs
from skinapp.settings.env import env, optional_secret, secret, secrets_of, with_password
from skinapp.settings.limits import *  # noqa: F403 - a part of these settings
from skinapp.settings.signing_in import *  # noqa: F403 - likewise

# Lets ``ModelAdmin[Patient]`` and its like be written at run time as type checkers read them.
django_stubs_ext.monkeypatch()

BASE_DIR = Path(__file__).resolve().parent.parent.parent

DEBUG = False
ROOT_URLCONF = "skinapp.urls"
WSGI_APPLICATION = "skinapp.wsgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
AUTH_USER_MODEL = "classifier.User"

INSTALLED_APPS = [
    "skinapp.apps.SkinappAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.humanize",
    "django.forms",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "django_htmx",
    "csp",
    "pgtrigger",
    "pghistory",
    "health_check",
    "classifier",
]

MIDDLEWARE = [
    "skinapp.middleware.ReferenceMiddleware",
    "skinapp.problems.ProblemMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "csp.middleware.CSPMiddleware",
    "skinapp.middleware.PermissionsPolicyMiddleware",
    # Before anything that reads the address: it is decoded as the request says.
    "skinapp.incoming.ContentTypeMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "skinapp.middleware.BodySizeMiddleware",
    "skinapp.middleware.SaneCookiesMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    # Before the form's token is looked for, which reads the body: a stranger's is not read.
    "skinapp.signing_in.SignInMiddleware",
    "skinapp.throttle.UploadThrottleMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "skinapp.languages.AccountLanguageMiddleware",
    "skinapp.signing_in.SessionLimitsMiddleware",
    "skinapp.signing_in.SecondFactorMiddleware",
    "skinapp.middleware.NoStoreMiddleware",
    "skinapp.records.HistoryMiddleware",
]

# A widget's template may be one of ours.
FORM_RENDERER = "django.forms.renderers.TemplatesSetting"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "classifier.context_processors.workplace",
            ],
        },
    },
]

# --- Database, cache, broker -------------------------------------------------------------------

# A server that does not even refuse shall not hold a thread for the minutes TCP would take ...
DATABASE_CONNECT_SECONDS = env.int("DATABASE_CONNECT_SECONDS", default=5)
# ... nor one that stopped answering, nor a statement of a page (skinapp/databases.py), nor another
# transaction's lock.
DATABASE_STATEMENT_SECONDS = env.float("DATABASE_STATEMENT_SECONDS", default=30)
DATABASE_LOCK_SECONDS = env.float("DATABASE_LOCK_SECONDS", default=10)
DATABASE_OPTIONS = {
    "connect_timeout": DATABASE_CONNECT_SECONDS,
    "keepalives_idle": 30,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    # In milliseconds.
    "tcp_user_timeout": 30_000,
}
_DATABASE_URL = optional_secret("DATABASE_URL") or "postgres://localhost/skinapp"
DATABASES = {"default": env.db_url_config(with_password("DATABASE", _DATABASE_URL))}
DATABASES["default"]["CONN_MAX_AGE"] = 60
DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
DATABASES["default"]["OPTIONS"] = DATABASE_OPTIONS | DATABASES["default"].get("OPTIONS", {})

REDIS_URL = with_password("REDIS", optional_secret("REDIS_URL") or "redis://localhost:6379/0")

CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": REDIS_URL,
        "KEY_PREFIX": "skinapp",
        # 1 was pickled.
        "VERSION": 2,
        "OPTIONS": {
            "serializer": "skinapp.caching.JsonSerializer",
            "socket_connect_timeout": 2,
            "socket_timeout": 2,
        },
    },
}
# The sign-in throttle lives in the cache; sessions stay in the database so that a broker that
# restarts empty signs nobody out.
SESSION_ENGINE = "django.contrib.sessions.backends.db"
# A shift, whatever happens in it; and half an hour in which nothing does.
SESSION_ABSOLUTE_SECONDS = env.int(
    "SESSION_ABSOLUTE_SECONDS", default=int(timedelta(hours=12).total_seconds())
)
SESSION_IDLE_SECONDS = env.int(
    "SESSION_IDLE_SECONDS", default=int(timedelta(minutes=30).total_seconds())
)
SESSION_COOKIE_AGE = SESSION_ABSOLUTE_SECONDS
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_EXPIRE_AT_BROWSER_CLOSE = True
CSRF_COOKIE_SAMESITE = "Lax"
# The admin panel's messages name patients: by default they would travel in a readable cookie.
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"
CSRF_COOKIE_HTTPONLY = True

# --- Celery ------------------------------------------------------------------------------------

CELERY_BROKER_URL = REDIS_URL
CELERY_TASK_IGNORE_RESULT = True
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_SERIALIZER = "json"
CELERY_RESULT_SERIALIZER = "json"
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_TASK_TIME_LIMIT = 120
CELERY_TASK_SOFT_TIME_LIMIT = 90
CELERY_TASK_DEFAULT_QUEUE = "maintenance"
CELERY_TASK_ROUTES = {
    "classifier.tasks.analysis.*": {"queue": "analysis"},
    "classifier.tasks.reruns.*": {"queue": "reruns"},
}
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_CONCURRENCY = 1
CELERY_WORKER_MAX_TASKS_PER_CHILD = 5_000
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
# A child that loads a network may need longer than kombu's 4 s to report for duty.
CELERY_WORKER_PROC_ALIVE_TIMEOUT = 60
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_TRANSPORT_OPTIONS = {
    # Longer than the hard time limit, so that a running task is never delivered a second time.
    "visibility_timeout": 150,
    # With kombu's defaults the redelivery after a SIGKILL took over 45 s, with these 5 s.
    "unacked_restore_interval": 1,
    "unacked_restore_throttle": 1,
    # Publishing inside a web request must fail fast when the broker is away: the row is safe and
    # the sweep finds it.
    "socket_connect_timeout": 2,
    "socket_timeout": 30,
}
CELERY_TASK_PUBLISH_RETRY = False
CELERY_TIMEZONE = "UTC"
CELERY_BEAT_SCHEDULE = {
    "sweep-analyses": {
        "task": "classifier.tasks.analysis.sweep_analyses_task",
        "schedule": env.float("ANALYSIS_SWEEP_SECONDS", default=10.0),
        "options": {"expires": 30},
    },
    "seal-audit": {
        "task": "classifier.tasks.records.seal_audit_task",
        "schedule": env.float("AUDIT_SEAL_SECONDS", default=30.0),
        "options": {"expires": 60},
    },
    "verify-audit": {
        "task": "classifier.tasks.records.verify_audit_task",
        "schedule": crontab(minute="41", hour="2"),
    },
    "finish-erasures": {
        "task": "classifier.tasks.records.finish_erasures_task",
        "schedule": crontab(minute="*/5"),
    },
    "check-integrity": {
        "task": "classifier.tasks.maintenance.check_integrity_task",
        # A run of the night goes on every hour where it was left, and a lost message costs one.
        "schedule": crontab(minute="23"),
        "options": {"expires": 1800},
    },
    "send-webhooks": {
        "task": "classifier.tasks.webhooks.send_webhooks_task",
        "schedule": env.float("WEBHOOK_SWEEP_SECONDS", default=30.0),
        "options": {"expires": 30},
    },
    "forget-requests": {
        "task": "classifier.tasks.webhooks.forget_requests_task",
        "schedule": crontab(minute="47"),
    },
    "run-reruns": {
        "task": "classifier.tasks.reruns.run_reruns_task",
        # A worker that has no time within it has something better to do.
        "schedule": 5.0,
        "options": {"expires": 5},
    },
    "run-imports": {
        "task": "classifier.tasks.imports.run_imports_task",
        # Whatever message was lost, and what is too old to be kept.
        "schedule": 60.0,
        "options": {"expires": 50},
    },
    "send-notices": {
        "task": "classifier.tasks.notices.send_notices_task",
        "schedule": crontab(minute="*/5"),
        "options": {"expires": 240},
    },
    "watch-drift": {
        "task": "classifier.tasks.maintenance.watch_drift_task",
        "schedule": crontab(minute="11", hour="3"),
    },
    "clear-sessions": {
        "task": "classifier.tasks.maintenance.clear_sessions_task",
        # By the clock: a beat that is started anew every few hours would never reach an interval.
        "schedule": crontab(minute="17", hour="*/6"),
    },
}
CELERY_BEAT_SCHEDULER = "skinapp.liveness:BeatScheduler"
# At least so often beat looks at the schedule, and shows that it lives.
CELERY_BEAT_MAX_LOOP_INTERVAL = 10
# Touched by the worker and by beat, each in its own container; skinapp.probe looks at its age.
HEARTBEAT_FILE = env.str("HEARTBEAT_FILE", default="")

# --- Secrets -------------------------------------------------------------------------------------

# Seal the secrets of second factors, newest first; without any, SECRET_KEY and its fallbacks do.
MFA_KEYS = secrets_of("MFA_KEYS")
SECRET_KEY_FALLBACKS = secrets_of("SECRET_KEY_FALLBACKS")

# --- Security headers --------------------------------------------------------------------------

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        # blob: shows the clinician a preview of the chosen file; data: is allauth's TOTP QR code.
        "img-src": [SELF, "blob:", "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "manifest-src": [SELF],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
        "base-uri": [NONE],
        "object-src": [NONE],
    },
}
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CONTENT_TYPE_NOSNIFF = True
X_FRAME_OPTIONS = "DENY"
PERMISSIONS_POLICY = (
    "accelerometer=(), autoplay=(), camera=(self), display-capture=(), geolocation=(), "
    "gyroscope=(), microphone=(), payment=(), usb=()"
)

# --- Languages and time ------------------------------------------------------------------------

LANGUAGE_CODE = "en"
LANGUAGES = [("en", _("English")), ("de", _("German"))]
# Before somebody has signed in; afterwards the account says (skinapp/languages.py).
LANGUAGE_COOKIE_AGE = int(timedelta(days=365).total_seconds())
LANGUAGE_COOKIE_HTTPONLY = True
LANGUAGE_COOKIE_SAMESITE = "Lax"
# Not the American dates of the first, nor the decimal comma of the second.
FORMAT_MODULE_PATH = ["skinapp.formats"]
LOCALE_PATHS = [BASE_DIR / "classifier" / "locale"]
USE_TZ = True
TIME_ZONE = env.str("TIME_ZONE", default="UTC")

# --- Files -------------------------------------------------------------------------------------

STATIC_URL = "static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
STATIC_ROOT = env.path("STATIC_ROOT", default=str(BASE_DIR / "var" / "static"))()
# No MEDIA_URL: image bytes leave through one permission-checked view only.
MEDIA_ROOT = env.path("MEDIA_ROOT", default=str(BASE_DIR / "var" / "media"))()
# With a bucket's name, images lie in an object store that speaks S3 and MEDIA_ROOT is not used.
MEDIA_S3_BUCKET = env.str("MEDIA_S3_BUCKET", default="")
_IMAGES: dict[str, Any] = {"BACKEND": "classifier.storage.PrivateFileSystemStorage"}
if MEDIA_S3_BUCKET:
    _IMAGES = {
        "BACKEND": "classifier.object_storage.PrivateS3Storage",
        "OPTIONS": {
            "bucket_name": MEDIA_S3_BUCKET,
            "endpoint_url": env.str("MEDIA_S3_ENDPOINT", default="") or None,
            "region_name": env.str("MEDIA_S3_REGION", default="") or None,
            "access_key": secret("MEDIA_S3_ACCESS_KEY"),
            "secret_key": secret("MEDIA_S3_SECRET_KEY"),
        },
    }
STORAGES = {
    "default": _IMAGES,
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}
# With less room than this for images, /readyz raises the alarm: about 2 000 more are stored.
DISK_ALARM_BYTES = env.int("DISK_ALARM_BYTES", default=2 * 1024**3)
FILE_UPLOAD_HANDLERS = [
    "django.core.files.uploadhandler.MemoryFileUploadHandler",
    "skinapp.uploads.TidyFileUploadHandler",
]
FILE_UPLOAD_PERMISSIONS = 0o600
FILE_UPLOAD_DIRECTORY_PERMISSIONS = 0o700

# --- Webhooks ----------------------------------------------------------------------------------

# Networks inside that a clinic's webhooks may be sent to (10.20.0.0/16, say); without any only
# public addresses are.
WEBHOOK_NETWORKS = env.list("WEBHOOK_NETWORKS", default=[])
# The hospital's own certificate authority, beside which no other is trusted.
WEBHOOK_CA_FILE = env.str("WEBHOOK_CA_FILE", default="")

# --- The networks --------------------------------------------------------------------------------

MLCORE_ENGINE = env.str("MLCORE_ENGINE", default="litert")
MLCORE_RELEASES = env.path("MLCORE_RELEASES", default=str(BASE_DIR / "mlcore" / "releases"))()

# The demo clinic comes with a superuser whose address everybody knows: never beside real patients.
DEMO_CLINIC = env.bool("DEMO_CLINIC", default=False)

PAGE_SIZE = 25
# Looks of one person at one page within so many seconds are one event of the audit trail.
AUDIT_FOLD_SECONDS = env.int("AUDIT_FOLD_SECONDS", default=300)
CSV_MAX_ROWS = 50_000

# --- Exchange with other systems ---------------------------------------------------------------

# SNOMED CT needs a licence in many countries: its codes are sent only where this is set.
EXCHANGE_SNOMED = env.bool("EXCHANGE_SNOMED", default=False)
# Folders of fonts for letters, and their families, for names in scripts that the letter's own font
# (Latin, Greek, Cyrillic) does not hold.
EXCHANGE_FONTS = env.list("EXCHANGE_FONTS", default=[])
EXCHANGE_FONT_NAMES = env.list("EXCHANGE_FONT_NAMES", default=[])
# Lines of an import's table, entries of its archive, and days until what it holds is forgotten.
IMPORT_MAX_ROWS = env.int("IMPORT_MAX_ROWS", default=5_000)
IMPORT_MAX_ENTRIES = env.int("IMPORT_MAX_ENTRIES", default=20_000)
IMPORT_KEEP_DAYS = env.int("IMPORT_KEEP_DAYS", default=30)

# --- Mail, logs --------------------------------------------------------------------------------

DEFAULT_FROM_EMAIL = env.str("DEFAULT_FROM_EMAIL", default="skinapp@localhost")
EMAIL_SUBJECT_PREFIX = "[Skinapp] "
# Where people reach this installation, for letters that no request brings about: that results
# wait. Without it none is written.
SITE_ADDRESS = env.str("SITE_ADDRESS", default="")
# A mail server that says nothing holds up whoever sends.
EMAIL_TIMEOUT = 10
# Without it, allauth puts the name of the host before the subject.
ACCOUNT_EMAIL_SUBJECT_PREFIX = EMAIL_SUBJECT_PREFIX

LOGGING = logs.CONFIGURATION
