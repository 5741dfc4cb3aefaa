"""Addresses of the Hugging Face Hub; no slash at the end, and names may have dots in them.

A module of views has its own list where it is long: ``writing_urls`` changes things.
"""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, include, path

from hub.protocols.huggingface import not_found, whoami, writing_urls
from hub.protocols.huggingface.repos import lists, resolve, trees
from hub.protocols.huggingface.repos import views as repos

__all__ = ["urlpatterns"]

MODEL = "api/models/<str:owner>/<str:name>"

urlpatterns: list[URLPattern | URLResolver] = [
    path("api/whoami-v2", whoami.whoami, name="hf-whoami"),
    path("api/agent-harnesses", whoami.agent_harnesses),
    path("api/settings/repositories", repos.mine),
    path("api/organizations/<str:owner>/settings/repositories", repos.theirs),
    path("api/models-tags-by-type", lists.tags_by_type),
    path("api/models", lists.models, name="hf-models"),
    path("api/models/<str:name>", not_found.nothing),
    path(MODEL, repos.info, name="hf-model"),
    path(f"{MODEL}/revision/<path:ref>", repos.info),
    path(f"{MODEL}/tree/<path:rest>", trees.tree),
    path(f"{MODEL}/paths-info/<path:ref>", trees.paths_info),
    path(f"{MODEL}/refs", repos.refs),
    path(f"{MODEL}/commits/<path:ref>", repos.commits),
    path(f"{MODEL}/auth-check", repos.auth_check),
    path(f"{MODEL}/auth-check/write", repos.auth_check_write),
    *writing_urls.urlpatterns,
    path("", include("hub.protocols.huggingface.xet.urls")),
    path("api/models/<str:name>/revision/<path:rest>", not_found.nothing),
    path("api/models/<str:name>/tree/<path:rest>", not_found.nothing),
    path(f"{MODEL}/<path:rest>", not_found.nowhere),
    path("api/datasets/<path:rest>", not_found.models_only),
    path("api/spaces/<path:rest>", not_found.models_only),
    path("<str:owner>/<str:name>/resolve/<path:rest>", resolve.resolve, name="hf-file"),
    path("<str:owner>/<str:name>/raw/<path:rest>", resolve.resolve),
    path("<str:name>/resolve/main/<path:rest>", not_found.nothing),
]
