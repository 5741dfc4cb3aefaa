"""How a file travels: inside the commit (``regular``), or before it (``lfs``).

Both ways in and every listing ask here, so that what a client was told at its push is what it reads
back. The answer follows from path and length alone. Git names contents by SHA-1 over
``blob``, their length, a NUL and themselves; of a file that travels before the commit, git knows a
pointer only.

Source: gitformat-pack, "Object types"; git-lfs ``docs/spec.md``, "The Pointer".
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import TYPE_CHECKING

from registry import storage
from registry.scan import checks

if TYPE_CHECKING:
    from registry.models import Blob

#: Longest file that travels inside the commit, in bytes: base64 makes a third more of it, and a
#: client holds it four times in memory.
INLINE_BYTES = 1024 * 1024


def is_regular(path: str, size_bytes: int) -> bool:
    """Whether a file travels inside the commit: small texts and pictures do, and what is empty."""
    suffix = "." + path.rpartition(".")[2].casefold()
    return not size_bytes or (suffix in checks.COMPANIONS and size_bytes <= INLINE_BYTES)


def git_oid(blob: Blob) -> str:
    """Return git's name of stored bytes, 40 hex digits.

    Raises:
        FileNotFoundError: the bytes are gone.
        StorageAway: the store cannot be reached.
    """
    return _git_oid(blob.sha256)


@lru_cache(maxsize=4096)
def _git_oid(sha256: str) -> str:
    with storage.store().open(sha256) as handle:
        found = hashlib.sha1(b"blob %d\0" % handle.size, usedforsecurity=False)
        for chunk in storage.chunks_of(handle):
            found.update(chunk)
    return found.hexdigest()


def pointer_size(blob: Blob) -> int:
    """Return the length of a blob's pointer file in bytes."""
    return len(_pointer(blob))


def pointer_oid(blob: Blob) -> str:
    """Return git's name of a blob's pointer file, 40 hex digits."""
    pointer = _pointer(blob)
    return hashlib.sha1(b"blob %d\0" % len(pointer) + pointer, usedforsecurity=False).hexdigest()


def _pointer(blob: Blob) -> bytes:
    return (
        "version https://git-lfs.github.com/spec/v1\n"
        f"oid sha256:{blob.sha256}\nsize {blob.size_bytes}\n"
    ).encode()
