"""Steps of drafting, publishing and committing: number a revision and make it public."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from registry import events
from registry.accounts import permissions
from registry.adapters import manifests
from registry.adapters import services as adapters
from registry.adapters.manifests import Entry
from registry.blobs import selectors as blob_selectors
from registry.database.row_locks import locked
from registry.errors import UploadRefused
from registry.hooks import version_published
from registry.models import Adapter, Blob, Revision, User, Version, VersionAnatomy, VersionState
from registry.versions import details as version_details
from registry.versions import latest
from registry.versions.details import Details


def require_not_taken_down(user: User, adapter: Adapter, entries: Sequence[Entry]) -> None:
    """Refuse weights that an administrator withdrew from this adapter, except to administrators.

    Raises:
        UploadRefused: the weights of a file were withdrawn by an administrator.
    """
    taken = blob_selectors.taken_down_in(adapter, [entry.blob for entry in entries])
    found = next((entry for entry in entries if entry.blob.pk in taken), None)
    if found is not None and not permissions.is_operator(user):
        text = _(
            "The weights of “%(path)s” were withdrawn with %(version)s: %(reason)s. Only an "
            "administrator can publish them here again."
        )
        version = taken[found.blob.pk]
        facts = {
            "path": found.path,
            "version": version.name,
            "reason": version.withdrawn_reason.rstrip("."),
        }
        raise UploadRefused(text % facts, paths=[found.path], version=version.name)


def require_stored(entries: Sequence[Entry]) -> None:
    """Lock the blobs and require that their bytes are stored; the sweeper may have released them.

    Raises:
        UploadRefused: bytes are missing.
    """
    blobs = locked(Blob.objects.filter(pk__in=[entry.blob.pk for entry in entries]))
    gone = {blob.pk for blob in blobs if not blob.is_stored}
    if names := [entry.path for entry in entries if entry.blob.pk in gone]:
        text = _("The bytes of “%(path)s” were deleted after the upload. Send them again.")
        raise UploadRefused(text % {"path": names[0]}, paths=names)


def number(
    *, user: User, revision: Revision, details: Details, pair: dict[str, Any] | None
) -> Version:
    """Give a revision the next number, as a draft; the caller has locked the adapter.

    Args:
        pair: Anatomy of the weights with their configuration (``anatomies.read_pair``).
    """
    adapter = revision.adapter
    following = Adapter.objects.values_list("last_number", flat=True).get(pk=adapter.pk) + 1
    Adapter.objects.filter(pk=adapter.pk).update(last_number=following)
    version = Version(adapter=adapter, number=following, revision=revision, author=user)
    own = VersionAnatomy(version=version, document=pair) if pair else None
    version_details.describe(version, details)
    version_details.measure(version)
    version.save()
    if own is not None:
        own.save()
    version.is_new = True
    return version


def make_public(*, user: User, version: Version) -> None:
    """Make a draft public; the caller has locked its adapter and charged its bytes."""
    adapter = version.adapter
    version.state, version.published_at = VersionState.PUBLISHED, timezone.now()
    version.save(update_fields=["state", "published_at", "revision", "size_bytes"])
    name_after_file(adapter, version)
    manifests.move(actor=user, revision=version.revision, name=manifests.MAIN, is_branch=True)
    manifests.move(actor=user, revision=version.revision, name=version.name)
    latest.show_newest(adapter)
    events.record(actor=user, verb="version_published", about=adapter, subject=version.name)
    send_published(version)


def name_after_file(adapter: Adapter, version: Version) -> None:
    """Give an adapter without a title the one in its file's metadata."""
    if adapter.title:
        return
    notes = version_details.document_of(version).get("metadata") or {}
    title = notes.get("title") or ""
    if title.isprintable():
        adapter.title = title[: adapters.LIMITS["title"]]


def record_commit(
    *, user: User, revision: Revision, ref: str, version: Version | None = None
) -> None:
    """Record the event of a commit, with its version if it has one."""
    events.record(
        actor=user,
        verb="revision_committed",
        about=revision.adapter,
        subject=revision.commit[:12],
        ref=ref,
        revision=revision.commit,
        version=version.name if version else None,
    )


def send_published(version: Version) -> None:
    """Send ``version_published`` after the commit. Errors of receivers do not undo anything."""
    transaction.on_commit(
        lambda: version_published.send_robust(sender=Version, version_id=version.pk)
    )
