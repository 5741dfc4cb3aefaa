"""Versions: draft, publish, yank."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from lorary.anatomy import FAMILIES
from registry.errors import AlreadyPublished, Invalid, StateConflict, UploadNotReady, UploadRefused
from registry.models import Adapter, FileRole, UploadState, Version, VersionState
from registry.services import access, adapters, events, manifests, quotas
from registry.services.manifests import Entry
from registry.signals import version_published

if TYPE_CHECKING:
    from collections.abc import Sequence

    from registry.models import BlobAnatomy, File, Revision, Upload, User

__all__ = ["Details", "create_draft", "discard", "edit", "publish", "release", "yank"]

MAX_TRIGGER_WORDS = 32
MAX_FILES = 64
STRENGTH_LIMIT = 10.0


@dataclass(frozen=True, slots=True)
class Details:
    """What a person says about a version; strengths are multipliers, None: not said."""

    label: str = ""
    notes: str = ""
    declared_family: str = ""
    lineage: str = ""
    trigger_words: Sequence[str] = field(default_factory=tuple)
    strength: float | None = None
    strength_min: float | None = None
    strength_max: float | None = None


def create_draft(
    *,
    actor: User,
    adapter: Adapter,
    uploads: Sequence[Upload],
    details: Details | None = None,
    message: str = "",
) -> Version:
    """Freeze accepted uploads into a revision and number it.

    Weights are exactly those given; other files of ``main`` are kept unless given anew. The
    manifest of an existing version returns that version.

    Raises:
        UploadNotReady, UploadRefused: an upload is not accepted (yet).
        Invalid: no file, another's upload, a path twice, or a detail that does not fit.
        NotFound, Forbidden, Unauthenticated: see ``access.require_adapter``.
    """
    user = access.require_adapter(actor, adapter)
    said = details or Details()
    _check_details(said)
    entries = _given(user, uploads)
    with transaction.atomic():
        locked = Adapter.objects.select_for_update().get(pk=adapter.pk)
        parent = manifests.main_of(adapter)
        entries = _with_kept(entries, parent)
        existing = _same(adapter, manifests.digest_of(entries))
        if existing is not None:
            return existing
        number = locked.last_number + 1
        Adapter.objects.filter(pk=adapter.pk).update(last_number=number)
        revision = manifests.commit(
            actor=user,
            adapter=adapter,
            parent=parent,
            entries=entries,
            message=message or f"v{number}",
        )
        version = Version(adapter=adapter, number=number, revision=revision, author=user)
        _describe(version, said)
        _measure(version)
        version.save()
        version.is_new = True
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
        if version.is_new:
            raise
        return version  # another call with these files was faster; publish has read its state


def _given(user: User, uploads: Sequence[Upload]) -> list[Entry]:
    """Return manifest lines of the uploads, the largest weights file as the primary one."""
    if not 1 <= len(uploads) <= MAX_FILES:
        raise Invalid(_("A version has 1 to %(n)d files.") % {"n": MAX_FILES})
    if len({upload.path for upload in uploads}) != len(uploads):
        raise Invalid(_("Two files have the same name."))
    for upload in uploads:
        _require_accepted(user, upload)
    weights = [upload for upload in uploads if _role(upload.path) == FileRole.WEIGHTS]
    if not weights:
        raise Invalid(_("A version needs a .safetensors file."))
    primary = max(weights, key=lambda upload: (upload.size_bytes, upload.path))
    return [
        Entry(upload.path, upload.blob, _role(upload.path), is_primary=upload is primary)
        for upload in uploads
        if upload.blob is not None
    ]


def _require_accepted(user: User, upload: Upload) -> None:
    if upload.owner_id != user.pk:
        raise Invalid(_("An upload is another's."))
    if upload.state in {UploadState.RECEIVING, UploadState.CHECKING}:
        raise UploadNotReady(
            _("“%(path)s” is %(state)s. Wait until it is accepted.")
            % {"path": upload.path, "state": upload.state},
            upload=str(upload.public_id),
            state=upload.state,
        )
    if upload.state != UploadState.ACCEPTED:
        raise UploadRefused(
            _("“%(path)s” is %(state)s and cannot be published.")
            % {"path": upload.path, "state": upload.state},
            upload=str(upload.public_id),
            state=upload.state,
        )


_ROLES = {
    "safetensors": FileRole.WEIGHTS,
    "json": FileRole.CONFIG,
    "md": FileRole.CARD,
    "png": FileRole.SAMPLE,
    "jpg": FileRole.SAMPLE,
    "jpeg": FileRole.SAMPLE,
    "webp": FileRole.SAMPLE,
    "toml": FileRole.TRAINING,
    "yaml": FileRole.TRAINING,
    "yml": FileRole.TRAINING,
}


def _role(path: str) -> str:
    return _ROLES.get(path.rpartition(".")[2].casefold(), FileRole.OTHER)


def _with_kept(entries: list[Entry], parent: Revision) -> list[Entry]:
    given = {entry.path for entry in entries}
    kept = [
        entry
        for entry in manifests.entries_of(parent)
        if entry.role != FileRole.WEIGHTS and entry.path not in given
    ]
    return entries + kept


def _same(adapter: Adapter, manifest: str) -> Version | None:
    live = adapter.versions.exclude(state=VersionState.WITHDRAWN)
    return live.filter(revision__manifest_sha256=manifest).order_by("number").first()


def edit(*, actor: User, version: Version, details: Details) -> Version:
    """Change what is said about a version; its files never change.

    Raises:
        Invalid: a detail does not fit.
    """
    user = access.require_adapter(actor, version.adapter)
    _check_details(details)
    with transaction.atomic():
        _describe(version, details)
        _measure(version)
        version.save()
        adapter = Adapter.objects.select_for_update().get(pk=version.adapter_id)
        if adapter.latest_version_id == version.pk:
            _show(adapter, version)
        version.adapter = adapter
        events.record(actor=user, verb="version_edited", adapter=adapter, subject=version.name)
    return version


def publish(*, actor: User, version: Version) -> Version:
    """Make a draft public for ever, in one transaction; previews follow the commit.

    Raises:
        AlreadyPublished: it is no draft any more.
        QuotaExceeded: its new bytes do not fit.
        NotFound, Forbidden, Unauthenticated: see ``access.require_adapter``.
    """
    user = access.require_adapter(actor, version.adapter)
    with transaction.atomic():
        adapter = Adapter.objects.select_for_update().get(pk=version.adapter_id)
        version.refresh_from_db()
        if version.state != VersionState.DRAFT:
            raise AlreadyPublished(
                _("%(version)s is published and never changes. Publish a new version instead.")
                % {"version": version.name},
                version=version.name,
            )
        entries = manifests.entries_of(version.revision)
        quotas.charge(namespace=adapter.namespace, blobs=[entry.blob for entry in entries])
        _rebase(user, version, entries)
        version.state, version.published_at = VersionState.PUBLISHED, timezone.now()
        version.save()
        manifests.move(actor=user, revision=version.revision, name=manifests.MAIN, is_branch=True)
        manifests.move(actor=user, revision=version.revision, name=version.name)
        _show(adapter, version)
        events.record(actor=user, verb="version_published", adapter=adapter, subject=version.name)
        transaction.on_commit(lambda: version_published.send(sender=Version, version_id=version.pk))
    version.adapter = adapter
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


def _show(adapter: Adapter, version: Version | None) -> None:
    """Keep on the adapter what lists show of its newest offered version."""
    adapter.latest_version = version
    adapter.family = version.family if version else ""
    adapter.lineage = version.lineage if version else ""
    if version is not None:
        adapter.published_at = version.published_at
    adapter.save()
    adapters.refresh_search(adapter)


def yank(*, actor: User, version: Version, reason: str) -> Version:
    """Keep a version but stop offering it; an empty reason takes the yank back.

    Raises:
        StateConflict: drafts and withdrawn versions cannot be yanked.
    """
    user = access.require_adapter(actor, version.adapter)
    if version.state not in {VersionState.PUBLISHED, VersionState.YANKED}:
        raise StateConflict(_("Only published versions can be yanked."), state=version.state)
    with transaction.atomic():
        adapter = Adapter.objects.select_for_update().get(pk=version.adapter_id)
        version.state = VersionState.YANKED if reason else VersionState.PUBLISHED
        version.yanked_reason = reason[:280]
        version.save()
        offered = adapter.versions.filter(state=VersionState.PUBLISHED)
        _show(adapter, offered.order_by("-number").first())
        verb = "version_yanked" if reason else "version_restored"
        events.record(
            actor=user, verb=verb, adapter=adapter, subject=version.name, reason=reason[:280]
        )
    version.adapter = adapter
    return version


def discard(*, actor: User, version: Version) -> None:
    """Drop a draft; its number is not given again.

    Raises:
        AlreadyPublished: it is no draft.
    """
    access.require_adapter(actor, version.adapter)
    if version.state != VersionState.DRAFT:
        raise AlreadyPublished(_("Published versions are kept. Yank it instead."))
    version.delete()


def _describe(version: Version, said: Details) -> None:
    version.label, version.notes = said.label.strip(), said.notes.strip()
    version.declared_family, version.lineage = said.declared_family, said.lineage.strip()
    version.trigger_words = [" ".join(word.split()) for word in said.trigger_words if word.strip()]
    version.strength = 1.0 if said.strength is None else said.strength
    version.strength_min, version.strength_max = said.strength_min, said.strength_max


def _measure(version: Version) -> None:
    """Copy from the anatomy what lists filter and show."""
    files: list[File] = list(version.files)
    version.size_bytes = sum(file.size_bytes for file in files)
    primary = next(file for file in files if file.is_primary)
    anatomy = getattr(primary.blob, "anatomy", None)
    version.family = _family(anatomy, version.declared_family)
    version.algorithm = anatomy.algorithm if anatomy else ""
    version.rank = anatomy.rank if anatomy else None


def _family(anatomy: BlobAnatomy | None, declared: str) -> str:
    """Return what lists file a version under: proven, else declared, else claimed and possible."""
    if anatomy is None or anatomy.family:
        return anatomy.family if anatomy else declared
    verdict = anatomy.document["verdict"]
    claimed = verdict["claimed"] if verdict["claimed"] in verdict["candidates"] else ""
    return declared or claimed


def _check_details(said: Details) -> None:
    faults: dict[str, str] = {}
    if len(said.label) > 48:
        faults["label"] = _("A label has at most 48 characters.")
    if len(said.notes) > 20_000:
        faults["notes"] = _("Notes have at most 20,000 characters.")
    if len(said.lineage) > 64:
        faults["lineage"] = _("A lineage has at most 64 characters.")
    if said.declared_family and said.declared_family not in FAMILIES:
        faults["family"] = _("Known base models are: %(all)s.") % {"all": ", ".join(FAMILIES)}
    if fault := _trigger_fault(said.trigger_words):
        faults["trigger_words"] = fault
    if fault := _strength_fault(said):
        faults["strength"] = fault
    if faults:
        raise Invalid(" ".join(faults.values()), fields=faults)


def _trigger_fault(words: Sequence[str]) -> str:
    if len(words) > MAX_TRIGGER_WORDS:
        return _("There are at most %(n)d trigger words.") % {"n": MAX_TRIGGER_WORDS}
    if any(len(word) > 200 or not word.isprintable() for word in words):
        return _("A trigger phrase has at most 200 printable characters.")
    return ""


def _strength_fault(said: Details) -> str:
    given = [
        value
        for value in (said.strength, said.strength_min, said.strength_max)
        if value is not None
    ]
    if any(not math.isfinite(value) or abs(value) > STRENGTH_LIMIT for value in given):
        return _("A strength lies between -10 and 10.")
    low, high = said.strength_min, said.strength_max
    if low is not None and high is not None and low > high:
        return _("The lowest strength is above the highest.")
    return ""
