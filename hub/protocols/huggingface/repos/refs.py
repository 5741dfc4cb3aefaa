"""Adapters and revisions by the words of an address.

A branch may have slashes in its name and comes quoted then: ``feat%2Frain``. Where the server tells
the path as it was sent, that settles where the name ends; else the longest alias does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote

from django.utils.translation import gettext as _

from hub.protocols.huggingface.refusals import (
    DISABLED,
    GATED_REPO,
    REPO_NOT_FOUND,
    REVISION_NOT_FOUND,
    Refused,
    raw_path,
)
from registry.adapters import selectors as adapter_selectors
from registry.errors import Forbidden, NotFound
from registry.versions import files, revisions

if TYPE_CHECKING:
    from django.http import HttpRequest

    from registry.models import Adapter, Revision
    from registry.versions.revisions import Snapshot


def standing_of(request: HttpRequest, owner: str, name: str) -> Adapter:
    """Return an adapter that the caller may see, one that was withdrawn too.

    Raises:
        Refused: there is none, or it was blocked.
        Moved: it has another name now.
    """
    try:
        return adapter_selectors.get(request.user, owner, name)
    except NotFound as error:
        if adapter_selectors.is_blocked(owner, name):
            text = _("An administrator blocked this adapter.")
            raise Refused(Forbidden(text), message=DISABLED) from error
        raise Refused(error, REPO_NOT_FOUND) from error


def adapter_of(request: HttpRequest, owner: str, name: str) -> Adapter:
    """Return an adapter that the caller may see.

    Raises:
        Refused: there is none, it was blocked, or all of it was withdrawn (410, with the reason).
        Moved: it has another name now.
    """
    adapter = standing_of(request, owner, name)
    if adapter.withdrawn_reason:
        raise Refused(adapter_selectors.gone(adapter), REPO_NOT_FOUND, status=410)
    return adapter


def require_access(request: HttpRequest, adapter: Adapter) -> None:
    """Let those pass who may have the adapter's files.

    Raises:
        Refused: it is gated.
    """
    try:
        files.require_access(request.user, adapter)
    except Forbidden as error:
        raise Refused(error, GATED_REPO) from error


def snapshot_of(request: HttpRequest, adapter: Adapter, ref: str) -> Snapshot:
    """Return the revision that a name means to readers, see ``registry.versions.revisions``.

    Raises:
        Refused: there is none, or it was withdrawn (410, with the reason).
    """
    try:
        return revisions.at(request.user, adapter, ref)
    except NotFound as error:
        raise Refused(error, REVISION_NOT_FOUND) from error


def revision_of(adapter: Adapter, ref: str) -> Revision:
    """Return the revision that a name points at, for those who change things.

    Raises:
        Refused: there is none.
    """
    try:
        return revisions.revision_named(adapter, ref)
    except NotFound as error:
        raise Refused(error, REVISION_NOT_FOUND) from error


def parted(
    request: HttpRequest, adapter: Adapter, rest: str, *, before: int
) -> tuple[Snapshot, str]:
    """Return the revision and the path that the rest of an address names.

    Args:
        request: For its path as it was sent.
        adapter: Whose.
        rest: Revision and path, ``main/noir.safetensors``; or a revision alone.
        before: Segments of the address before it.

    Raises:
        Refused: see ``snapshot_of``.
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
