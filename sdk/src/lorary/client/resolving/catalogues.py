"""What is known of adapters: by a hub, or while it cannot be asked, by the cache."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from lorary.client.errors import LoraryError
from lorary.client.finding.by_hash import (
    AUTOV2_DIGITS,
    AUTOV3_DIGITS,
    Match,
    digests_of,
    find_hashes,
)
from lorary.client.finding.by_name import Named, find_named
from lorary.client.transfers.cached_files import cached_versions
from lorary.pictures.claims.facts import file_stem

if TYPE_CHECKING:
    from pathlib import Path

    from lorary.client.http.session import Session
    from lorary.client.models import File, Version
    from lorary.client.progress import OnProgress
    from lorary.client.transfers.cache import Cache

#: States of versions whose files are offered.
OUT = ("published", "yanked")


class Catalogue(Protocol):
    """Finds files of versions."""

    def by_hash(self, hashes: Sequence[str]) -> Mapping[str, Sequence[Match]]:
        """Return hash → files with this hash, of any kind."""
        ...

    def by_name(self, names: Sequence[str]) -> Mapping[str, Sequence[Named]]:
        """Return name → files with this name, at most one for each adapter."""
        ...


class HubCatalogue:
    """What a hub has."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def by_hash(self, hashes: Sequence[str]) -> Mapping[str, Sequence[Match]]:
        """Return hash → files with this hash."""
        return find_hashes(self._session, hashes)

    def by_name(self, names: Sequence[str]) -> Mapping[str, Sequence[Named]]:
        """Return name → files with this name, of the newest version of each adapter."""
        return find_named(self._session, names)


class CachedCatalogue:
    """What the cache has of a hub: weights that are whole, of versions that were pulled.

    Args:
        endpoint: Address of the hub.
    """

    def __init__(self, cache: Cache, endpoint: str, on_progress: OnProgress) -> None:
        self._cache, self._on_progress = cache, on_progress
        self._files = [
            (version, file)
            for version in cached_versions(cache, endpoint)
            for file in version.files
            if version.state in OUT
            and file.is_weights
            and _has_size(cache.blob(file.sha256), file.size_bytes)
        ]
        self._matches: dict[str, list[Match]] | None = None

    def by_hash(self, hashes: Sequence[str]) -> Mapping[str, Sequence[Match]]:
        """Return hash → files with this hash."""
        if self._matches is None and hashes:
            self._matches = self._indexed()
        known = self._matches or {}
        return {text: known.get(text.strip().lower(), ()) for text in hashes}

    def _indexed(self) -> dict[str, list[Match]]:
        found: dict[str, list[Match]] = {}
        for version, file in self._files:
            for kind, value in self._hashes(version, file).items():
                found.setdefault(value, []).append(Match(kind, value, version, file))
        return found

    def _hashes(self, version: Version, file: File) -> dict[str, str]:
        """Return kind → hash: what the hub computed; what it did not say is computed here."""
        found = _stored_hashes(version, file)
        if "data_sha256" not in found:
            try:
                data = digests_of(self._cache.blob(file.sha256), self._on_progress).data
            except LoraryError:  # removed meanwhile, or not safetensors
                data = ""
            if data:
                found |= {"data_sha256": data, "autov3": data[:AUTOV3_DIGITS]}
        return {**found, "autov2": file.sha256[:AUTOV2_DIGITS], "sha256": file.sha256}

    def by_name(self, names: Sequence[str]) -> Mapping[str, Sequence[Named]]:
        """Return name → files with this name, of the newest cached version of each adapter."""
        found: dict[str, dict[str, Named]] = {}
        for version, file in self._files:  # the newest one comes last
            adapters = found.setdefault(file_stem(file.path), {})
            former = adapters.get(version.adapter)
            was_published = former is not None and former.version.state == "published"
            if version.state == "published" or not was_published:
                adapters[version.adapter] = Named(version, file)
        return {name: tuple(found.get(file_stem(name), {}).values()) for name in names}


def _has_size(blob: Path, size_bytes: int) -> bool:
    """Return whether a blob is there; unlike `Cache.holds`, this does not count as a use."""
    try:
        return blob.stat().st_size == size_bytes
    except OSError:
        return False


def _stored_hashes(version: Version, file: File) -> dict[str, str]:
    """Return the hashes of a file in the data of its version."""
    for one in version.data.get("files") or ():
        if one.get("path") == file.path and isinstance(hashes := one.get("hashes"), dict):
            return {kind: str(value).lower() for kind, value in hashes.items() if value}
    return {}
