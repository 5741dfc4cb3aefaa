"""Accepted uploads become a draft, and a draft becomes a public version with its README.md.

Which README.md a version has:

    one is among its uploads    that one; it is read, for what nobody said in another way
    ``main`` has one            that one, with what is said now
    there is none               one that is made of what is said

What takes a store is done before the transaction of the publication. So a version is public with
its README.md or not at all, and no lock waits for a store. A README.md that could not be made in
time, or of which somebody made another meanwhile, follows later (``cards.services``).
"""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from django.db import transaction
from django.utils.translation import gettext as _

from registry import events
from registry.accounts import permissions, quotas
from registry.adapters import manifests
from registry.adapters.manifests import Entry
from registry.blobs import anatomies, promote
from registry.cards import fields, readme
from registry.cards import services as cards
from registry.errors import AlreadyPublished, Conflict, Invalid, LoraryError, QuotaExceeded
from registry.models import Adapter, File, FileRole, Version, VersionState
from registry.versions import contents, latest
from registry.versions import details as version_details
from registry.versions import publish as publishing
from registry.versions.details import Details

if TYPE_CHECKING:
    from collections.abc import Sequence

    from registry.cards.fields import Card
    from registry.models import Blob, Revision, Upload, User
    from registry.storage import Written

log = logging.getLogger(__name__)


def create_draft(
    *,
    actor: User,
    adapter: Adapter,
    uploads: Sequence[Upload],
    details: Details | None = None,
    message: str = "",
) -> Version:
    """Freeze accepted uploads into a revision and number it.

    Weights are exactly those given; other files of ``main`` are kept unless given anew, its
    README.md by ``publish``. The files of an existing version return that version, whatever card it
    has.

    Raises:
        UploadNotReady, UploadRefused: an upload is not accepted (yet), or its weights were taken
            down from here.
        Invalid: no file, another's upload, a path twice, or a detail that does not fit.
        Gone, NotFound, Forbidden, Unauthenticated: see ``permissions.require_adapter``.
    """
    user = permissions.require_adapter(actor, adapter)
    said = details or Details()
    version_details.check(said)
    entries = contents.entries_of_uploads(user, uploads, said.declared_family)
    pair = anatomies.read_pair(contents.with_kept(entries, manifests.main_of(adapter)))
    with transaction.atomic():
        locked = Adapter.objects.select_for_update().get(pk=adapter.pk)
        permissions.require_standing(locked)
        parent = manifests.main_of(adapter)
        entries = contents.with_kept(entries, parent)
        existing = _same(adapter, entries)
        if existing is not None:
            return _said_again(existing, details)
        publishing.require_not_taken_down(user, adapter, entries)
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
    return publish_once(actor=actor, version=version)


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


@dataclass(frozen=True, slots=True)
class _Prepared:
    """What was read and stored before a publication.

    Attributes:
        given: What the README among the version's own files says.
        written: A README that was made for it.
        instead_of: The sha256 of ``main``'s README that it was made of, "" of none.
    """

    given: Card | None = None
    written: Written | None = None
    instead_of: str = ""


def publish(*, actor: User, version: Version) -> Version:
    """Make a draft public for ever, in one transaction with its README; previews follow the commit.

    Raises:
        AlreadyPublished: it is no draft any more.
        QuotaExceeded: its new bytes do not fit.
        StorageAway: the README among its files cannot be read now.
        NotFound, Forbidden, Unauthenticated: see ``permissions.require_adapter``.
    """
    user = permissions.require_adapter(actor, version.adapter)
    prepared = _prepare(version)
    with transaction.atomic():
        latest.lock(version)
        if version.state != VersionState.DRAFT:
            text = _("%(version)s is published and never changes. Publish a new version instead.")
            raise AlreadyPublished(text % {"version": version.name}, version=version.name)
        adapter, drafted = version.adapter, version.revision
        main = manifests.main_of(adapter)
        entries = _charge(main, manifests.entries_of(drafted), prepared)
        _freeze(user, version, main, entries)
        publishing.make_public(user=user, version=version)
        if prepared.given is not None:
            _apply(user, version, prepared.given)
        if drafted != version.revision:
            drafted.delete()  # nothing but the draft was built on it
        cards.follow_on_commit(actor=actor, adapter=adapter)
    return version


def publish_once(*, actor: User, version: Version) -> Version:
    """Publish a draft; a version that is out already, perhaps since just now, stays as it is.

    Raises:
        See ``publish``.
    """
    if version.state == VersionState.DRAFT:
        with suppress(AlreadyPublished):  # ``publish`` has read its state
            publish(actor=actor, version=version)
    return version


def _prepare(version: Version) -> _Prepared:
    """Read the README of a draft, or make and store one; outside of a transaction.

    Raises:
        StorageAway: the README among its files cannot be read now.
    """
    rows = Version.objects.select_related("revision", "adapter__namespace")
    draft = rows.filter(pk=version.pk, state=VersionState.DRAFT).first()
    if draft is None:
        return _Prepared()
    entries = manifests.entries_of(draft.revision)
    given = contents.readme_of(entries)
    if given is not None:
        return _Prepared(given=_read(given.blob))
    if not contents.takes_readme(entries):
        return _Prepared()
    before = _readme_of(manifests.main_of(draft.adapter))
    publishing.name_after_file(draft.adapter, draft)
    latest.present(draft.adapter, draft)
    try:
        text = readme.new_text(draft.adapter, before.blob if before else None)
        if text is not None:
            return _Prepared(written=promote.put([text.encode()]), instead_of=_digest(before))
    except (LoraryError, OSError) as reason:
        log.warning("README.md of adapter %d cannot be made: %s", draft.adapter_id, reason)
    return _Prepared()


def _read(blob: Blob) -> Card | None:
    with suppress(Invalid, FileNotFoundError):
        return fields.read_blob(blob)
    return None


def _readme_of(main: Revision) -> Entry | None:
    return contents.readme_of(contents.base_of(main))


def _digest(entry: Entry | None) -> str:
    return entry.blob.sha256 if entry is not None else ""


def _charge(main: Revision, entries: list[Entry], prepared: _Prepared) -> list[Entry]:
    """Charge the files of a version, and return them with its README; the adapter is locked.

    Raises:
        QuotaExceeded: the files do not fit. A new README that does not is left out.
    """
    namespace, blobs = main.adapter.namespace, [entry.blob for entry in entries]
    before = _readme_of(main) if contents.takes_readme(entries) else None
    if prepared.written is not None and prepared.instead_of == _digest(before):
        with suppress(Conflict, QuotaExceeded):
            new = Entry(contents.README, promote.mark_stored(prepared.written), FileRole.CARD)
            quotas.charge(namespace=namespace, blobs=[*blobs, new.blob])
            return [*entries, new]
    quotas.charge(namespace=namespace, blobs=blobs)
    return [*entries, before] if before is not None else entries


def _freeze(user: User, version: Version, main: Revision, entries: list[Entry]) -> None:
    """Give a draft its last revision: with these files, on top of what ``main`` is now."""
    drafted = version.revision
    is_same = manifests.digest_of(entries) == drafted.manifest_sha256
    if is_same and drafted.parent_id == main.pk:
        return
    version.revision = manifests.commit(
        actor=user,
        adapter=version.adapter,
        parent=main,
        entries=entries,
        message=drafted.message,
    )
    version.size_bytes = sum(entry.blob.size_bytes for entry in entries)


def _apply(user: User, version: Version, card: Card) -> None:
    """Write what the README of a version says and nobody said in another way."""
    adapter = version.adapter
    unsaid = replace(
        card,
        text=adapter.card or card.text,
        licence=None if adapter.licence else card.licence,
        tags=None if adapter.tags.exists() else card.tags,
        family=None if version.declared_family else card.family,
        lineage=None if version.lineage else card.lineage,
        trigger_words=None if version.trigger_words else card.trigger_words,
    )
    cards.apply(actor=user, adapter=adapter, card=unsaid)
    version.refresh_from_db()
