"""The methods of `lorary.client.Hub` that read single files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lorary.client.names import Reference, check_paths
from lorary.client.progress import OnProgress, silent
from lorary.client.transfers import download, pulling

if TYPE_CHECKING:
    from lorary.client.http.session import Session
    from lorary.client.models import File
    from lorary.client.transfers.cache import Cache


class Reading:
    """Reads single files of versions."""

    _session: Session
    _cache: Cache

    def files(self, reference: str | Reference) -> tuple[File, ...]:
        """Return the files of a version, also of one that is cached while the hub is unreachable.

        Raises:
            NotFound: the version does not exist, or you are not allowed to see it.
        """
        version, _ = pulling.resolve(self._session, self._cache, Reference.parse(reference))
        check_paths(file.path for file in version.files)
        return version.files

    def cached(self, file: File) -> Path | None:
        """Return the path of a file in the cache; None if it is not there."""
        is_here = self._cache.holds(file.sha256, file.size_bytes)
        return self._cache.blob(file.sha256) if is_here else None

    def pull_file(self, file: File, *, on_progress: OnProgress = silent) -> Path:
        """Download one file into the cache, and return its path there.

        Raises:
            Corrupt: the received bytes differ from the file; nothing was kept.
            SettingInvalid: the cache is off.
        """
        cache = self._cache.for_target(None)
        download.fetch(self._session, cache, file, on_progress=on_progress)
        return cache.blob(file.sha256)

    def read_range(self, file: File, start: int, end: int) -> bytes:
        """Return the bytes of a file from ``start`` to before ``end``.

        They come from the cache if the file is there. Others are requested and cannot be verified,
        because a digest is that of a whole file.
        """
        start, end = max(0, start), min(end, file.size_bytes)
        place = self.cached(file)
        if place is None:
            return download.fetch_range(self._session, file, start, end)
        with place.open("rb") as opened:
            opened.seek(start)
            return opened.read(max(0, end - start))
