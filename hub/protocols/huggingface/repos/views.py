"""Reading repos: document, branches, commits and access checks.

URLs that clients print redirect to the page of the adapter (``web_page``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeVar

from django.db.models import prefetch_related_objects
from django.http import HttpRequest, HttpResponseRedirect, JsonResponse
from django.http.response import HttpResponseBase
from django.urls import reverse

from hub.protocols.huggingface.endpoint import answer, endpoint
from hub.protocols.huggingface.inputs import expanded, is_on, next_page, whole
from hub.protocols.huggingface.refusals import in_header
from hub.protocols.huggingface.repos import shapes
from hub.protocols.huggingface.repos.refs import adapter_of, require_access, snapshot_of
from registry import storage
from registry.accounts import permissions
from registry.adapters import listings_by_tag
from registry.adapters import selectors as adapter_selectors
from registry.aliases import selectors as alias_selectors
from registry.cards import fields
from registry.cards.readme import front_matter_of
from registry.errors import CursorInvalid, Invalid, NotFound, StorageAway
from registry.models import Adapter, File, VersionState
from registry.versions import revisions
from registry.versions import selectors as version_selectors
from registry.versions.revisions import Snapshot

R = TypeVar("R", bound="HttpResponseBase")

MAX_COMMITS = 100


@endpoint("GET")
def info(request: HttpRequest, owner: str, name: str, ref: str = revisions.MAIN) -> JsonResponse:
    """Return the document of a repo at a revision."""
    snapshot = snapshot_of(request, adapter_of(request, owner, name), ref)
    files = revisions.files_of([snapshot.revision])[snapshot.revision.pk]
    prefetch_related_objects([snapshot.adapter], "tags")
    document = _document(request, snapshot, files)
    if wanted := expanded(request.GET):
        document = {key: document[key] for key in document if key in {"_id", "id", *wanted}}
    return warned(answer(document), snapshot)


def _document(request: HttpRequest, snapshot: Snapshot, files: Sequence[File]) -> dict[str, Any]:
    adapter = snapshot.adapter
    document = shapes.full(adapter, snapshot.revision, files)
    if is_on(request.GET, "blobs"):
        document["siblings"] = [shapes.sibling(file) for file in shapes.in_order(files)]
    if is_on(request.GET, "securityStatus"):
        document["securityRepoStatus"] = {"scansDone": True, "filesWithIssues": []}
    return document | {
        "cardData": card_data(adapter, files),
        "config": {},
        "baseModels": shapes.base_models(adapter),
        "safetensors": shapes.safetensors(files),
        "downloadsAllTime": adapter.downloads,
        "trendingScore": 0,
        "usedStorage": listings_by_tag.stored_bytes([adapter]).get(adapter.pk, 0),
        "spaces": [],
    }


def warned(response: R, snapshot: Snapshot) -> R:
    """Add the header that makes clients print why a version was yanked."""
    version = snapshot.version
    if version is not None and version.state == VersionState.YANKED:
        text = f"{version.name} was yanked: {version.yanked_reason}"
        response.headers["X-HF-Warning"] = f"yanked; {in_header(text.replace(';', ','))}"
    return response


@endpoint("GET")
def refs(request: HttpRequest, owner: str, name: str) -> JsonResponse:
    """Return branches and tags with their commits; versions are tags."""
    snapshot = snapshot_of(request, adapter_of(request, owner, name), revisions.MAIN)
    branches, tags = alias_selectors.refs(snapshot)
    document: dict[str, list[dict[str, str]]] = {
        "branches": [_ref("heads", *one) for one in branches],
        "converts": [],
        "tags": [_ref("tags", *one) for one in tags],
    }
    if is_on(request.GET, "include_prs"):
        document["pullRequests"] = []
    return answer(document)


def _ref(kind: str, name: str, commit: str) -> dict[str, str]:
    return {"name": name, "ref": f"refs/{kind}/{name}", "targetCommit": commit}


@endpoint("GET")
def commits(request: HttpRequest, owner: str, name: str, ref: str) -> JsonResponse:
    """Return a revision and its ancestors, newest first, in pages.

    Raises:
        CursorInvalid: the page is not a number.
    """
    snapshot = snapshot_of(request, adapter_of(request, owner, name), ref)
    limit = whole(request.GET, "limit", default=50, most=MAX_COMMITS)
    text = request.GET.get("cursor", "0")
    if not (text.isascii() and text.isdecimal() and len(text) <= 9):
        raise CursorInvalid
    found, has_more = revisions.commits(snapshot.revision, skip=int(text), limit=limit)
    is_formatted = "formatted" in expanded(request.GET)
    rows = [shapes.commit(revision, is_formatted=is_formatted) for revision in found]
    return answer(rows, headers=next_page(request, str(int(text) + limit) if has_more else ""))


@endpoint("GET")
def auth_check(request: HttpRequest, owner: str, name: str) -> JsonResponse:
    """Check whether the user may download."""
    require_access(request, adapter_of(request, owner, name))
    return answer({})


@endpoint("GET")
def auth_check_write(request: HttpRequest, owner: str, name: str) -> JsonResponse:
    """Check whether the user may publish."""
    permissions.require_adapter(request.user, adapter_of(request, owner, name))
    return answer({})


@endpoint("GET")
def own_repos(request: HttpRequest) -> JsonResponse:
    """Return the user's repos with their sizes."""
    user = permissions.require_user(request.user)
    return answer(_owned(list(listings_by_tag.in_namespace(user, user.namespace))))


@endpoint("GET")
def organisation_repos(request: HttpRequest, owner: str) -> JsonResponse:
    """Return the repos of an organisation that the user may see."""
    user = permissions.require_user(request.user)
    return answer(
        _owned(list(listings_by_tag.in_namespace(user, adapter_selectors.namespace(owner))))
    )


def _owned(rows: Sequence[Adapter]) -> list[dict[str, Any]]:
    sizes = listings_by_tag.stored_bytes(rows)
    whole_bytes = sum(sizes.values()) or 1
    return [
        {
            "id": row.full_name,
            "type": "model",
            "updatedAt": shapes.instant(row.updated_at),
            "visibility": "private" if shapes.brief(row)["private"] else "public",
            "storage": sizes.get(row.pk, 0),
            "storagePercent": 100 * sizes.get(row.pk, 0) / whole_bytes,
        }
        for row in rows
    ]


def card_data(adapter: Adapter, files: Sequence[File]) -> dict[str, Any]:
    """Return the front matter from an adapter's fields, overridden by its README's."""
    readme = next((file for file in files if file.path == fields.NAME), None)
    if readme is None:
        return front_matter_of(adapter)
    try:
        front_matter = _front_matter(readme.sha256)
    except (FileNotFoundError, StorageAway, Invalid):
        front_matter = {}  # the document works without it
    return {**front_matter_of(adapter), **front_matter}


@lru_cache(maxsize=256)
def _front_matter(sha256: str) -> Mapping[str, Any]:
    with storage.store().open(sha256) as handle:
        return fields.front_matter(fields.decoded(handle.read(fields.MAX_READ + 1)))


@endpoint("GET")
def web_page(request: HttpRequest, owner: str, name: str, ref: str) -> HttpResponseRedirect:
    """Redirect to the version of a commit or branch, else to the adapter."""
    adapter = adapter_of(request, owner, name)
    place = reverse("adapter", args=[adapter.owner, adapter.name])
    found = _version(request, adapter, ref.partition("/")[0])
    return HttpResponseRedirect(f"{place}?v={found}" if found else place)


def _version(request: HttpRequest, adapter: Adapter, ref: str) -> str:
    try:
        return version_selectors.get(request.user, adapter, ref).name
    except NotFound:
        return ""
