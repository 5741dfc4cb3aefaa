"""Which adapter a file is: asking a hub by hashes."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from io import FileIO
from typing import TYPE_CHECKING, Any

from lorary.client.answers import Record
from lorary.client.digests import BLOCK_BYTES
from lorary.client.errors import FileMissing
from lorary.client.models import File, Version
from lorary.client.progress import OnProgress, Progress
from lorary.safetensors import HeaderError, read_header

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from lorary.client.session import Session

__all__ = ["Match", "find", "hashes_of", "is_hash"]

_HASH = re.compile(
    r"(?:0x|(?:sha256|blake3|crc32|autov[123]):)?"
    r"(?:[0-9a-f]{8}|[0-9a-f]{10}|[0-9a-f]{12}|[0-9a-f]{64})",
    re.IGNORECASE,
)
#: Kinds of hashes that stay the same under another header.
_OF_TENSORS = frozenset({"autov3", "data_sha256", "tensors", "weights_f16", "weights_bf16"})


@dataclass(frozen=True, slots=True)
class Match:
    """A file of a version that has a hash.

    Attributes:
        kind: Kind of the hash: ``sha256``, ``autov1``, ``autov2``, ``autov3``, ``data_sha256``,
            ``tensors``, ``weights_f16``, ``weights_bf16``, ``crc32`` or ``blake3``.
        hash: The hash of that kind, as the hub keeps it.
        version: The version, without its files.
        file: The file.
    """

    kind: str
    hash: str
    version: Version
    file: File
    data: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def read(cls, value: object) -> Match:
        """Read a match of ``POST hashes``."""
        record = Record(value, "match")
        return cls(
            kind=record.text("kind"),
            hash=record.text("hash"),
            version=Version.read(record.mapping("version")),
            file=File.read(record.mapping("file")),
            data=record.data,
        )

    @property
    def is_same_file(self) -> bool:
        """Whether the hash is of the whole file; else the tensors are the same."""
        return self.kind not in _OF_TENSORS


def is_hash(text: str) -> bool:
    """Tell whether a text has the form of a hash that can be looked up."""
    return _HASH.fullmatch(text.strip()) is not None


def find(session: Session, hashes: tuple[str, ...]) -> tuple[Match, ...]:
    """Return the files that have one of these hashes; those of the first hash come first."""
    answer = session.json("POST", "hashes", data={"hashes": list(hashes)}, is_repeatable=True)
    results = [Record(item, "result") for item in Record(answer, "answer").items("results")]
    found: dict[tuple[str, str, str], Match] = {}
    for result in results:
        for item in result.items("matches"):
            match = Match.read(item)
            place = (match.version.adapter, match.version.name, match.file.path)
            found.setdefault(place, match)
    return tuple(found.values())


def hashes_of(path: Path, on_progress: OnProgress) -> tuple[str, ...]:
    """Return the hashes by which to ask for a file: of it all, and of what follows its header.

    Raises:
        FileMissing: the file cannot be read.
    """
    try:
        with FileIO(path, "r") as file:
            return _hashes(path, file, on_progress)
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror or error}."
        raise FileMissing(message) from error


def _hashes(path: Path, file: FileIO, on_progress: OnProgress) -> tuple[str, ...]:
    size = path.stat().st_size
    try:
        start = read_header(path).data_start
    except HeaderError:  # no weights, or damaged: the whole file may be known all the same
        start = size
    whole, data = hashlib.sha256(), hashlib.sha256()
    view, done = memoryview(bytearray(BLOCK_BYTES)), 0
    while count := file.readinto(view):
        whole.update(view[:count])
        data.update(view[max(0, start - done) : count])
        done += count
        on_progress(Progress("hash", path.name, done, size))
    return (whole.hexdigest(), data.hexdigest()) if done > start else (whole.hexdigest(),)
