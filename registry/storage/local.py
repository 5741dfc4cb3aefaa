"""Blobs in a directory on this machine.

```
<root>/incoming/<private key>             written by one upload, parts at their offsets
<root>/blobs/ab/cd/<sha256>               set by promotion, always to the same bytes
```

Files and their directories are flushed before a call returns, so that no row refers to bytes that
a power failure could lose. Complete files are not sealed: writers that share a key hold its lock
(``registry.locks``).
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import overload

from django.utils.translation import gettext as _

from lorary.replacing import Writeback
from registry.errors import SizeMismatch, UploadIncomplete
from registry.local_files import flush, make_folder
from registry.storage.base import (
    Entry,
    Fetch,
    Handle,
    Part,
    check_digest,
    check_key,
    is_digest,
    is_key,
    refuse_when_full,
)


class LocalStore:
    """A directory on this machine; see ``BlobStore``."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def write(
        self,
        key: str,
        chunks: Iterable[bytes],
        *,
        part: Part | None = None,
        is_durable: bool = True,
    ) -> str:
        """Write at the part's offset and flush to disk; the rest of the file stays as it is.

        The name is flushed before the first byte is written. So a file with content has a durable
        name, and only parts that find the file empty must flush it.
        """
        target, offset = self._private(key), part.offset if part else 0
        with refuse_when_full(), self._opened_for_writing(target) as handle:
            if is_durable and os.fstat(handle).st_size == 0:
                _flush_directories(target.parent, self.root)
            writeback = Writeback(handle, offset)
            for chunk in chunks:
                _write_all(handle, chunk, offset)
                offset += len(chunk)
                if is_durable:
                    writeback.reached(offset)
            if is_durable:
                os.fsync(handle)
        return ""

    def assemble(self, key: str, parts: Sequence[Part]) -> None:
        """Check the file's length; its parts are already at their offsets."""
        path, expected = self._private(key), sum(part.size for part in parts)
        try:
            size = path.stat().st_size
        except FileNotFoundError:
            size = 0
        if size > expected:
            text = _("The file has %(got)d bytes, more than the declared %(expected)d.")
            facts = {"got": size, "expected": expected}
            raise SizeMismatch(text % facts, expected=expected, received=size)
        if size < expected:
            absent = [part.number for part in parts if part.offset + part.size > size]
            raise UploadIncomplete(missing=absent[:1000])

    def promote(self, key: str, sha256: str) -> None:
        """Rename over an existing blob, which may be damaged: these bytes were just read."""
        source, target = self._private(key), self._blob(sha256)
        os.utime(source)  # the sweeper's grace period starts now, not at the first byte
        with refuse_when_full():
            target.parent.mkdir(parents=True, exist_ok=True)
            source.replace(target)
        # Another promotion may have created these folders without flushing them yet.
        _flush_directories(*target.parents[:3], self.root)

    def open(self, name: str) -> Handle:
        """Open the file."""
        raw = io.FileIO(self._of(name), "r")
        return Handle(raw, os.fstat(raw.fileno()).st_size)

    @overload
    def link(self, name: str, way: Fetch) -> Path: ...
    @overload
    def link(self, name: str, way: Part) -> None: ...
    def link(self, name: str, way: Fetch | Part) -> Path | None:
        """Return the path; parts only come through this process."""
        return None if isinstance(way, Part) else self._of(name)

    def delete(self, name: str, *, is_partial: bool = False) -> None:
        """Delete the file. There are no separate parts."""
        if not is_partial:
            self._of(name).unlink(missing_ok=True)

    def names(self, key: str = "") -> Iterator[Entry]:
        """Yield all files; parts are not separate."""
        found = [self._private(key)] if key else self._files()
        for path in found:
            with suppress(FileNotFoundError):  # promoted or cancelled in the meantime
                status = path.stat()
                yield Entry(path.name, status.st_mtime, status.st_size)

    @contextmanager
    def _opened_for_writing(self, path: Path) -> Iterator[int]:
        make_folder(self.root)
        path.parent.mkdir(exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o644)
        try:
            yield handle
        finally:
            os.close(handle)

    def _files(self) -> Iterator[Path]:
        for folder in ("incoming", "blobs"):
            for path in (self.root / folder).rglob("*"):
                if is_key(path.name) or is_digest(path.name):
                    yield path

    def _of(self, name: str) -> Path:
        return self._blob(name) if is_digest(name) else self._private(name)

    def _private(self, key: str) -> Path:
        return self.root / "incoming" / check_key(key)

    def _blob(self, sha256: str) -> Path:
        return self.root / f"blobs/{check_digest(sha256)[:2]}/{sha256[2:4]}/{sha256}"


def _write_all(handle: int, chunk: bytes, offset: int) -> None:
    view = memoryview(chunk)
    while view:
        written = os.pwrite(handle, view, offset)
        view, offset = view[written:], offset + written


def _flush_directories(*folders: Path) -> None:
    for folder in folders:
        flush(folder)
