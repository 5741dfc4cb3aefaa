"""Adapters and revisions from the parts of a URL.

The name of a branch may have slashes, which clients quote: ``feat%2Frain``. If the server provides
the path as sent, that shows where the name ends; otherwise the longest matching alias is used.
"""

from __future__ import annotations

from urllib.parse import unquote

from django.http import HttpRequest

from hub.protocols.huggingface.refusals import (
    DISABLED,
    GATED_REPO,
    REPO_NOT_FOUND,
    REVISION_NOT_FOUND,
    Refused,
    raw_path,
)
from registry.adapters import selectors as adapter_selectors
from registry.errors import Blocked, Forbidden, NotFound
from registry.models import Adapter, Revision
from registry.versions import files, revisions
from registry.versions.revisions import Snapshot


def adapter_or_tombstone(request: HttpRequest, owner: str, name: str) -> Adapter:
    """Return an adapter that the user may see, also a withdrawn one.

    Raises:
        Refused: there is none, or it is blocked.
        Moved: it was renamed.
    """
    try:
        return adapter_selectors.get(request.user, owner, name)
    except Blocked as error:
        raise Refused(error, status=403, message=DISABLED) from error
    except NotFound as error:
        raise Refused(error, REPO_NOT_FOUND) from error


def adapter_of(request: HttpRequest, owner: str, name: str) -> Adapter:
    """Return an adapter that the user may see.

    Raises:
        Refused: there is none, it is blocked, or it was withdrawn (410, with the reason).
        Moved: it was renamed.
    """
    adapter = adapter_or_tombstone(request, owner, name)
    if adapter.withdrawn_reason:
        raise Refused(adapter_selectors.gone(adapter), REPO_NOT_FOUND, status=410)
    return adapter


def require_access(request: HttpRequest, adapter: Adapter) -> None:
    """Require that the user may download the adapter's files.

    Raises:
        Refused: the adapter is gated.
    """
    try:
        files.require_access(request.user, adapter)
    except Forbidden as error:
        raise Refused(error, GATED_REPO) from error


def snapshot_of(request: HttpRequest, adapter: Adapter, ref: str) -> Snapshot:
    """Return the revision of a ref for reading; see ``registry.versions.revisions``.

    Raises:
        Refused: there is none, or it was withdrawn (410, with the reason).
    """
    try:
        return revisions.at(request.user, adapter, ref)
    except NotFound as error:
        raise Refused(error, REVISION_NOT_FOUND) from error


def revision_of(adapter: Adapter, ref: str) -> Revision:
    """Return the revision of a ref for writing.

    Raises:
        Refused: there is none.
    """
    try:
        return revisions.revision_named(adapter, ref)
    except NotFound as error:
        raise Refused(error, REVISION_NOT_FOUND) from error


def split_ref_and_path(
    request: HttpRequest, adapter: Adapter, rest: str, *, before: int
) -> tuple[Snapshot, str]:
    """Return revision and path from the rest of a URL.

    Args:
        rest: Revision and path, such as ``main/noir.safetensors``, or only a revision.
        before: Number of segments before ``rest``.
    """
    sent = raw_path(request).removeprefix("/").split("/")[before:]
    first = unquote(sent[0]) if unquote("/".join(sent)) == rest else ""
    ref, _slash, path = rest.partition("/")
    if "/" in first:
        ref, path = first, rest[len(first) + 1 :]
    try:
        return snapshot_of(request, adapter, ref), path
    except Refused:
        longer = revisions.longest_alias(adapter, rest)
        if not longer:
            raise
        return snapshot_of(request, adapter, longer), rest[len(longer) + 1 :]
