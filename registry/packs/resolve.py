"""Looks up the files that the parts of a manifest name.

A pack must not show more than its parts do: parts are published, can be downloaded by whoever sees
the pack, and are rated no higher than the pack.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from django.db.models import Q
from django.utils.translation import gettext as _

from lorary.anatomy import family_title
from registry.adapters import selectors as adapter_selectors
from registry.database import row_locks
from registry.errors import LoraryError, Moved
from registry.models import (
    Access,
    Adapter,
    File,
    FileRole,
    Maturity,
    Pack,
    User,
    Version,
    VersionState,
    Visibility,
)
from registry.names import key_of
from registry.packs.manifest import MAX_STRENGTH, Faults, checked
from registry.packs.parts import Part, PartState
from registry.versions import selectors as version_selectors


@dataclass(frozen=True, slots=True)
class Resolved:
    """A part of a manifest and the file that it is."""

    path: str  # JSON path of the part
    adapter: Adapter
    version: Version
    file: File


class _Refused(Exception):
    """A part cannot be used: why, and which of its fields says so."""

    def __init__(self, text: str, field: str = "adapter") -> None:
        super().__init__(text)
        self.text = text
        self.field = field


def completed(user: User, pack: Pack, manifest: object, faults: Faults) -> dict[str, Any]:
    """Return a checked manifest with the names, versions and digests of its parts.

    Args:
        user: Who publishes it; parts are looked up as this user sees them.
        pack: The pack, which limits what its parts may be.
        manifest: JSON as it was sent.
        faults: Faults that were found already, which are refused together with new ones.

    Raises:
        Invalid: with all faults by JSON path.
    """
    document = checked(manifest, faults)
    _resolve(user, pack, document, faults)
    faults.refuse()
    return document


def locked(user: User, pack: Pack, document: dict[str, Any]) -> list[list[Resolved]]:
    """Return the files of a completed manifest by variant, with their adapters locked.

    Call it in a transaction that has locked the pack.

    Raises:
        Invalid: a part changed meanwhile.
    """
    names = {part["adapter"] for variant in document["variants"] for part in variant["parts"]}
    keys = Q()
    for owner, _slash, name in (full.partition("/") for full in names):
        keys |= Q(namespace__key=key_of(owner), key=key_of(name))
    adapters = Adapter.objects.filter(pk__in=Adapter.objects.filter(keys).values("pk"))
    list(row_locks.locked(adapters))
    faults = Faults()
    files = _resolve(user, pack, document, faults)
    faults.refuse()
    return files


def _resolve(
    user: User, pack: Pack, manifest: dict[str, Any], faults: Faults
) -> list[list[Resolved]]:
    """Return the files of a checked manifest by variant, and complete its parts in place."""
    found = []
    for position, variant in enumerate(manifest["variants"]):
        base, files = f"variants[{position}].parts", list[Resolved]()
        for index, part in enumerate(variant["parts"]):
            try:
                one = _resolve_part(user, part, variant.get("family", ""), f"{base}[{index}]")
            except _Refused as refusal:
                faults.add(f"{base}[{index}].{refusal.field}", refusal.text)
                continue
            if one is None:
                continue
            if any(other.file.blob_id == one.file.blob_id for other in files):
                faults.add(f"{base}[{index}].adapter", _("This file is already a part."))
            files.append(one)
            for place, text in _excesses(pack, [one]):
                faults.add(f"{place}.adapter", text)
        found.append(files)
    return found


def _resolve_part(user: User, part: dict[str, Any], family: str, path: str) -> Resolved | None:
    """Return the file of a part; None if its fields were refused already."""
    if "adapter" not in part:
        return None
    adapter = _adapter(user, part["adapter"])
    version = _version(user, adapter, part.get("version", version_selectors.LATEST))
    _require_family(adapter, version, family)
    file = _file(version, part)
    part.update(adapter=adapter.full_name, version=version.name, file=file.path, sha256=file.sha256)
    if "strength" not in part and abs(version.dial) > MAX_STRENGTH:
        text = _(
            "The recommended strength, %(its)s, is out of range for a pack. Enter a strength from "
            "−%(most)s to %(most)s."
        )
        facts = {"its": f"{version.dial:g}", "most": f"{MAX_STRENGTH:g}"}
        raise _Refused(text % facts, "strength")
    part.setdefault("strength", round(version.dial, 4))
    return Resolved(path, adapter, version, file)


def _require_family(adapter: Adapter, version: Version, family: str) -> None:
    """Refuse a part for another base model; a family that was refused itself is empty."""
    if not family or version.family == family:
        return
    facts = {
        "name": f"{adapter.full_name}@{version.name}",
        "its": family_title(version.family) if version.family else "",
        "family": family_title(family),
    }
    text = _("“%(name)s” is for %(its)s, but the variant is for %(family)s.")
    if not version.family:
        text = _("The base model of “%(name)s” is not known; the variant is for %(family)s.")
    raise _Refused(text % facts)


def _adapter(user: User, full_name: str) -> Adapter:
    owner, slash, name = full_name.partition("/")
    if not slash:
        raise _Refused(_("Enter the adapter as “owner/name”."))
    try:
        adapter = adapter_selectors.get(user, owner, name)
    except Moved as moved:
        text = _("This adapter is called “%(name)s” now.") % {"name": moved.facts["full_name"]}
        raise _Refused(text) from moved
    except LoraryError as error:
        raise _Refused(str(error.detail)) from error
    if adapter.withdrawn_reason:
        raise _Refused(str(adapter_selectors.gone(adapter).detail))
    if adapter.access != Access.OPEN or adapter.blocked_reason:
        text = _(
            "Not everyone can download the files of “%(name)s”, so it cannot be part of a pack."
        )
        raise _Refused(text % {"name": adapter.full_name})
    return adapter


def _version(user: User, adapter: Adapter, name: str) -> Version:
    try:
        version = version_selectors.get(user, adapter, name)
    except LoraryError as error:
        raise _Refused(str(error.detail), "version") from error
    if version.state == VersionState.WITHDRAWN:
        raise _Refused(str(version_selectors.gone(version).detail), "version")
    if version.state == VersionState.YANKED:
        text = _("%(version)s was yanked: %(reason)s")
        facts = {"version": version.name, "reason": version.yanked_reason}
        raise _Refused(text % facts, "version")
    if version.state == VersionState.DRAFT:
        text = _("%(version)s is a draft. Publish it first.")
        raise _Refused(text % {"version": version.name}, "version")
    return version


def _file(version: Version, part: dict[str, Any]) -> File:
    """Return the weights of a part: by digest, by path, or the primary ones."""
    rows = version.files.filter(role=FileRole.WEIGHTS)
    name = "sha256" if "sha256" in part else "file"
    if "sha256" in part:
        rows = rows.filter(blob__sha256=part["sha256"])
    if "file" in part:
        rows = rows.filter(path=part["file"])
    file = rows.first()
    if file is None:
        text = _("%(version)s has no weights file with this path or sha256.")
        raise _Refused(text % {"version": version.name}, name)
    return file


def require_fitting(pack: Pack, parts: Iterable[Part], fields: Container[str]) -> None:
    """Refuse a visibility or a content rating that does not fit some parts.

    Args:
        pack: The pack as it would be.
        parts: Its parts as who changes it gets them.
        fields: Those of ``visibility`` and ``maturity`` that are checked.

    Raises:
        Invalid: with the faults of these fields.
    """
    faults = Faults()
    for part in parts:
        if part.state is PartState.PRIVATE:
            found = _misfits_unseen(pack, part)
        else:
            found = _misfits(pack, part.row.adapter_version.adapter)
        for field, text in found:
            if field in fields:
                faults.add(field, f"{part.row.variant.version.name}: {text}")
    faults.refuse()


def _misfits_unseen(pack: Pack, part: Part) -> Iterator[tuple[str, str]]:
    """Yield the misfits of a part that became private, without what it is now."""
    if pack.visibility != Visibility.PRIVATE:
        text = _(
            "A part became private or was blocked. Make the pack private, or replace the part."
        )
        yield "visibility", text
    if part.rating.rank > Maturity(pack.maturity).rank:
        text = _("A part was published with the rating %(its)s. Rate the pack %(its)s or higher.")
        yield "maturity", text % {"its": part.rating}


def _excesses(pack: Pack, parts: Iterable[Resolved]) -> Iterator[tuple[str, str]]:
    for part in parts:
        for _field, text in _misfits(pack, part.adapter):
            yield part.path, text


def _misfits(pack: Pack, adapter: Adapter) -> Iterator[tuple[str, str]]:
    """Yield fields of a pack that do not fit a part, and why."""
    name = {"name": adapter.full_name}
    if Visibility(adapter.visibility).rank < Visibility(pack.visibility).rank:
        text = _(
            "“%(name)s” is %(its)s, but the pack is %(pack)s. A pack cannot be more visible than "
            "its parts: make the pack %(its)s, or remove the part."
        )
        kinds = {"its": adapter.visibility, "pack": pack.visibility}
        yield "visibility", text % {**name, **kinds}
    is_private = adapter.visibility == Visibility.PRIVATE
    if is_private and adapter.namespace_id != pack.namespace_id:
        text = _("“%(name)s” is private, and only packs of its owner can use it.")
        yield "visibility", text % name
    if Maturity(adapter.maturity).rank > Maturity(pack.maturity).rank:
        text = _(
            "“%(name)s” is rated %(its)s. Rate the pack %(its)s or higher; now it is %(pack)s."
        )
        kinds = {"its": adapter.maturity, "pack": pack.maturity}
        yield "maturity", text % {**name, **kinds}
