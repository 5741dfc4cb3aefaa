"""Rewrites the metadata of a safetensors file; the data section is copied byte for byte."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from lorary.algebra.files import (
    DATA_HASH,
    WeightFile,
    WrittenFile,
    checked_head,
    output_path,
    replacing,
)
from lorary.algebra.metadata.modelspec import PREFIX, VERSION, missing_keys, require_valid
from lorary.algebra.metadata.rules import is_training_key
from lorary.anatomy.claims.config import require_file
from lorary.replacing import StrPath

_PIECE_BYTES = 1024 * 1024
_VERSION_KEY = f"{PREFIX}sai_model_spec"
_HASH = re.compile("0x[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Rewritten:
    """A file with new metadata.

    Attributes:
        removed: Keys that were removed, sorted.
        changed: Keys that were added or changed, sorted.
        missing: Keys that ModelSpec requires and the file lacks.
    """

    out: WrittenFile
    removed: tuple[str, ...]
    changed: tuple[str, ...]
    missing: tuple[str, ...]


def rewrite(
    path: StrPath,
    out: StrPath,
    *,
    strips_training: bool = False,
    values: Mapping[str, str] | None = None,
    removes: Collection[str] = (),
) -> Rewritten:
    """Write a copy of a file with other metadata.

    Tensors keep their order, offsets and bytes, so hashes of the weights stay right. An existing
    `modelspec.hash_sha256` is computed again.

    Args:
        out: Path of the new file. It replaces an existing one, but never the input. Its folder is
            created.
        strips_training: Whether to remove what describes the training, such as `ss_*`. ModelSpec,
            and what loaders need, stays, such as `ss_base_model_version`.
        values: New values by key.
        removes: Keys to remove.

    Raises:
        AlgebraError: `metadata_invalid`, a value breaks ModelSpec; `same_file`.
        HeaderError: The file or the new metadata breaks a rule of the reader.
        OSError: A file can't be read or written.
    """
    place = output_path(out, [path])
    require_file(Path(path))
    values = dict(values or {})
    for key, value in values.items():
        require_valid(key, value)
    with WeightFile(path) as file:
        old = file.metadata
        new = {
            key: value
            for key, value in old.items()
            if key not in removes and not (strips_training and is_training_key(key))
        }
        if any(key.startswith(PREFIX) for key in values):
            new.setdefault(_VERSION_KEY, VERSION)
        new |= values
        written = _write(file, place, new)
    return Rewritten(
        written,
        tuple(sorted(old.keys() - new.keys())),
        tuple(sorted(key for key in new if new[key] != old.get(key))),
        tuple(missing_keys(new)),
    )


def _write(file: WeightFile, out: Path, metadata: dict[str, str]) -> WrittenFile:
    """Write the file, and put the hash of its data section into metadata that has one."""
    has_hash = DATA_HASH in metadata
    if has_hash and _HASH.fullmatch(metadata[DATA_HASH]) is None:
        metadata[DATA_HASH] = f"0x{'0' * 64}"  # of the right length
    with replacing(out, hashes_data=has_hash) as target:
        target.begin(_head(file, metadata))
        for piece in _pieces(file):
            target.write(piece)
        found = f"0x{target.data_sha256}"
        if has_hash and metadata[DATA_HASH] != found:
            metadata[DATA_HASH] = found
            target.begin_again(_head(file, metadata))
    return target.result(out)


def _head(file: WeightFile, metadata: Mapping[str, str]) -> bytes:
    return checked_head(file.tensors, metadata, file.size_bytes - file.data_start)


def _pieces(file: WeightFile) -> Iterator[bytes]:
    """Yield the data section."""
    with file.path.open("rb") as source:
        source.seek(file.data_start)
        while piece := source.read(_PIECE_BYTES):
            yield piece
