"""Publishes versions of packs.

The manifest is checked, and its parts are looked up; its bytes are stored before the transaction
that refers to them (``blobs.promote``). In the transaction the parts are looked up again, because
they may have been withdrawn or become private meanwhile.
"""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from registry import events
from registry.accounts import permissions, quotas
from registry.adapters import services as adapters
from registry.blobs import promote
from registry.database.row_locks import locked
from registry.hooks import pack_version_published
from registry.models import (
    OUT_STATES,
    Namespace,
    Pack,
    PackPart,
    PackVariant,
    PackVersion,
    User,
    VersionState,
)
from registry.names import has_control
from registry.packs import manifest as manifests
from registry.packs import resolve
from registry.packs.resolve import Resolved
from registry.storage import Written

MAX_NOTES = 20_000


def publish(*, actor: User, pack: Pack, manifest: object, notes: str = "") -> PackVersion:
    """Publish a manifest as the next version; one with the same manifest is returned instead.

    Args:
        manifest: JSON by the rules of ``registry.packs.manifest``.
        notes: What is new, as plain text.

    Raises:
        Invalid: with the faults by JSON path, see ``manifest`` and ``resolve``.
        QuotaExceeded: the namespace has no room for the manifest.
        NotFound, Forbidden, Unauthenticated, Gone: see ``permissions.require_pack``.
    """
    user = permissions.require_pack(actor, pack)
    faults = manifests.Faults()
    if len(notes) > MAX_NOTES or has_control(notes):
        faults.add("notes", _("Enter at most %(n)d visible characters.") % {"n": MAX_NOTES})
    document = resolve.completed(user, pack, manifest, faults)
    written = promote.put([manifests.canonical(document)])
    with transaction.atomic():
        adapters.refresh(pack)
        permissions.require_standing(pack)
        known = pack.versions.filter(state__in=OUT_STATES, manifest_sha256=written.sha256).first()
        if known is not None:
            promote.mark_stored(written)
            return known
        files = resolve.locked(user, pack, document)
        version = _write(user, pack, document, written, notes)
        _write_parts(version, document, files)
        show_newest(pack)
        events.record(
            actor=user,
            verb="pack_version_published",
            about=pack,
            subject=version.name,
            manifest_sha256=version.manifest_sha256,
        )
        transaction.on_commit(
            lambda: pack_version_published.send_robust(sender=PackVersion, version_id=version.pk)
        )
    return version


def _write(
    user: User, pack: Pack, document: dict[str, Any], written: Written, notes: str
) -> PackVersion:
    namespace = locked(Namespace.objects.all()).get(pk=pack.namespace_id)
    quotas.require_room_to_send(namespace=namespace, size_bytes=written.size)
    pack.last_number += 1
    version = PackVersion.objects.create(
        pack=pack,
        number=pack.last_number,
        manifest=document,
        manifest_sha256=written.sha256,
        blob=promote.mark_stored(written),
        notes=notes.strip(),
        author=user,
    )
    pack.save(update_fields=["last_number"])
    version.is_new = True
    return version


def _write_parts(
    version: PackVersion, document: dict[str, Any], files: list[list[Resolved]]
) -> None:
    for position, (variant, parts) in enumerate(zip(document["variants"], files, strict=True)):
        row = PackVariant.objects.create(
            version=version,
            position=position,
            name=variant["name"],
            family=variant["family"],
            output=variant["output"],
        )
        PackPart.objects.bulk_create(
            PackPart(
                variant=row,
                position=index,
                adapter_version=found.version,
                file=found.file,
                strength=part["strength"],
                role=part["role"],
                maturity=found.adapter.maturity,
            )
            for index, (part, found) in enumerate(zip(variant["parts"], parts, strict=True))
        )


def show_newest(pack: Pack) -> None:
    """Make the newest version that is offered the latest one; the pack is locked."""
    rows = pack.versions.filter(state=VersionState.PUBLISHED)
    pack.latest_version = rows.order_by("-number").first()
    if pack.latest_version is not None:
        pack.published_at = pack.latest_version.published_at
    pack.updated_at = timezone.now()
    pack.save(update_fields=["latest_version", "published_at", "updated_at"])
