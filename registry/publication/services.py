"""Drafts from accepted uploads, and publication of drafts with their README.md.

Which README.md a version gets:

    one is among its uploads    that one; it sets the fields that are still empty
    ``main`` has one            that one, updated from the fields
    there is none               a new one, written from the fields

The store is used before the transaction of the publication. So a version and its README.md become
public together, and no lock waits for the store. If README.md cannot be written in time, or
its sources change in the meantime, it is updated after the commit (``cards.services``).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from django.db import transaction
from django.utils.translation import gettext as _

from registry import events
from registry.accounts import permissions, quotas
from registry.adapters import manifests
from registry.adapters.manifests import Entry
from registry.blobs import anatomies, promote
from registry.cards import fields, readme
from registry.cards import services as cards
from registry.cards.fields import Card
from registry.database.row_locks import locked
from registry.errors import AlreadyPublished, Conflict, Invalid, LoraryError, QuotaExceeded
from registry.models import (
    Adapter,
    Blob,
    File,
    FileRole,
    Revision,
    Upload,
    User,
    Version,
    VersionState,
)
from registry.storage import Written
from registry.versions import contents, latest
from registry.versions import details as version_details
from registry.versions import publish as publishing
from registry.versions.details import Details

log = logging.getLogger(__name__)


def create_draft(
    *,
    actor: User,
    adapter: Adapter,
    uploads: Sequence[Upload],
    details: Details | None = None,
    message: str = "",
) -> Version:
    """Create a numbered draft from accepted uploads.

    Its weights are exactly the uploaded ones; other files of ``main`` are kept unless uploaded
    again, README.md by ``publish``. If a version has the same files, apart from README.md, that
    version is returned.

    Raises:
        UploadIncomplete, UploadNotReady, UploadRefused: an upload is not accepted, or its weights
            were taken down from this adapter.
        Invalid: no file, another user's upload, a path twice, or an invalid detail.
        Gone, NotFound, Forbidden, Unauthenticated: see ``permissions.require_adapter``.
    """
    user = permissions.require_adapter(actor, adapter)
    given = details or Details()
    version_details.check(given)
    entries = contents.entries_of_uploads(user, uploads, given.declared_family)
    pair = anatomies.read_pair(contents.with_kept(entries, manifests.main_of(adapter)))
    with transaction.atomic():
        fresh = locked(Adapter.objects.all()).get(pk=adapter.pk)
        permissions.require_standing(fresh)
        parent = manifests.main_of(adapter)
        entries = contents.with_kept(entries, parent)
        existing = _same(adapter, entries)
        if existing is not None:
            return _redescribe(user, existing, details)
        publishing.require_not_taken_down(user, adapter, entries)
        publishing.require_stored(entries)
        revision = manifests.commit(
            actor=user,
            adapter=adapter,
            parent=parent,
            entries=entries,
            message=message or f"v{fresh.last_number + 1}",
        )
        version = publishing.number(user=user, revision=revision, details=given, pair=pair)
        events.record(actor=user, verb="version_drafted", about=adapter, subject=version.name)
    return version


def release(
    *, actor: User, adapter: Adapter, uploads: Sequence[Upload], details: Details | None = None
) -> Version:
    """Create a draft and publish it; repeated or simultaneous calls return the same version."""
    version = create_draft(actor=actor, adapter=adapter, uploads=uploads, details=details)
    return publish_once(actor=actor, version=version)


def _redescribe(user: User, version: Version, details: Details | None) -> Version:
    """Give an existing draft of the same files new details; published versions don't change."""
    if version.state == VersionState.DRAFT and details is not None:
        version_details.describe(version, details)
        version_details.measure(version)
        version.save(update_fields=version_details.COLUMNS)
        events.record(
            actor=user, verb="version_edited", about=version.adapter, subject=version.name
        )
    return version


def _same(adapter: Adapter, entries: Sequence[Entry]) -> Version | None:
    """Return the version with these files; its README.md may differ if none is among them."""
    live = adapter.versions.exclude(state=VersionState.WITHDRAWN)
    digests = {manifests.digest_of(entries)}
    if all(entry.path != contents.README for entry in entries):
        cards = File.objects.filter(path=contents.README, revision__versions__in=live)
        for card in cards.select_related("blob"):
            line = manifests.Entry(card.path, card.blob, card.role)
            digests.add(manifests.digest_of([*entries, line]))
    return live.filter(revision__manifest_sha256__in=digests).order_by("number").first()


@dataclass(frozen=True, slots=True)
class _Prepared:
    """What a publication reads and stores before its transaction."""

    draft: Version  # the draft with its adapter; the README is made from their values
    entries: list[Entry]  # the files of the draft
    main: Revision  # the revision on ``main``
    takes_readme: bool = False  # whether a README can be added to the files
    before: Entry | None = None  # README on ``main``, if the version can take it
    card: Card | None = None  # the parsed README among the version's own files
    written: Written | None = None  # a new README in the store
    is_complete: bool = False  # whether README.md needs no update, if nothing changes meanwhile

    def is_current(self, version: Version, main: Revision, entries: list[Entry]) -> bool:
        """Whether these files have the README, and nothing changed meanwhile; under the lock."""
        sha256 = self.written.sha256 if self.written else None
        is_in = sha256 is None or any(entry.blob.sha256 == sha256 for entry in entries)
        is_same = main == self.main and _sources(version) == _sources(self.draft)
        return self.is_complete and is_in and is_same


def _sources(version: Version) -> tuple[object, ...]:
    """Return the values that a README is made from."""
    strengths = version.strength, version.strength_min, version.strength_max
    return (
        version.adapter.updated_at,
        version.family,
        version.lineage,
        version.trigger_words,
        version.optional_trigger_words,
        strengths,
    )


def publish(*, actor: User, version: Version) -> Version:
    """Publish a draft and its README in one transaction; previews are queued after the commit.

    Raises:
        AlreadyPublished: it is not a draft.
        QuotaExceeded: its new bytes exceed the quota.
        StorageAway: the store with the README among its files is unreachable.
        NotFound, Forbidden, Unauthenticated: see ``permissions.require_adapter``.
    """
    user = permissions.require_adapter(actor, version.adapter)
    prepared = _prepare(version)
    with transaction.atomic():
        latest.lock(version)
        if prepared is None or version.state != VersionState.DRAFT:
            text = _("%(version)s is published and never changes. Publish a new version instead.")
            raise AlreadyPublished(text % {"version": version.name}, version=version.name)
        adapter, drafted, main = (
            version.adapter,
            version.revision,
            manifests.main_of(version.adapter),
        )
        entries = _charge(main, prepared)
        is_current = prepared.is_current(version, main, entries)
        if entries is not prepared.entries or drafted.parent_id != main.pk:
            version.revision = manifests.commit(
                actor=user,
                adapter=adapter,
                parent=main,
                entries=entries,
                message=drafted.message,
            )
            version.size_bytes = sum(entry.blob.size_bytes for entry in entries)
        publishing.make_public(user=user, version=version)
        if prepared.card is not None:
            _apply(user, version, prepared.card)
        if drafted != version.revision:
            drafted.delete()  # only the draft used it
        if not is_current:
            cards.update_readme_on_commit(actor=actor, adapter=adapter)
    version.is_new = True
    return version


def publish_once(*, actor: User, version: Version) -> Version:
    """Publish a draft; does nothing if the version is published, even by a simultaneous call."""
    if version.state == VersionState.DRAFT:
        try:
            publish(actor=actor, version=version)
        except AlreadyPublished:  # ``publish`` has read its state
            version.is_new = False  # for the caller that published it
    return version


def _prepare(version: Version) -> _Prepared | None:
    """Read the README of a draft, or write and store one; outside of a transaction.

    Returns:
        None if the version is not a draft.
    """
    rows = Version.objects.select_related("revision", "adapter__namespace")
    draft = rows.filter(pk=version.pk, state=VersionState.DRAFT).first()
    if draft is None:
        return None
    adapter, entries = draft.adapter, manifests.entries_of(draft.revision)
    prepared = _Prepared(draft, entries, manifests.main_of(adapter))
    own = next((entry for entry in entries if entry.path == contents.README), None)
    if own is not None:
        return replace(prepared, card=_read(own.blob))
    if not contents.takes_readme(entries):
        return prepared
    before = contents.readme_on(prepared.main)
    prepared = replace(prepared, takes_readme=True, before=before)
    publishing.name_after_file(adapter, draft)
    latest.set_columns(adapter, draft)
    try:
        text = readme.new_text(adapter, before.blob if before else None)
        written = None if text is None else promote.put([text.encode()])
    except (LoraryError, OSError) as reason:
        log.warning("README.md of adapter %d cannot be written: %s", adapter.pk, reason)
        return prepared
    return replace(prepared, written=written, is_complete=True)


def _read(blob: Blob) -> Card | None:
    with suppress(Invalid, FileNotFoundError):
        return fields.read_blob(blob)
    return None


def _charge(main: Revision, prepared: _Prepared) -> list[Entry]:
    """Charge the files of a version, and return them with its README; the adapter is locked."""
    entries, before, written = prepared.entries, prepared.before, prepared.written
    if prepared.takes_readme and main != prepared.main:
        before = contents.readme_on(main)
        written = written if before == prepared.before else None
    namespace, blobs = main.adapter.namespace, [entry.blob for entry in entries]
    if written is not None:
        with suppress(Conflict, QuotaExceeded):
            new = Entry(contents.README, promote.mark_stored(written), FileRole.CARD)
            quotas.charge(namespace=namespace, blobs=[*blobs, new.blob])
            return [*entries, new]
    quotas.charge(namespace=namespace, blobs=blobs)
    return [*entries, before] if before is not None else entries


def _apply(user: User, version: Version, card: Card) -> None:
    """Set the empty fields of a version and its adapter from its README."""
    adapter = version.adapter
    missing = replace(
        card,
        text=adapter.card or card.text,
        licence=None if adapter.licence else card.licence,
        tags=None if adapter.tags.exists() else card.tags,
        family=None if version.declared_family else card.family,
        lineage=None if version.lineage else card.lineage,
        trigger_words=None if version.trigger_words else card.trigger_words,
        optional_trigger_words=(
            None if version.optional_trigger_words else card.optional_trigger_words
        ),
    )
    cards.apply(actor=user, adapter=adapter, card=missing)
    version.refresh_from_db()
