"""``owner--name.pack.json`` in a synced folder: how the files of a pack are used together."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

from lorary.client.errors import BadAnswer
from lorary.client.http.session import Session
from lorary.client.names import Reference
from lorary.client.packs import DESCRIPTION, PackVersion, read_or_recall
from lorary.client.transfers.cache import Cache
from lorary.client.transfers.folders import Entry
from lorary.client.transfers.pack_pulling import (
    PulledPack,
    description_entry,
    document,
    parts_of,
    require_place,
    written,
)
from lorary.client.transfers.pulling import PulledFile
from lorary.library.lockfile import LockedPack


def description_name(pack: LockedPack) -> str:
    """Return the name of the file that describes a pack."""
    return f"{pack.name.replace('/', '--')}{DESCRIPTION}"


class Description:
    """The description of a locked pack.

    Args:
        pack: The pack.
        folder: Where its weights are.
        files: sha256 to the place of each of its files.
        may_replace: Whether to replace a file that was not written for this pack, or was edited.
    """

    def __init__(
        self, pack: LockedPack, folder: Path, files: Mapping[str, Path], *, may_replace: bool
    ) -> None:
        self.place = folder / description_name(pack)
        self._pack = pack
        self._folder = folder
        self._files = files
        self._may_replace = may_replace

    def action(self, entry: Entry | None) -> Literal["here", "add", "replace", "compare"]:
        """Return what has to be done, without asking the hub.

        ``compare``: it is one of the locked version, but only the hub knows whether it was edited.
        An edited one stays unless it may be replaced, as long as it names the files that are here.

        Args:
            entry: What the record of the folder says about the file.

        Raises:
            TargetTaken: a file is there that was not written for this pack, or that was edited.
        """
        try:
            data = self.place.read_bytes()
            found = json.loads(data)
            is_here = (found["version"], found["manifest_sha256"]) == (
                self._pack.version,
                self._pack.manifest_sha256,
            )
            names = {
                part["sha256"]: part["local_file"]
                for variant in found["variants"]
                for part in variant["parts"]
            }
        except FileNotFoundError:
            return "add"
        except (OSError, ValueError, LookupError, TypeError):
            data, is_here, names = b"", False, {}
        if is_here and names == self._local_names():
            if entry is None or entry.version != self._pack.version:
                return "compare"
            if hashlib.sha256(data).hexdigest() == entry.sha256 or not self._may_replace:
                return "here"
            return "replace"
        require_place(self.place, self._pack.name, entry, may_replace=self._may_replace)
        return "replace"

    def _local_names(self) -> dict[str, str]:
        return {
            sha256: path.relative_to(self._folder).as_posix()
            for sha256, path in self._files.items()
        }

    def content(self, session: Session, cache: Cache) -> bytes:
        """Request the pack, and return the bytes of its description.

        They depend on the lock alone, not on what became of the parts since.

        Raises:
            BadAnswer: the hub has another manifest for this version.
            Unreachable: the hub does not respond, and the cache does not know the pack.
        """
        name = Reference.parse(self._pack.name)
        exact = Reference(name.owner, name.name, self._pack.version)
        version = read_or_recall(session, cache, exact)
        if version.manifest_sha256 != self._pack.manifest_sha256:
            msg = f"{self._pack.name} {version.name} does not have the manifest that is locked."
            raise BadAnswer(msg)
        cache.remember_pack(session.endpoint, exact, version.data)
        version = self._as_locked(version)
        parts = parts_of(version.variants)
        files = {
            sha256: PulledFile(parts[sha256].as_file(), path, 0)
            for sha256, path in self._files.items()
            if sha256 in parts
        }
        pulled = PulledPack(version, version.variants, files, (), self.place)
        return written(document(pulled, self._pack.hub, self._folder))

    def entry(self, lock: str) -> Entry:
        """Return the record of the description, without size, digest and time."""
        pack = self._pack
        return description_entry(pack.name, pack.version, pack.hub, self.place.name, lock)

    def _as_locked(self, version: PackVersion) -> PackVersion:
        variants = tuple(
            replace(
                variant,
                parts=tuple(replace(part, state="available", reason="") for part in variant.parts),
            )
            for variant in version.variants
        )
        return replace(version, pack=self._pack.name, variants=variants)
