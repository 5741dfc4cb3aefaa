"""Versions: draft, publish, yank, restore. What takes their bytes away is ``withdraw``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import transaction
from django.utils.translation import gettext as _

from registry import events
from registry.accounts import permissions
from registry.adapters import manifests
from registry.adapters import services as adapters
from registry.blobs import anatomies
from registry.cards import readme
from registry.errors import AlreadyPublished, StateConflict
from registry.models import OUT_STATES, Adapter, File, Version, VersionState
from registry.versions import contents, describe, latest
from registry.versions import details as version_details
from registry.versions import publish as publishing
from registry.versions.details import Details

if TYPE_CHECKING:
    from collections.abc import Sequence

    from registry.adapters.manifests import Entry
    from registry.models import Upload, User

__all__ = [
    "Details",
    "create_draft",
    "discard",
    "edit",
    "publish",
    "release",
    "remeasure",
    "restore",
    "yank",
]


def create_draft(
    *,
    actor: User,
    adapter: Adapter,
    uploads: Sequence[Upload],
    details: Details | None = None,
    message: str = "",
) -> Version:
    """Freeze accepted uploads into a revision and number it.

    Weights are exactly those given; other files of ``main`` but its card are kept unless given
    anew. The files of an existing version return that version, whatever card it has.

    Raises:
        UploadNotReady, UploadRefused: an upload is not accepted (yet), or its weights were taken
            down from here.
        Invalid: no file, another's upload, a path twice, or a detail that does not fit.
        Gone, NotFound, Forbidden, Unauthenticated: see ``permissions.require_adapter``.
    """
    user = permissions.require_adapter(actor, adapter)
    said = details or Details()
    version_details.check(said)
    entries = contents.given(user, uploads, said.declared_family)
    pair = anatomies.read_pair(contents.with_kept(entries, manifests.main_of(adapter)))
    with transaction.atomic():
        locked = Adapter.objects.select_for_update().get(pk=adapter.pk)
        permissions.require_standing(locked)
        parent = manifests.main_of(adapter)
        entries = contents.with_kept(entries, parent)
        existing = _same(adapter, entries)
        if existing is not None:
            return _said_again(existing, details)
        publishing.require_welcome(user, adapter, entries)
        publishing.require_stored(entries)
        revision = manifests.commit(
            actor=user,
            adapter=adapter,
            parent=parent,
            entries=entries,
            message=message or f"v{locked.last_number + 1}",
        )
        version = publishing.number(user=user, revision=revision, said=said, pair=pair)
        events.record(actor=user, verb="version_drafted", adapter=adapter, subject=version.name)
    return version


def release(
    *, actor: User, adapter: Adapter, uploads: Sequence[Upload], details: Details | None = None
) -> Version:
    """Draft and publish in one go; the same files again, even at once, are the same version.

    Raises:
        See ``create_draft`` and ``publish``.
    """
    version = create_draft(actor=actor, adapter=adapter, uploads=uploads, details=details)
    if version.state != VersionState.DRAFT:
        return version
    try:
        return publish(actor=actor, version=version)
    except AlreadyPublished:
        return version  # another call with these files was faster; publish has read its state


def _said_again(version: Version, details: Details | None) -> Version:
    """Take new details for a draft of the same files; what is published stays as it is."""
    if version.state == VersionState.DRAFT and details is not None:
        version_details.describe(version, details)
        version_details.measure(version)
        version.save(update_fields=version_details.SAID)
    return version


def _same(adapter: Adapter, entries: Sequence[Entry]) -> Version | None:
    """Return the version that has these files, and any card unless one is among them."""
    live = adapter.versions.exclude(state=VersionState.WITHDRAWN)
    manifests_of_it = {manifests.digest_of(entries)}
    if all(entry.path != contents.README for entry in entries):
        cards = File.objects.filter(path=contents.README, revision__versions__in=live)
        for card in cards.select_related("blob"):
            line = manifests.Entry(card.path, card.blob, card.role)
            manifests_of_it.add(manifests.digest_of([*entries, line]))
    return live.filter(revision__manifest_sha256__in=manifests_of_it).order_by("number").first()


def edit(*, actor: User, version: Version, details: Details) -> Version:
    """Change what is said about a version, and README.md follows; its files never change.

    Raises:
        See ``describe.describe``.
    """
    with transaction.atomic():
        describe.describe(actor=actor, version=version, details=details)
        adapters.tell_card(actor=actor, adapter=version.adapter)
    return version


def remeasure(*, version: Version) -> bool:
    """Copy from a renewed anatomy what lists show; whether that is something else than before.

    What people said stays. A published version's new family is told to the previews.
    """
    with transaction.atomic():
        latest.lock(version)
        before = _measured(version)
        version_details.measure(version)
        if _measured(version) == before:
            return False
        version.save(update_fields=["family", "algorithm", "rank", "size_bytes"])
        if version.adapter.latest_version_id == version.pk:
            latest.show(version.adapter, version)
        if version.state == VersionState.PUBLISHED and version.family != before.family:
            publishing.tell(version)
    return True


def _measured(version: Version) -> anatomies.Facts:
    return anatomies.Facts(version.family, version.algorithm, version.rank)


def publish(*, actor: User, version: Version) -> Version:
    """Make a draft public for ever, in one transaction with its card; previews follow the commit.

    The card lies in a revision of its own behind the version unless it is among its files.

    Raises:
        AlreadyPublished: it is no draft any more.
        QuotaExceeded: its new bytes do not fit.
        StorageAway: see ``readme.ready``.
        NotFound, Forbidden, Unauthenticated: see ``permissions.require_adapter``.
    """
    user = permissions.require_adapter(actor, version.adapter)
    ready = readme.ready(version)
    with transaction.atomic():
        latest.lock(version)
        adapter = version.adapter
        if version.state != VersionState.DRAFT:
            raise AlreadyPublished(
                _("%(version)s is published and never changes. Publish a new version instead.")
                % {"version": version.name},
                version=version.name,
            )
        entries, drafted = manifests.entries_of(version.revision), version.revision
        card = readme.charge(adapter=adapter, entries=entries, ready=ready)
        _rebase(user, version, entries)
        publishing.make_public(user=user, version=version)
        if card is not None:
            readme.put(user=user, version=version, entries=entries, card=card, ready=ready)
        if ready.given is not None:
            readme.apply_card(user=user, version=version, card=ready.given)
        if drafted != version.revision:
            drafted.delete()  # nothing but the draft was built on it
        adapters.tell_card(actor=actor, adapter=adapter)
    return version


def _rebase(user: User, version: Version, entries: list[Entry]) -> None:
    """Put the draft's manifest on top of ``main`` when that moved since it was drafted."""
    main = manifests.main_of(version.adapter)
    if version.revision.parent_id != main.pk:
        version.revision = manifests.commit(
            actor=user,
            adapter=version.adapter,
            parent=main,
            entries=entries,
            message=version.revision.message,
        )


def yank(*, actor: User, version: Version, reason: str) -> Version:
    """Keep a version but stop offering it; whoever looks at it reads why.

    Raises:
        Invalid: there is no reason, or it does not fit.
        StateConflict: drafts and withdrawn versions cannot be yanked.
    """
    return _offer(actor, version, VersionState.YANKED, latest.checked_reason(reason))


def restore(*, actor: User, version: Version) -> Version:
    """Offer a yanked version again; one that is offered stays as it is.

    Raises:
        StateConflict: it is a draft, or was withdrawn.
    """
    return _offer(actor, version, VersionState.PUBLISHED, "")


def _offer(actor: User, version: Version, state: VersionState, reason: str) -> Version:
    """Change whether a version that is out is offered."""
    user = permissions.require_adapter(actor, version.adapter)
    with transaction.atomic():
        latest.lock(version)
        if version.state not in OUT_STATES:
            raise StateConflict(_not_out(version), state=version.state)
        if (version.state, version.yanked_reason) == (state, reason):
            return version
        version.state, version.yanked_reason = state, reason
        version.save(update_fields=["state", "yanked_reason"])
        latest.show(version.adapter, latest.newest(version.adapter))
        events.record(
            actor=user,
            verb="version_yanked" if reason else "version_restored",
            adapter=version.adapter,
            subject=version.name,
            reason=reason,
        )
    return version


def _not_out(version: Version) -> str:
    if version.state == VersionState.WITHDRAWN:
        return _("%(version)s was withdrawn, which cannot be undone.") % {"version": version.name}
    return _("Only published versions can be yanked.")


def discard(*, actor: User, version: Version) -> None:
    """Drop a draft; its number is not given again.

    Raises:
        AlreadyPublished: it is no draft.
    """
    user = permissions.require_adapter(actor, version.adapter)
    with transaction.atomic():
        latest.lock(version)
        if version.state != VersionState.DRAFT:
            text = _("%(version)s is published and kept. Yank it, or withdraw it.")
            raise AlreadyPublished(text % {"version": version.name}, version=version.name)
        latest.drop(version)
        events.record(
            actor=user, verb="version_discarded", adapter=version.adapter, subject=version.name
        )
