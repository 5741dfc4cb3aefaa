"""Adapters, files and commits in Hugging Face's format. Dates end in ``Z``, as clients require."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from django.conf import settings
from django.core.cache import cache

from registry import storage
from registry.blobs.selectors import document_of
from registry.cards import base_models as bases
from registry.cards.fields import NOT_FOR_ALL
from registry.errors import StorageAway
from registry.models import Access, Adapter, Blob, File, Maturity, Revision, Visibility
from registry.scan import checks

# Upload modes of files: inside the commit (``regular``), or before it (``lfs``).
#
# Uploads and listings both use it, so that a client reads back the mode that it used for its
# push. The mode depends only on path and size. Git identifies contents by SHA-1 over ``blob``, the
# length, a NUL and the bytes; of an LFS file, git only has a pointer.
#
# Source: gitformat-pack, "Object types"; git-lfs ``docs/spec.md``, "The Pointer".

#: Maximum size of a file inside a commit, in bytes: base64 makes it a third longer, and a client
#: holds it four times in memory.
INLINE_BYTES = 1024 * 1024

#: Seconds for which a shared cache keeps git's id of a blob, which takes a read of all its bytes.
OID_S = 30 * 86_400


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
    if not settings.LORARY.cache_url:  # the cache is the memory of this process, as this one is
        return _computed_git_oid(sha256)
    key = f"git-oid:{sha256}"
    known: str | None = cache.get(key)
    if known is None:
        known = _computed_git_oid(sha256)
        cache.set(key, known, OID_S)
    return known


def _computed_git_oid(sha256: str) -> str:
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


GATES = {Access.OPEN: False, Access.GATED_AUTO: "auto", Access.GATED_MANUAL: "manual"}

#: Names that diffusers searches for in a repo, and names that it ignores.
_KNOWN_NAME = "pytorch_lora_weights.safetensors"
_PASSED_OVER = ("scheduler", "optimizer", "checkpoint")


def instant(moment: datetime) -> str:
    """Return a moment in UTC, ``2026-01-02T03:04:05.678Z``."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def brief(adapter: Adapter) -> dict[str, Any]:
    """Return an adapter in a list."""
    return {
        "_id": f"{adapter.pk:024x}",
        "id": adapter.full_name,
        "modelId": adapter.full_name,
        "private": adapter.visibility == Visibility.PRIVATE,
        "likes": 0,
        "downloads": adapter.downloads,
        "tags": tags(adapter),
        "pipeline_tag": bases.pipeline_of(adapter.family),
        "library_name": "diffusers",
        "createdAt": instant(adapter.created_at),
    }


def full(adapter: Adapter, revision: Revision, files: Sequence[File]) -> dict[str, Any]:
    """Return an adapter at a revision, with its files."""
    return {
        **brief(adapter),
        "author": adapter.owner,
        "sha": revision.commit,
        "lastModified": instant(max(adapter.updated_at, revision.created_at)),
        "gated": GATES[Access(adapter.access)],
        "disabled": bool(adapter.blocked_reason),
        "siblings": [{"rfilename": file.path} for file in in_order(files)],
    }


def in_order(files: Sequence[File]) -> list[File]:
    """Return files by path; the primary weights first if diffusers would choose others.

    Source: diffusers ``_best_guess_weight_name``.
    """
    ordered = sorted(files, key=lambda file: file.path)
    primary = next((file for file in ordered if file.is_primary), None)
    if primary is None or _guessed(ordered) is primary:
        return ordered
    return [primary, *(file for file in ordered if file is not primary)]


def _guessed(files: Sequence[File]) -> File | None:
    weights = [file for file in files if file.path.endswith(".safetensors")]
    weights = [file for file in weights if not any(word in file.path for word in _PASSED_OVER)]
    known = [file for file in weights if file.path.endswith(_KNOWN_NAME)]
    return next(iter(known or weights), None)


def tags(adapter: Adapter) -> list[str]:
    """Return the Hub's tags: library, pipeline, base model, licence, then the adapter's tags."""
    version = adapter.latest_version
    base = bases.base_model(adapter.family, adapter.lineage)
    found = ["diffusers", "safetensors", bases.pipeline_of(adapter.family), "lora"]
    found += [version.algorithm] if version is not None and version.algorithm else []
    found += [adapter.family] if adapter.family else []
    found += [adapter.kind, *sorted(tag.name for tag in adapter.tags.all())]
    found += [f"base_model:{base}", f"base_model:adapter:{base}"] if base else []
    found += [f"license:{adapter.licence.casefold()}"] if adapter.licence else []
    found += [] if Maturity(adapter.maturity).is_for_all else [NOT_FOR_ALL]
    return list(dict.fromkeys(found))


def base_models(adapter: Adapter) -> dict[str, Any] | None:
    """Return the base model and the relation to it, None if unknown."""
    base = bases.base_model(adapter.family, adapter.lineage)
    return {"relation": "adapter", "models": [{"id": base}]} if base else None


def safetensors(files: Sequence[File]) -> dict[str, Any] | None:
    """Return the number of parameters in the primary weights, by the most frequent format."""
    primary = next((file for file in files if file.is_primary), None)
    document = document_of(primary.blob) if primary else {}
    formats, total = document.get("dtypes") or {}, document.get("parameters")
    if not formats or not isinstance(total, int):
        return None
    return {"parameters": {max(formats, key=lambda name: formats[name]): total}, "total": total}


def sibling(file: File) -> dict[str, Any]:
    """Return a file of a repo with its size and ids."""
    found = {"rfilename": file.path, "size": file.size_bytes, "blobId": oid(file)}
    if not is_regular(file.path, file.size_bytes):
        found["lfs"] = {"sha256": file.sha256, **_pointed(file)}
    return found


def entry(file: File) -> dict[str, Any]:
    """Return a file in a listing of a folder."""
    found = {"type": "file", "oid": oid(file), "size": file.size_bytes, "path": file.path}
    if not is_regular(file.path, file.size_bytes):
        found["lfs"] = {"oid": file.sha256, **_pointed(file)}
    return found


def _pointed(file: File) -> dict[str, int]:
    return {"size": file.size_bytes, "pointerSize": pointer_size(file.blob)}


def oid(file: File) -> str:
    """Return git's id of a file: of its content, or of the pointer to it."""
    if not is_regular(file.path, file.size_bytes):
        return pointer_oid(file.blob)
    try:
        return git_oid(file.blob)
    except (FileNotFoundError, StorageAway):
        return pointer_oid(file.blob)  # a listing works without the bytes


def commit(revision: Revision, *, is_formatted: bool = False) -> dict[str, Any]:
    """Return a revision as a commit; the first line of its message is the title."""
    title, _line, body = revision.message.partition("\n")
    found: dict[str, Any] = {
        "id": revision.commit,
        "title": title,
        "message": body.strip(),
        "date": instant(revision.created_at),
        "authors": [{"user": revision.author.username}],
    }
    if is_formatted:
        found["formatted"] = {"title": title, "message": body.strip()}
    return found
