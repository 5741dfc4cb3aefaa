"""From a version of a pack to verified files here, and a file that describes them."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from lorary.client.errors import Gone, NotFound, TargetTaken
from lorary.client.names import Reference, safe_segment
from lorary.client.packs import (
    DESCRIPTION,
    PackPart,
    PackVariant,
    PackVersion,
    read_or_recall,
)
from lorary.client.transfers import pulling
from lorary.client.transfers.folders import Entry, FileKey, Folder, write_file

if TYPE_CHECKING:
    from lorary.client.http.session import Session
    from lorary.client.progress import OnProgress
    from lorary.client.transfers.cache import Cache
    from lorary.client.transfers.pulling import PulledFile

_SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is wanted of a pack, see `lorary.client.hub.Hub.pull_pack`."""

    to: Path | None = None
    variant: str = ""
    is_partial: bool = False
    may_replace: bool = False
    rehash: bool = False
    names: Mapping[FileKey, str] = field(default_factory=dict)

    def destination(self, part: PackPart) -> pulling.Destination:
        """Return where the file of a part goes."""
        return pulling.Destination(
            self.to, self.may_replace, only_sha256=part.sha256, names=self.names
        )


@dataclass(frozen=True, slots=True)
class FoundPack:
    """A version of a pack that will be pulled.

    Attributes:
        version: The version.
        variants: The variants that were asked for.
        parts: sha256 to the part and the version of its file; each once.
        missing: Parts that are gone.
        description: The file that will describe it.
    """

    version: PackVersion
    variants: tuple[PackVariant, ...]
    parts: dict[str, tuple[PackPart, pulling.Found]]
    missing: tuple[PackPart, ...]
    description: Path


@dataclass(frozen=True, slots=True)
class PulledPack:
    """A version of a pack that is here now.

    Attributes:
        version: The version.
        variants: The variants that were asked for.
        files: sha256 to the file here; each once, also if several variants have it.
        missing: Parts that are gone.
        description: The file that describes it, ``owner--name.pack.json``.
    """

    version: PackVersion
    variants: tuple[PackVariant, ...]
    files: dict[str, PulledFile]
    missing: tuple[PackPart, ...]
    description: Path


def find(session: Session, cache: Cache, reference: Reference, wanted: Wanted) -> FoundPack:
    """Return the version of a pack and of its parts; nothing is downloaded or written."""
    cache.for_target(wanted.to)  # fails before anything is requested
    version = read_or_recall(session, cache, reference)
    if version.state == "withdrawn":
        msg = f"{version.pack} {version.name} was withdrawn: {version.reason}"
        raise Gone(msg)
    variants = _chosen(version, wanted.variant)
    parts = parts_of(variants)
    missing = tuple(part for part in parts.values() if not part.is_at_hand)
    if missing and not wanted.is_partial:
        raise _incomplete(version, missing, len(parts))
    name = Reference.parse(version.pack)
    folder = wanted.to or cache.root / "packs" / safe_segment(name.owner)
    place = folder / f"{name.owner}--{name.name}{DESCRIPTION}"
    if wanted.to is not None:
        record = Folder(folder)
        record.load()
        entry = record.entries.get(place.name)
        require_place(place, version.pack, entry, may_replace=wanted.may_replace)
    found = {
        part.sha256: (part, _found(session, cache, part, wanted))
        for part in parts.values()
        if part.is_at_hand
    }
    return FoundPack(version, variants, found, missing, place)


def bring(
    session: Session, cache: Cache, found: FoundPack, wanted: Wanted, on_progress: OnProgress
) -> PulledPack:
    """Download and place the files of a pack, and describe it."""
    files = {}
    for sha256, (part, one) in found.parts.items():
        to, rehash = wanted.destination(part), wanted.rehash
        pulled = pulling.bring(session, cache, one, to=to, rehash=rehash, on_progress=on_progress)
        files[sha256] = pulled.files[0]
    version, place = found.version, found.description
    pack = PulledPack(version, found.variants, files, found.missing, place)
    content = written(document(pack, session.endpoint, wanted.to))
    if wanted.to is None:
        write_file(place, content)
    else:
        entry = description_entry(version.pack, version.name, session.endpoint, place.name)
        Folder(place.parent).write({place.name: (entry, content)})
    name = Reference.parse(version.pack)
    exact = Reference(name.owner, name.name, version.name)
    cache.for_target(wanted.to).remember_pack(session.endpoint, exact, version.data)
    return pack


def pull(
    session: Session,
    cache: Cache,
    reference: Reference,
    wanted: Wanted,
    on_progress: OnProgress,
) -> PulledPack:
    """Download, place and describe; see `lorary.client.hub.Hub.pull_pack`."""
    return bring(session, cache, find(session, cache, reference, wanted), wanted, on_progress)


def _chosen(version: PackVersion, name: str) -> tuple[PackVariant, ...]:
    """Return all variants, or the one of a name. Raises NotFound: there is none."""
    found = tuple(one for one in version.variants if name in ("", one.name))
    if not found:
        names = ", ".join(one.name for one in version.variants)
        msg = f"{version.pack} {version.name} has no variant “{name[:100]}”. It has {names}."
        raise NotFound(msg)
    return found


def parts_of(variants: Sequence[PackVariant]) -> dict[str, PackPart]:
    """Return the parts by sha256; of several with the same file, one that can be downloaded."""
    found: dict[str, PackPart] = {}
    for part in (part for variant in variants for part in variant.parts):
        if part.sha256 not in found or not found[part.sha256].is_at_hand:
            found[part.sha256] = part
    return found


def _incomplete(version: PackVersion, missing: Sequence[PackPart], count: int) -> NotFound:
    listed = "; ".join(
        f"{part.adapter}@{part.version} is {part.state} ({part.reason.rstrip('.')})"
        for part in missing
    )
    detail = (
        f"{len(missing)} of {count} files of {version.pack} {version.name} "
        f"{'is' if len(missing) == 1 else 'are'} gone: {listed}. "
        "Nothing was downloaded. Pull the others with --partial (in Python, partial=True)."
    )
    return NotFound(detail, facts={"missing": [part.sha256 for part in missing]})


def _found(session: Session, cache: Cache, part: PackPart, wanted: Wanted) -> pulling.Found:
    adapter = Reference.parse(part.adapter)
    exact = Reference(adapter.owner, adapter.name, part.version)
    return pulling.find(session, cache, exact, wanted.destination(part))


def require_place(place: Path, pack: str, entry: Entry | None, *, may_replace: bool) -> None:
    """See before anything is downloaded that the description can be written.

    Args:
        entry: What the record of the folder says about the file.

    Raises:
        TargetTaken: a file is there that Lorary did not write for this pack, or that was edited.
    """
    if may_replace or not os.path.lexists(place):
        return
    if entry is None or entry.adapter != f"pack:{pack}" or not entry.has_bytes(place):
        msg = (
            f"{place} was not written by Lorary as a description of {pack}, or was edited later, "
            "so it was left alone. Move it, or pull with --force."
        )
        raise TargetTaken(msg, facts={"path": os.fspath(place)})


def description_entry(pack: str, version: str, hub: str, name: str, lock: str = "") -> Entry:
    """Return the record of a description, without size, digest and time."""
    return Entry(
        hub=hub, adapter=f"pack:{pack}", version=version, revision="", path=name, sha256="",
        size=0, mtime_ns=0, lock=lock,
    )  # fmt: skip


def document(pulled: PulledPack, endpoint: str, folder: Path | None) -> dict[str, object]:
    """Return what the description says; ``local_file`` is relative to its folder if it can be."""
    version = pulled.version
    return {
        "schema": _SCHEMA,
        "hub": endpoint,
        "pack": version.pack,
        "version": version.name,
        "manifest_sha256": version.manifest_sha256,
        "variants": [
            {
                "name": variant.name,
                "family": variant.family,
                "output": variant.output,
                "prompt": variant.prompt,
                "negative": variant.negative,
                "settings": dict(variant.settings),
                "tested_with": dict(variant.tested_with),
                "rendered_with": dict(variant.rendered_with),
                "parts": [_part(part, pulled, folder) for part in variant.parts],
            }
            for variant in pulled.variants
        ],
    }


def _part(part: PackPart, pulled: PulledPack, folder: Path | None) -> dict[str, object]:
    found = pulled.files.get(part.sha256)
    path = found.local_path if found else None
    if path is not None and folder is not None:
        path = path.relative_to(folder)
    return {
        "adapter": part.adapter,
        "version": part.version,
        "file": part.file,
        "sha256": part.sha256,
        "strength": part.strength,
        "role": part.role,
        "trigger_words": list(part.trigger_words),
        "state": part.state,
        "local_file": path.as_posix() if path is not None else None,
    }


def written(content: dict[str, object]) -> bytes:
    """Return the bytes of a description."""
    return f"{json.dumps(content, indent=2, ensure_ascii=False)}\n".encode()
