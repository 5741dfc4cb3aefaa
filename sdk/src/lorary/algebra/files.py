"""Reads and writes tensors of safetensors files, one at a time.

`WeightFile` maps a file into memory; its arrays are views of the mapping. `write_weights` writes
the canonical form of a file: the bytes that `safetensors.serialize_file` writes for the same
tensors, with sorted metadata, so that equal content is always equal bytes.

Source: https://github.com/huggingface/safetensors, `tensor.rs`, `prepare` and `serialize_to_file`.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import math
import mmap
import os
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO, NamedTuple

import ml_dtypes
import numpy as np

from lorary.algebra.errors import AlgebraError
from lorary.replacing import StrPath, Writeback, replacement
from lorary.safetensors import HeaderError, Limits, parse_header, read_header
from lorary.safetensors.tensors import DTYPE_BITS, TensorInfo, Tensors

Array = np.ndarray[Any, np.dtype[Any]]

NUMPY_DTYPES: Mapping[str, np.dtype[Any]] = MappingProxyType(
    {
        "BOOL": np.dtype(np.bool_),
        "U8": np.dtype(np.uint8),
        "I8": np.dtype(np.int8),
        "F8_E5M2": np.dtype(ml_dtypes.float8_e5m2),
        "F8_E4M3": np.dtype(ml_dtypes.float8_e4m3fn),
        "F8_E8M0": np.dtype(ml_dtypes.float8_e8m0fnu),
        "F8_E4M3FNUZ": np.dtype(ml_dtypes.float8_e4m3fnuz),
        "F8_E5M2FNUZ": np.dtype(ml_dtypes.float8_e5m2fnuz),
        "I16": np.dtype("<i2"),
        "U16": np.dtype("<u2"),
        "F16": np.dtype("<f2"),
        "BF16": np.dtype(ml_dtypes.bfloat16),
        "I32": np.dtype("<i4"),
        "U32": np.dtype("<u4"),
        "F32": np.dtype("<f4"),
        "C64": np.dtype("<c8"),
        "F64": np.dtype("<f8"),
        "I64": np.dtype("<i8"),
        "U64": np.dtype("<u8"),
    }
)
"""Format name to numpy type. Formats smaller than a byte have none: read them with `raw`."""

# The order of safetensors' `Dtype`: tensors of the last format come first in the data section.
_ORDER = (
    "BOOL", "F4", "F6_E2M3", "F6_E3M2", "U8", "I8", "F8_E5M2", "F8_E4M3", "F8_E8M0", "F8_E4M3FNUZ",
    "F8_E5M2FNUZ", "I16", "U16", "F16", "BF16", "I32", "U32", "F32", "C64", "F64", "I64", "U64",
)  # fmt: skip
_RANKS = {dtype: -place for place, dtype in enumerate(_ORDER)}


class WeightFile:
    """A safetensors file, mapped into memory. Use it as a context manager.

    Attributes:
        path: Path of the file.
        tensors: Name to tensor, in the header's order.
        metadata: The `__metadata__` map.
        data_start: Offset of the data section in the file.
        size_bytes: Size of the whole file.

    Raises:
        HeaderError: The header breaks a rule.
        OSError: The file can't be read.
    """

    path: Path
    tensors: Tensors
    metadata: Mapping[str, str]

    def __init__(self, path: StrPath, *, limits: Limits | None = None) -> None:
        self.path = Path(path)
        with self.path.open("rb") as file:
            self.header = read_header(file, limits=limits)
            self._mapping = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self.tensors = Tensors.of(self.header.tensors)
        self.metadata = self.header.metadata
        self.data_start = self.header.data_start
        self.size_bytes = self.header.size_bytes

    def __enter__(self) -> WeightFile:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """Unmap the file; while arrays of it are in use, it stays mapped."""
        with contextlib.suppress(BufferError):
            self._mapping.close()

    def array(self, name: str) -> Array:
        """Return a read-only view of a tensor, in its stored format.

        Raises:
            KeyError: The file has no tensor of this name.
            AlgebraError: `dtype_unsupported`; the elements of the format are smaller than a byte.
        """
        tensor = self.tensors[name]
        dtype = NUMPY_DTYPES.get(tensor.dtype)
        if dtype is None:
            message = f"The tensor “{name}” is stored as {tensor.dtype}, which has no numpy type."
            raise AlgebraError(message, code="dtype_unsupported", tensor=name)
        begin = self.data_start + tensor.begin
        flat = np.frombuffer(self._mapping, np.uint8, tensor.size_bytes, begin)
        return flat.view(dtype).reshape(tensor.shape)

    def raw(self, name: str) -> memoryview:
        """Return the stored bytes of a tensor.

        Raises:
            KeyError: The file has no tensor of this name.
        """
        tensor = self.tensors[name]
        return memoryview(self._mapping)[self.data_start :][tensor.begin : tensor.end]

    def drop_pages(self) -> None:
        """Let the system drop what was read of the mapping; it is read again on access."""
        if hasattr(mmap, "MADV_DONTNEED"):  # not on Windows
            self._mapping.madvise(mmap.MADV_DONTNEED)


class PlannedTensor(NamedTuple):
    """A tensor that will be written.

    Attributes:
        dtype: A key of `DTYPE_BITS`.
        data: Returns its elements or their bytes; called once, when the tensor is written.
    """

    dtype: str
    shape: tuple[int, ...]
    data: Callable[[], Array | memoryview]

    @property
    def size_bytes(self) -> int:
        """Size in bytes."""
        return math.prod(self.shape) * DTYPE_BITS[self.dtype] // 8


class WrittenFile(NamedTuple):
    """A file that was written."""

    path: Path
    sha256: str
    size_bytes: int


OnStep = Callable[[int, int], None]
"""Takes the number of tensors that are written, and that of all."""

DATA_HASH = "modelspec.hash_sha256"
"""Metadata key of the SHA-256 of the data section. Source: ModelSpec 1.0.1."""


def write_weights(
    path: StrPath,
    tensors: Mapping[str, PlannedTensor],
    metadata: Mapping[str, str],
    *,
    adds_hash: bool = False,
    check: Callable[[Path], None] | None = None,
    on_step: OnStep | None = None,
) -> WrittenFile:
    """Write a file in its canonical form, and return its path, digest and size.

    Tensors are sorted by format (the widest first) and name, metadata by key. The data of one
    tensor is in memory at a time. The file appears complete under its name, or not at all; it
    replaces an existing one. Its folder is created.

    Args:
        adds_hash: Whether to add the SHA-256 of the data section to the metadata.
        check: Called with the complete file before it takes its place; an error removes it.
        on_step: Called after each tensor.

    Raises:
        HeaderError: The reader would refuse a name, a shape or the metadata.
        OSError: The file can't be written.
        ValueError: The data of a tensor doesn't have the planned format and shape.
    """
    path = Path(path)
    names = sorted(tensors, key=lambda name: (_RANKS[tensors[name].dtype], name))
    ordered = {name: tensors[name] for name in names}
    blank = {**metadata, DATA_HASH: f"0x{'0' * 64}"} if adds_hash else metadata
    with replacing(path, hashes_data=adds_hash, check=check) as target:
        target.begin(canonical_header(ordered, blank))
        for done, (name, tensor) in enumerate(ordered.items()):
            target.write(_bytes_of(name, tensor))
            if on_step is not None:
                on_step(done + 1, len(ordered))
        if adds_hash:
            filled = {**metadata, DATA_HASH: f"0x{target.data_sha256}"}
            target.begin_again(canonical_header(ordered, filled))
    return target.result(path)


def canonical_header(tensors: Mapping[str, PlannedTensor], metadata: Mapping[str, str]) -> bytes:
    """Return the first bytes of a file with tensors in this order, up to its data section.

    Raises:
        HeaderError: The reader would refuse it.
    """
    placed, end = {}, 0
    for name, tensor in tensors.items():
        begin, end = end, end + tensor.size_bytes
        placed[name] = TensorInfo(tensor.dtype, tensor.shape, begin, end)
    return checked_head(placed, metadata, end)


def checked_head(
    tensors: Mapping[str, TensorInfo], metadata: Mapping[str, str], data_bytes: int
) -> bytes:
    """Return length, JSON and padding of a header, with its metadata sorted.

    Raises:
        HeaderError: The reader would refuse it.
    """
    document: dict[str, object] = {}
    if metadata:
        document["__metadata__"] = dict(sorted(metadata.items()))
    for name, tensor in tensors.items():
        document[name] = {
            "dtype": tensor.dtype,
            "shape": list(tensor.shape),
            "data_offsets": [tensor.begin, tensor.end],
        }
    try:
        raw = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError as error:  # a file name or an argument that is not UTF-8
        message = "A name or a value of the metadata is not valid Unicode."
        raise HeaderError(message, code="header_not_utf8") from error
    raw += b" " * (-len(raw) % 8)
    head = struct.pack("<Q", len(raw)) + raw
    parse_header(head, size=len(head) + data_bytes)
    return head


def _bytes_of(name: str, tensor: PlannedTensor) -> memoryview:
    data = tensor.data()
    if isinstance(data, memoryview):
        is_fit = data.nbytes == tensor.size_bytes
    else:
        is_fit = data.dtype == NUMPY_DTYPES.get(tensor.dtype) and data.shape == tensor.shape
        # Not every type of `ml_dtypes` has the buffer protocol, so the bytes are written.
        data = np.ascontiguousarray(data).reshape(-1).view(np.uint8).data
    if not is_fit:
        message = f"the data of {name!r} is not {tensor.dtype} of {tensor.shape}"
        raise ValueError(message)
    return data


class HashedFile:
    """A file that is being written, first its head, then its data, with its digest.

    Args:
        hashes_data: Whether the digest of the data section is wanted, too.
    """

    def __init__(self, file: BinaryIO, *, hashes_data: bool = False) -> None:
        self._file = file
        self._whole = hashlib.sha256()
        self._data = hashlib.sha256() if hashes_data else None
        self._size_bytes = 0
        self._writeback = Writeback(file.fileno())

    @property
    def data_sha256(self) -> str:
        """The SHA-256 of the data that was written so far; empty if it isn't wanted."""
        return "" if self._data is None else self._data.hexdigest()

    def begin(self, head: bytes) -> None:
        """Write the head."""
        self._file.write(head)
        self._whole.update(head)
        self._size_bytes = len(head)

    def write(self, data: bytes | memoryview) -> None:
        """Append data."""
        # In pieces that fit the processor's cache. They are hashed first: to write from memory that
        # was mapped but not read yet takes the system longer.
        whole = memoryview(data)
        for begin in range(0, len(whole), _PIECE_BYTES):
            piece = whole[begin : begin + _PIECE_BYTES]
            self._whole.update(piece)
            if self._data is not None:
                self._data.update(piece)
            self._file.write(piece)
            self._size_bytes += len(piece)
            self._writeback.reached(self._size_bytes)

    def begin_again(self, head: bytes) -> None:
        """Replace the head by one of the same length, when all data is written."""
        self._file.seek(0)
        self._file.write(head)
        self._file.seek(0)
        self._whole = hashlib.sha256()
        while piece := self._file.read(_PIECE_BYTES):
            self._whole.update(piece)

    def result(self, path: Path) -> WrittenFile:
        """Return the digest and size of what was written, for its final place."""
        return WrittenFile(path, self._whole.hexdigest(), self._size_bytes)


_PIECE_BYTES = 1024 * 1024


def output_path(out: StrPath, inputs: Iterable[StrPath]) -> Path:
    """Return the path of a new file. Its folder is created when the file is written.

    Args:
        inputs: Files that it is made from. They are compared as files, so that links to one count.

    Raises:
        AlgebraError: `same_file`; it is one of the inputs.
        OSError: An input is missing, or the path is a folder.
    """
    path = Path(out)
    found = [Path(one).stat() for one in inputs]
    if path.exists():
        here = path.stat()
        if any(os.path.samestat(here, one) for one in found):
            message = f"{path} is an input. Choose another file."
            raise AlgebraError(message, code="same_file")
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    return path


def temporary_place(out: Path) -> Path:
    """Return the folder for temporary files: that of the output, or the nearest that exists."""
    return next(folder for folder in out.absolute().parents if folder.exists())


@contextlib.contextmanager
def replacing(
    path: Path, *, hashes_data: bool = False, check: Callable[[Path], None] | None = None
) -> Iterator[HashedFile]:
    """Write a temporary file beside `path`; flush it to disk and rename it at the end.

    The folder is created. After an error the temporary file and the folders that were created are
    removed, and `path` is as before.

    Args:
        hashes_data: Whether the digest of the data section is wanted.
        check: Called with the temporary file before it is renamed.
    """
    with _folder_of(path), replacement(path) as part:
        with part.open("x+b") as file:
            yield HashedFile(file, hashes_data=hashes_data)
            file.flush()
            os.fsync(file.fileno())
        if check is not None:
            check(part)


@contextlib.contextmanager
def _folder_of(path: Path) -> Iterator[None]:
    """Create the folder of a file; after an error, remove what was created and is empty."""
    created = [folder for folder in path.parents if not folder.exists()]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException:
        with contextlib.suppress(OSError):
            for folder in created:
                folder.rmdir()
        raise
