"""The latest version of an adapter, and the columns of the adapter that lists show."""

from __future__ import annotations

from django.utils.translation import gettext as _

from registry.database import facet_counters
from registry.database.row_locks import locked
from registry.errors import Invalid, NotFound
from registry.models import OUT_STATES, Adapter, Revision, Version, VersionState
from registry.names import has_control
from registry.search import documents
from registry.versions import selectors as version_selectors

#: Maximum length of the reason of a yank or a withdrawal, in characters.
MAX_REASON = 280
#: Columns that an adapter copies from its latest version.
_COPIED = ("family", "lineage", "algorithm", "parts", "trainer")


def lock(version: Version) -> None:
    """Lock the adapter and read the version again; call it first in a transaction.

    Raises:
        NotFound: it was a draft that was discarded in the meantime.
    """
    locked(Adapter.objects.all()).get(pk=version.adapter_id)
    try:
        version.refresh_from_db()
    except Version.DoesNotExist as error:
        raise NotFound(_("This draft was discarded in the meantime.")) from error


def newest(adapter: Adapter) -> Version | None:
    """Return the published version with the highest number."""
    return adapter.versions.filter(state=VersionState.PUBLISHED).order_by("-number").first()


def latest_described_by_card(adapter: Adapter, tip: Revision) -> Version | None:
    """Return the version that the card on ``main`` describes.

    A card belongs to the adapter. Its base model and trigger words describe the weights in the same
    revision, even if that version was yanked. If the revision has no weights, they describe the
    latest published version.
    """
    out = adapter.versions.filter(state__in=OUT_STATES)
    return version_selectors.versions_for(out, [tip]).get(tip.pk) or newest(adapter)


def set_columns(adapter: Adapter, version: Version | None) -> None:
    """Set the adapter's columns that lists show, without saving them.

    Without a published version, they describe the newest yanked one, for the owner's lists.
    """
    adapter.latest_version = version
    shown = version or version_selectors.newest_yanked([adapter.pk]).get(adapter.pk)
    for column in _COPIED:
        setattr(adapter, column, getattr(shown, column) if shown else "")


def show_newest(adapter: Adapter) -> None:
    """Make the newest published version the latest one."""
    update_lists(adapter, newest(adapter))


def update_lists(adapter: Adapter, version: Version | None, *, is_edit: bool = True) -> None:
    """Save the adapter's columns that lists show of its latest version.

    If nothing was edited, the date of the last change stays.
    """
    set_columns(adapter, version)
    if version is not None:
        adapter.published_at = version.published_at
    columns = ["title", "latest_version", *_COPIED, "published_at"]
    adapter.save(update_fields=[*columns, "updated_at"] if is_edit else columns)
    documents.save(adapter)
    facet_counters.fold_soon()


def update_lists_of(version: Version, *, is_edit: bool = True) -> None:
    """Save the adapter's columns if lists show those of this version."""
    adapter = version.adapter
    if adapter.latest_version_id == version.pk:
        update_lists(adapter, version, is_edit=is_edit)
    elif adapter.latest_version_id is None and version.state == VersionState.YANKED:
        update_lists(adapter, None, is_edit=is_edit)


def delete_draft(version: Version) -> None:
    """Delete a draft, and its revision if nothing else uses it; the number is not used again."""
    revision = version.revision
    version.delete()
    is_used = revision.versions.exists() or revision.children.exists()
    if not is_used and not revision.aliases.exists():
        revision.delete()  # and its files, so that the sweeper can delete their blobs


def checked_reason(reason: str) -> str:
    """Return a reason, on one line.

    Raises:
        Invalid: it is empty, too long, or contains control characters.
    """
    text = " ".join(reason.split())
    fault = ""
    if not text:
        fault = _("Enter a reason that explains this to users.")
    elif len(text) > MAX_REASON:
        fault = _("A reason can have at most %(limit)d characters.") % {"limit": MAX_REASON}
    elif has_control(text):
        fault = _("A reason must not contain invisible characters.")
    if fault:
        raise Invalid(fault, fields={"reason": [fault]})
    return text
