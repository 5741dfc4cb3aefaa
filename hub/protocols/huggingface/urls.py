"""URLs of the Hugging Face Hub, without trailing slashes; names may contain dots.

A ref is the rest of the path, so that branches may be named ``feat/rain``, sent as ``feat%2Frain``.
``/xet/{session}`` is the URL of the content store for Xet clients.
"""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, path, register_converter
from django.urls.converters import StringConverter

from hub.protocols.huggingface import endpoint, whoami
from hub.protocols.huggingface.commits import commit, lfs, preupload
from hub.protocols.huggingface.repos import administration, files, lists
from hub.protocols.huggingface.repos import views as repos
from hub.protocols.huggingface.xet import endpoints as xet


class _Digits(StringConverter):
    """64 hex digits."""

    regex = "[0-9a-f]{64}"


class _Session(StringConverter):
    """32 hex digits."""

    regex = "[0-9a-f]{32}"


register_converter(_Digits, "xet-hash")
register_converter(_Session, "xet-session")

MODEL = "api/models/<str:owner>/<str:name>"
LFS = "<str:owner>/<str:name>.git/info/lfs/objects"
XET = "xet/<xet-session:session>"

urlpatterns: list[URLPattern | URLResolver] = [
    path("api/whoami-v2", whoami.whoami, name="hf-whoami"),
    path("api/agent-harnesses", whoami.agent_harnesses),
    path("api/settings/repositories", repos.own_repos),
    path("api/organizations/<str:owner>/settings/repositories", repos.organisation_repos),
    path("api/models-tags-by-type", lists.tags_by_type),
    path("api/models", lists.models, name="hf-models"),
    path("api/models/<str:name>", endpoint.owner_missing),
    path(MODEL, repos.info, name="hf-model"),
    path(f"{MODEL}/revision/<path:ref>", repos.info),
    path(f"{MODEL}/tree/<path:rest>", files.tree),
    path(f"{MODEL}/paths-info/<path:ref>", files.paths_info),
    path(f"{MODEL}/refs", repos.refs),
    path(f"{MODEL}/commits/<path:ref>", repos.commits),
    path(f"{MODEL}/auth-check", repos.auth_check),
    path(f"{MODEL}/auth-check/write", repos.auth_check_write),
    # What changes repositories, and what is pushed.
    path("api/repos/create", administration.create),
    path("api/repos/delete", administration.delete),
    path("api/repos/move", administration.move),
    path("api/validate-yaml", preupload.validate),
    path(f"{MODEL}/settings", administration.settings),
    path(f"{MODEL}/tag/<path:ref>", administration.tag),
    path(f"{MODEL}/branch/<path:ref>", administration.branch),
    path(f"{MODEL}/preupload/<path:ref>", preupload.preupload),
    path(f"{MODEL}/commit/<path:ref>", commit.commit),
    path("<str:owner>/<str:name>/commit/<path:ref>", repos.web_page, name="hf-commit-page"),
    path("<str:owner>/<str:name>/tree/<path:ref>", repos.web_page),
    path("<str:owner>/<str:name>/blob/<path:ref>", repos.web_page),
    path(f"{LFS}/batch", lfs.batch),
    path(f"{LFS}/<str:link>", lfs.objects, name="hf-lfs-object"),
    # Uploads by Xet.
    path(f"{MODEL}/xet-write-token/<path:ref>", xet.write_token, name="hf-xet-write-token"),
    path(f"{XET}/v1/xorbs/default/<xet-hash:xorb_hash>", xet.xorb),
    path(f"{XET}/v1/shards", xet.shard),
    path(f"{XET}/v1/telemetry", xet.telemetry),
    path("v1/telemetry", xet.telemetry),  # hf_xet 1.8 forgets the path of the address
    path(XET, xet.unknown_call, name="hf-xet"),
    path("xet/<path:rest>", xet.unknown_call),
    # What is not here, and the files.
    path("api/models/<str:name>/revision/<path:rest>", endpoint.owner_missing),
    path("api/models/<str:name>/tree/<path:rest>", endpoint.owner_missing),
    path(f"{MODEL}/<path:rest>", endpoint.unsupported_call),
    path("api/datasets/<path:rest>", endpoint.models_only),
    path("api/spaces/<path:rest>", endpoint.models_only),
    path("<str:owner>/<str:name>/resolve/<path:rest>", files.resolve, name="hf-file"),
    path("<str:owner>/<str:name>/raw/<path:rest>", files.resolve),
    path("<str:name>/resolve/main/<path:rest>", endpoint.owner_missing),
]
