"""Settings of a hub. What its owner can decide is in ``hub/config.py`` and ``LORARY_*``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from django.utils.translation import gettext_lazy as _

from hub.api.conf import REST_FRAMEWORK, SPECTACULAR_SETTINGS  # noqa: F401 - Django reads them
from hub.config import load, prepare
from hub.databases import broker, cache, database, prepare_file
from hub.env import Env
from hub.log_filters import is_news, say_in_a_line

ROOT = Path(__file__).resolve().parents[2]
LORARY = load(Env(os.environ), ROOT)
prepare(LORARY.data)

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
# Sub-domains, preload lists and the redirect to HTTPS are decisions of whoever owns the domain
# and its proxy, not of a hub below it.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W008", "security.W021"]
if LORARY.trust_proxy:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    USE_X_FORWARDED_HOST = True

# --- Applications ---------------------------------------------------------------------------
INSTALLED_APPS = [
    "hub",
    "previews",
    "registry",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "rest_framework",
    "drf_spectacular",
]
MIDDLEWARE = [
    "hub.http.middleware.ReleaseMiddleware",
    "hub.http.middleware.HeadMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "hub.http.middleware.SecurityHeadersMiddleware",
    "hub.http.malformed_requests.MalformedMiddleware",
    "hub.operations.health.HealthMiddleware",
    "hub.http.durable_responses.FlushMiddleware",
    "hub.http.caching.CacheMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
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

# --- Rows, messages, cache ------------------------------------------------------------------
DATABASES = {"default": database(LORARY)}
prepare_file(DATABASES["default"])
CACHES = {"default": cache(LORARY)}
CELERY_BROKER_URL, CELERY_BROKER_TRANSPORT_OPTIONS = broker(LORARY)
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
# A request does not wait for a broker that is away: the sweep finds the job.
CELERY_BROKER_CONNECTION_TIMEOUT = 3
CELERY_TASK_PUBLISH_RETRY_POLICY = {"max_retries": 1, "interval_start": 0, "interval_max": 0.2}
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_TASK_DEFAULT_QUEUE = "checks"
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
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
STATIC_URL = "/static/"
STORAGES: dict[str, dict[str, Any]] = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
# Files are served straight from the packages: a start needs no collectstatic.
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = LORARY.debug

# --- Language and time ----------------------------------------------------------------------
LANGUAGE_CODE = LORARY.language
LANGUAGES = [("en", _("English"))]
LOCALE_PATHS = [ROOT / "hub" / "locale"]
USE_I18N = True
TIME_ZONE = LORARY.time_zone
USE_TZ = True

# --- Uploads --------------------------------------------------------------------------------
# Weights travel as raw bodies and never pass through Django's form parsers.
DATA_UPLOAD_MAX_MEMORY_SIZE = 2 * 1024 * 1024
FILE_UPLOAD_MAX_MEMORY_SIZE = 2 * 1024 * 1024
FILE_UPLOAD_TEMP_DIR = LORARY.data
FILE_UPLOAD_HANDLERS = [
    "hub.http.form_files.Bounded",
    "django.core.files.uploadhandler.MemoryFileUploadHandler",
    "django.core.files.uploadhandler.TemporaryFileUploadHandler",
]

# --- Log ------------------------------------------------------------------------------------
LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
    "filters": {
        "news": {"()": "django.utils.log.CallbackFilter", "callback": is_news},
        "line": {"()": "django.utils.log.CallbackFilter", "callback": say_in_a_line},
    },
    "handlers": {
        "console": {"class": "logging.StreamHandler", "formatter": "line", "filters": ["line"]},
    },
    "root": {"handlers": ["console"], "level": LORARY.log_level},
    "loggers": {
        "django.request": {"filters": ["news"]},
        "django.server": {"handlers": ["console"], "propagate": False},
        "celery": {"level": "WARNING"},
        "kombu": {"level": "WARNING"},
        "botocore": {"level": "WARNING"},
        "flit_core": {"level": "WARNING"},
    },
}
