"""Settings of DRF and drf-spectacular; imported by ``hub.settings.base``, so strings only."""

from __future__ import annotations

from typing import Any

__all__ = ["REST_FRAMEWORK", "SPECTACULAR_SETTINGS"]

REST_FRAMEWORK: dict[str, Any] = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "hub.api.accounts.authentication.TokenAuth",
        "hub.api.accounts.authentication.SessionAuth",
    ],
    "DEFAULT_PERMISSION_CLASSES": [],  # services decide
    "DEFAULT_PARSER_CLASSES": ["hub.api.bodies.BoundedJSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "hub.api.bodies.OneFormat",
    "DEFAULT_METADATA_CLASS": None,
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_THROTTLE_CLASSES": [
        "hub.http.throttles.StrangerThrottle",
        "hub.http.throttles.WriteThrottle",
        "hub.http.throttles.ScopeThrottle",
    ],
    # Generous: they stop floods, not work. A window of the cache, per address or per user.
    "DEFAULT_THROTTLE_RATES": {
        "stranger": "1800/min",
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
        "MaturityEnum": "registry.models.Maturity",
        "VersionStateEnum": "registry.models.VersionState",
        "UploadStateEnum": "registry.models.UploadState",
        "FileRoleEnum": "registry.models.FileRole",
        "HashKindEnum": "registry.models.HashKind",
        "SeverityEnum": "registry.models.Severity",
        "NamespaceKindEnum": "registry.models.NamespaceKind",
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
