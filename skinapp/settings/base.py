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
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
    "skinapp.throttle.UploadThrottleMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "skinapp.signing_in.SessionLimitsMiddleware",
    "skinapp.signing_in.SecondFactorMiddleware",
    "skinapp.middleware.NoStoreMiddleware",
    "skinapp.records.HistoryMiddleware",
]

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
        "OPTIONS": {"socket_connect_timeout": 2, "socket_timeout": 2},
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
CELERY_TASK_ROUTES = {"classifier.tasks.analysis.*": {"queue": "analysis"}}
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

# --- Signing in --------------------------------------------------------------------------------

AUTHENTICATION_BACKENDS = [
    "django.contrib.auth.backends.ModelBackend",
    "allauth.account.auth_backends.AuthenticationBackend",
]
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 12},
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "worklist"
ACCOUNT_ADAPTER = "classifier.accounts.ClosedSignupAdapter"
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*", "password2*"]
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_PREVENT_ENUMERATION = True
ACCOUNT_EMAIL_UNKNOWN_ACCOUNTS = False
ACCOUNT_LOGOUT_ON_GET = False
ACCOUNT_SESSION_REMEMBER = False
ACCOUNT_LOGOUT_ON_PASSWORD_CHANGE = True
ACCOUNT_REAUTHENTICATION_TIMEOUT = 300
ACCOUNT_RATE_LIMITS = {
    "login": "30/m/ip",
    "login_failed": "10/m/ip,5/5m/key",
    "reset_password": "20/m/ip,5/m/key",
    "reauthenticate": "10/m/user",
    "change_password": "5/m/user",
    "break_glass": "5/h/user",
}
# allauth counts attempts by address: how many proxies stand in front says which one to believe.
ALLAUTH_TRUSTED_PROXY_COUNT = env.int("TRUSTED_PROXY_COUNT", default=0)
MFA_ADAPTER = "classifier.accounts.SealingAdapter"
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_TOTP_ISSUER = "Skinapp"
# Asking for a letter makes an address that nobody confirmed: a stranger could keep somebody from
# setting up a second factor. Accounts are made by administrators, who know the address.
MFA_ALLOW_UNVERIFIED_EMAIL = True
MFA_FORMS = {
    "add_webauthn": "classifier.forms.security_keys.AddKeyForm",
    "edit_webauthn": "classifier.forms.security_keys.RenameKeyForm",
    "authenticate_webauthn": "classifier.forms.security_keys.SecondStepKeyForm",
    "reauthenticate_webauthn": "classifier.forms.security_keys.ConfirmingKeyForm",
}
# Asked of whoever may enter the admin panel; a clinic may ask it of everybody who works there.
SECOND_FACTOR_FOR_STAFF = True
# Seal the secrets of second factors, newest first; without any, SECRET_KEY and its fallbacks do.
MFA_KEYS = secrets_of("MFA_KEYS")
SECRET_KEY_FALLBACKS = secrets_of("SECRET_KEY_FALLBACKS")
# How long somebody without a right to a patient may read the record in an emergency.
BREAK_GLASS_MINUTES = env.int("BREAK_GLASS_MINUTES", default=60)
# How long the address of a picture works after the page that holds it was made.
IMAGE_LINK_MINUTES = env.int("IMAGE_LINK_MINUTES", default=15)

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
LANGUAGES = [("en", _("English"))]
# Not the American dates of the language above.
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

# --- Intake limits (shown on the upload form) --------------------------------------------------

INTAKE_MAX_BYTES = env.int("INTAKE_MAX_BYTES", default=25 * 1024 * 1024)
INTAKE_MAX_PIXELS = env.int("INTAKE_MAX_PIXELS", default=64_000_000)
INTAKE_MIN_SIDE = env.int("INTAKE_MIN_SIDE", default=64)
INTAKE_MAX_SIDE = env.int("INTAKE_MAX_SIDE", default=20_000)
INTAKE_MAX_FILES = env.int("INTAKE_MAX_FILES", default=12)
# Pictures are decoded in processes of their own (classifier/intake/decoders.py): so many for each
# web process, so much memory beyond what they hold empty, so much time for one picture
# (python -m bench decoders measures what pictures need).
INTAKE_DECODERS = env.int("INTAKE_DECODERS", default=2)
INTAKE_DECODE_MEMORY = env.int("INTAKE_DECODE_MEMORY", default=1024**3)
INTAKE_DECODE_SECONDS = env.int("INTAKE_DECODE_SECONDS", default=20)
INTAKE_DECODE_WALL_SECONDS = env.float("INTAKE_DECODE_WALL_SECONDS", default=120)
# Then it makes room for a fresh one, in case a decoder loses memory.
INTAKE_DECODER_PICTURES = env.int("INTAKE_DECODER_PICTURES", default=1_000)
# One request may carry the allowed number of images; the body is refused by its declared length.
REQUEST_MAX_BYTES = env.int("REQUEST_MAX_BYTES", default=INTAKE_MAX_BYTES * 4 + 1024 * 1024)
# What one person may send: far above what anybody photographs, and below what fills a disk.
UPLOAD_REQUESTS_PER_MINUTE = env.int("UPLOAD_REQUESTS_PER_MINUTE", default=60)
UPLOAD_BYTES_PER_HOUR = env.int("UPLOAD_BYTES_PER_HOUR", default=4 * 1024**3)
# What one token may ask; a program that asks every second whether an answer is there needs 60.
API_REQUESTS_PER_MINUTE = env.int("API_REQUESTS_PER_MINUTE", default=300)
DATA_UPLOAD_MAX_MEMORY_SIZE = 2 * 1024 * 1024
# Above the form's own limit, so that one file too many gets the form's sentence and not a bare 400.
DATA_UPLOAD_MAX_NUMBER_FILES = INTAKE_MAX_FILES + 100
DATA_UPLOAD_MAX_NUMBER_FIELDS = 200

# --- Webhooks ----------------------------------------------------------------------------------

# Networks inside that a clinic's webhooks may be sent to (10.20.0.0/16, say); without any only
# public addresses are.
WEBHOOK_NETWORKS = env.list("WEBHOOK_NETWORKS", default=[])
# The hospital's own certificate authority, beside which no other is trusted.
WEBHOOK_CA_FILE = env.str("WEBHOOK_CA_FILE", default="")

# --- The analysis job --------------------------------------------------------------------------

ANALYSIS_BATCH_SIZE = env.int("ANALYSIS_BATCH_SIZE", default=8)
ANALYSIS_LEASE_SECONDS = env.int("ANALYSIS_LEASE_SECONDS", default=150)
ANALYSIS_MAX_ATTEMPTS = env.int("ANALYSIS_MAX_ATTEMPTS", default=3)
# Waiting time before the second, third, ... attempt after a transient fault, in seconds.
ANALYSIS_BACKOFF_SECONDS = env.list("ANALYSIS_BACKOFF_SECONDS", cast=int, default=[2, 10, 60])
# The oldest waiting analysis may be this old before /readyz and the pages raise the alarm.
ANALYSIS_QUEUE_ALARM_SECONDS = env.int("ANALYSIS_QUEUE_ALARM_SECONDS", default=300)
# From this hour on (by TIME_ZONE) every file, row, state and release is checked, once a day ...
INTEGRITY_HOUR = env.int("INTEGRITY_HOUR", default=2)
# ... and files that no row names are removed, but for those of uploads that may be under way.
INTEGRITY_GRACE_HOURS = env.float("INTEGRITY_GRACE_HOURS", default=24.0)
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

# --- Mail, logs --------------------------------------------------------------------------------

DEFAULT_FROM_EMAIL = env.str("DEFAULT_FROM_EMAIL", default="skinapp@localhost")
EMAIL_SUBJECT_PREFIX = "[Skinapp] "
# Without it, allauth puts the name of the host before the subject.
ACCOUNT_EMAIL_SUBJECT_PREFIX = EMAIL_SUBJECT_PREFIX

LOGGING = logs.CONFIGURATION
