"""Upload modes of files: inside the commit (``regular``), or before it (``lfs``).

Uploads and listings both use this module, so that a client reads back the mode that it used for its
push. The mode depends only on path and size. Git identifies contents by SHA-1 over ``blob``, their
length, a NUL and the bytes; of an LFS file, git only has a pointer.

Source: gitformat-pack, "Object types"; git-lfs ``docs/spec.md``, "The Pointer".
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

from registry import storage
from registry.models import Blob
from registry.scan import checks

#: Maximum size of a file inside a commit, in bytes: base64 makes it a third longer, and a client
#: holds it four times in memory.
INLINE_BYTES = 1024 * 1024


def is_regular(path: str, size_bytes: int) -> bool:
    """Whether a file is sent inside the commit: small texts and images, and empty files."""
    suffix = "." + path.rpartition(".")[2].casefold()
    return not size_bytes or (suffix in checks.COMPANIONS and size_bytes <= INLINE_BYTES)


def git_oid(blob: Blob) -> str:
    """Return git's id of a blob, 40 hex digits.

    Raises:
        FileNotFoundError: the bytes were deleted.
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
    """Return the size of a blob's pointer file in bytes."""
    return len(_pointer(blob))


def pointer_oid(blob: Blob) -> str:
    """Return git's id of a blob's pointer file, 40 hex digits."""
    pointer = _pointer(blob)
    return hashlib.sha1(b"blob %d\0" % len(pointer) + pointer, usedforsecurity=False).hexdigest()


def _pointer(blob: Blob) -> bytes:
    return (
        "version https://git-lfs.github.com/spec/v1\n"
        f"oid sha256:{blob.sha256}\nsize {blob.size_bytes}\n"
    ).encode()
