"""Which version of an adapter is offered, and what lists show of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.utils.translation import gettext as _

from registry.adapters import services as adapters
from registry.errors import Invalid, NotFound
from registry.models import OUT_STATES, Adapter, Version, VersionState
from registry.names import has_control
from registry.versions import selectors as version_selectors

if TYPE_CHECKING:
    from registry.models import Revision

#: Longest reason of a yank or a withdrawal, in characters.
MAX_REASON = 280


def lock(version: Version) -> None:
    """Lock the adapter and read the version again, first thing in a transaction.

    Raises:
        NotFound: it was a draft, and was discarded meanwhile.
    """
    Adapter.objects.select_for_update().get(pk=version.adapter_id)
    try:
        version.refresh_from_db()
    except Version.DoesNotExist as error:
        raise NotFound(_("This draft was discarded meanwhile.")) from error


def newest(adapter: Adapter) -> Version | None:
    """Return the version that is offered: the highest published number."""
    return adapter.versions.filter(state=VersionState.PUBLISHED).order_by("-number").first()


def latest_described_by_card(adapter: Adapter, tip: Revision) -> Version | None:
    """Return the version that the card on ``main`` describes.

    A card belongs to the adapter. Its base model and trigger words describe the weights in the same
    revision, even if that version was yanked. Without such weights, they describe the latest
    published version.
    """
    out = adapter.versions.filter(state__in=OUT_STATES)
    return version_selectors.standing_for(out, [tip]).get(tip.pk) or newest(adapter)


def present(adapter: Adapter, version: Version | None) -> None:
    """Set what lists show of a version on the adapter at hand; saves nothing."""
    adapter.latest_version = version
    adapter.family = version.family if version else ""
    adapter.lineage = version.lineage if version else ""


def show(adapter: Adapter, version: Version | None) -> None:
    """Keep on the adapter what lists show of its newest offered version."""
    present(adapter, version)
    if version is not None:
        adapter.published_at = version.published_at
    adapter.save(
        update_fields=["title", "latest_version", "family", "lineage", "published_at", "updated_at"]
    )
    adapters.refresh_search(adapter)


def drop(version: Version) -> None:
    """Remove a draft, and its revision where nothing else is built on it; its number stays used."""
    revision = version.revision
    version.delete()
    is_used = revision.versions.exists() or revision.children.exists()
    if not is_used and not revision.aliases.exists():
        revision.delete()  # its files let go of their blobs


def checked_reason(reason: str) -> str:
    """Return a reason on one line.

    Raises:
        Invalid: there is none, it is too long, or it has characters that nobody sees.
    """
    text = " ".join(reason.split())
    fault = ""
    if not text:
        fault = _("Give a reason that helps its users.")
    elif len(text) > MAX_REASON:
        fault = _("A reason has at most %(limit)d characters.") % {"limit": MAX_REASON}
    elif has_control(text):
        fault = _("A reason must not contain invisible characters.")
    if fault:
        raise Invalid(fault, fields={"reason": [fault]})
    return text
