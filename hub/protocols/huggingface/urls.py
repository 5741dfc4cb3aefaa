"""Addresses of the Hugging Face Hub; no slash at the end, and names may have dots in them.

A module of views has its own list where it is long: ``writing_urls`` changes things.
"""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, path

from hub.protocols.huggingface import nowhere, whoami

__all__ = ["urlpatterns"]

MODEL = "api/models/<str:owner>/<str:name>"

urlpatterns: list[URLPattern | URLResolver] = [
    path("api/whoami-v2", whoami.whoami, name="hf-whoami"),
    path("api/agent-harnesses", whoami.agent_harnesses),
    path("api/models/<str:name>", nowhere.nothing),
    path(f"{MODEL}/<path:rest>", nowhere.nowhere),
    path("api/datasets/<path:rest>", nowhere.models_only),
    path("api/spaces/<path:rest>", nowhere.models_only),
]
