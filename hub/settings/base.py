"""Django settings of a hub. ``hub/config.py`` reads the ``LORARY_*`` settings."""

from __future__ import annotations

import os
from logging import LogRecord
from pathlib import Path
from typing import Any

from django.contrib import admin as django_admin
from django.core.exceptions import ImproperlyConfigured

from hub import config
from hub.config import Env
from hub.databases import broker, cache, databases, prepare_file
from hub.monitoring.log_formats import FORMATS, hide_path

ROOT = Path(__file__).resolve().parents[2]
try:
    LORARY = config.load(Env(os.environ), ROOT)
    config.prepare(LORARY.data)
except OSError as error:
    found = f"cannot write {error.filename} ({error.strerror})"
    message = f"LORARY_DATA: {found}; name a folder that the hub can write to"
    raise ImproperlyConfigured(message) from error

# --- Security -------------------------------------------------------------------------------
SECRET_KEY = LORARY.secret_key
DEBUG = LORARY.debug
ALLOWED_HOSTS = list(LORARY.allowed_hosts)
CSRF_TRUSTED_ORIGINS = [LORARY.base_url] if LORARY.base_url else []
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = LORARY.is_https
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
SECURE_HSTS_SECONDS = 31_536_000 if LORARY.is_https else 0
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "strict-origin-when-cross-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
# Sub-domains, preload lists and the redirect to HTTPS are up to the owner of the domain and its
# proxy, not to a hub.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W008", "security.W021"]
if LORARY.trust_proxy:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    USE_X_FORWARDED_HOST = True

# --- Applications ---------------------------------------------------------------------------
INSTALLED_APPS = [
    "hub",
    "previews",
    "registry",
    "django.contrib.admin.apps.SimpleAdminConfig",  # hub/admin has the site
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django_otp",
    "django_otp.plugins.otp_static",
    "django_otp.plugins.otp_totp",
    "rest_framework",
    "drf_spectacular",
]
MIDDLEWARE = [
    "hub.monitoring.access_log.AccessMiddleware",
    "hub.http.middleware.ReleaseMiddleware",
    "hub.http.middleware.HeadMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "hub.http.static.StaticMiddleware",
    "hub.http.middleware.SecurityHeadersMiddleware",
    "hub.http.middleware.CompressionMiddleware",
    "hub.http.malformed_requests.MalformedMiddleware",
    "hub.monitoring.endpoints.MonitorMiddleware",
    "hub.http.middleware.FlushMiddleware",
    "hub.http.middleware.CacheMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "hub.http.second_factor.SecondFactorMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "hub.replica.ReplicaMiddleware",
]
ROOT_URLCONF = "hub.urls"
WSGI_APPLICATION = "hub.wsgi.application"
APPEND_SLASH = False
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"  # ids that other tools see fit 32 bits

# --- Accounts -------------------------------------------------------------------------------
AUTH_USER_MODEL = "registry.User"
LOGIN_URL = "/signin"
LOGIN_REDIRECT_URL = LOGOUT_REDIRECT_URL = "/"
AUTH_PASSWORD_VALIDATORS: list[dict[str, Any]] = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]

# The names of apps that show codes. Tries are limited by `registry.accounts.second_factor`.
OTP_TOTP_ISSUER = "Lorary"
OTP_TOTP_THROTTLE_FACTOR = OTP_STATIC_THROTTLE_FACTOR = 0

# --- Rows, messages, cache ------------------------------------------------------------------
DATABASES = databases(LORARY)
DATABASE_ROUTERS = ["hub.replica.Router"] if len(DATABASES) > 1 else []
prepare_file(DATABASES["default"])
CACHES = {"default": cache(LORARY)}
CELERY_BROKER_URL, CELERY_BROKER_TRANSPORT_OPTIONS = broker(LORARY)
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
# A request does not wait for an unavailable broker: workers look for jobs every second.
CELERY_BROKER_CONNECTION_TIMEOUT = 0.5
CELERY_TASK_PUBLISH_RETRY_POLICY = {"max_retries": 1, "interval_start": 0, "interval_max": 0.2}
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_TASK_DEFAULT_QUEUE = "checks"
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_REDIRECT_STDOUTS = False
CELERY_WORKER_ENABLE_REMOTE_CONTROL = False
CELERY_TIMEZONE = "UTC"

# --- Pages ----------------------------------------------------------------------------------
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [ROOT / "hub" / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]
FORM_RENDERER = "hub.pages.forms.Renderer"

STATIC_URL = "/static/"
STORAGES: dict[str, dict[str, Any]] = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "hub.http.static.HashedStorage"},
}
STATICFILES_DIRS: list[Path | tuple[str, Path]] = [
    ROOT / "hub" / "static",
    ("admin", Path(django_admin.__file__).parent / "static" / "admin"),
]
STATICFILES_FINDERS = ["django.contrib.staticfiles.finders.FileSystemFinder"]
if LORARY.debug:  # changed files are served at once
    STORAGES["staticfiles"]["BACKEND"] = "django.contrib.staticfiles.storage.StaticFilesStorage"
WHITENOISE_USE_FINDERS = WHITENOISE_AUTOREFRESH = LORARY.debug

# --- Language and time ----------------------------------------------------------------------
LANGUAGE_CODE = LORARY.language
LANGUAGES = list(config.LANGUAGES.items())
LOCALE_PATHS = [ROOT / "hub" / "locale"]
USE_I18N = True
TIME_ZONE = LORARY.time_zone
USE_TZ = True

# --- Uploads --------------------------------------------------------------------------------
# Weights are sent as raw bodies, except a single file that is sent without JavaScript.
DATA_UPLOAD_MAX_MEMORY_SIZE = 2 * 1024 * 1024
FILE_UPLOAD_MAX_MEMORY_SIZE = 2 * 1024 * 1024
FILE_UPLOAD_TEMP_DIR = LORARY.data
FILE_UPLOAD_HANDLERS = [
    "hub.http.limits.FormSizeLimit",
    "django.core.files.uploadhandler.MemoryFileUploadHandler",
    "django.core.files.uploadhandler.TemporaryFileUploadHandler",
]

# --- REST framework and the API document ------------------------------------------------------
REST_FRAMEWORK: dict[str, Any] = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "hub.api.accounts.authentication.TokenAuth",
        "hub.api.accounts.authentication.SessionAuth",
    ],
    "DEFAULT_PERMISSION_CLASSES": [],  # services check permissions
    "DEFAULT_PARSER_CLASSES": ["hub.api.bodies.BoundedJSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "hub.api.bodies.OneFormat",
    "DEFAULT_METADATA_CLASS": None,
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_THROTTLE_CLASSES": [
        "hub.http.throttles.AnonymousThrottle",
        "hub.http.throttles.WriteThrottle",
        "hub.http.throttles.ScopeThrottle",
    ],
    # Generous limits against floods. Counted in the cache, per address or per user.
    "DEFAULT_THROTTLE_RATES": {
        "inspect": "120/min",
        "search": "600/min",
        "covers": "1800/min",
    },
    "EXCEPTION_HANDLER": "hub.http.problems.handle",
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
}

SPECTACULAR_SETTINGS: dict[str, Any] = {
    "TITLE": "Lorary API",
    "DESCRIPTION": (
        "Search, inspect, upload, publish and download LoRA adapters. Send an access token as "
        "`Authorization: Bearer lor_…`; pages of the site may use their session with a CSRF "
        "header. Errors are `application/problem+json` with a stable `code`."
    ),
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "LICENSE": {"name": "Apache-2.0"},
    "SERVE_INCLUDE_SCHEMA": False,
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "COMPONENT_SPLIT_REQUEST": True,
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
    "ENUM_NAME_OVERRIDES": {
        "KindEnum": "registry.models.Kind",
        "VisibilityEnum": "registry.models.Visibility",
        "AccessEnum": "registry.models.Access",
        "LookKindEnum": "registry.models.LookKind",
        "MaturityEnum": "registry.models.Maturity",
        "OutputEnum": "registry.models.Output",
        "PartRoleEnum": "registry.models.PartRole",
        "PartStateEnum": "registry.packs.parts.PartState",
        "VersionStateEnum": "registry.models.VersionState",
        "UploadStateEnum": "registry.models.UploadState",
        "FileRoleEnum": "registry.models.FileRole",
        "HashKindEnum": "registry.models.HashKind",
        "SeverityEnum": "registry.models.Severity",
        "NamespaceKindEnum": "registry.models.NamespaceKind",
        "RenderStateEnum": "previews.models.RenderState",
        "ReportStateEnum": "previews.models.ReportState",
        "PreviewStateEnum": "hub.api.previews.serializers.PREVIEW_STATES",
        "FileKindEnum": "hub.api.versions.anatomy.KINDS",
        "ConfidenceEnum": "hub.api.versions.anatomy.CONFIDENCES",
        "TrustEnum": "hub.api.versions.anatomy.TRUST",
    },
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "hub.api.docs.add_problems",
    ],
}

# --- Log ------------------------------------------------------------------------------------
#: Clients probe these paths, and continue without them after a 404.
_OPTIONAL_PATHS = ("/xet/",)


def is_logged(record: LogRecord) -> bool:
    """Whether to log a line of Django about a response: not a 404 below ``_OPTIONAL_PATHS``.

    Nor a 503, whose reason is already logged: Django would add a traceback to each.
    """
    request, status = getattr(record, "request", None), getattr(record, "status_code", None)
    if status == 503:
        return False
    is_absent = status == 404
    return not (is_absent and str(getattr(request, "path", "")).startswith(_OPTIONAL_PATHS))


def drop_traceback(record: LogRecord) -> bool:
    """Remove the traceback from Django's security warnings, and name the setting; all records pass.

    Scanners send wrong Host headers all day, and the message is sufficient.
    """
    if record.name.startswith("django.security."):
        record.exc_info = record.exc_text = None
        record.msg = str(record.msg).replace(" ALLOWED_HOSTS", " LORARY_ALLOWED_HOSTS")
    return True


LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"()": FORMATS[LORARY.log_format]}},
    "filters": {
        "news": {"()": "django.utils.log.CallbackFilter", "callback": is_logged},
        "line": {"()": "django.utils.log.CallbackFilter", "callback": drop_traceback},
        "paths": {"()": "django.utils.log.CallbackFilter", "callback": hide_path},
    },
    "handlers": {
        "console": {
            "class": "logging.StreamHandler",
            "formatter": "line",
            "filters": ["line", "paths"],
        },
    },
    "root": {"handlers": ["console"], "level": LORARY.log_level},
    "loggers": {
        "django.request": {"filters": ["news"]},
        "django.server": {"handlers": ["console"], "propagate": False},
        "celery": {"level": "WARNING"},
        "kombu": {"level": "WARNING"},
        "httpx": {"level": "WARNING"},
        "botocore": {"level": "WARNING"},
        "flit_core": {"level": "WARNING"},
    },
}
