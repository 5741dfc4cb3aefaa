"""Sketches of adapters: a few numbers by which copies and relatives of a file are found.

The update ΔW of each weight is projected on pairs of random directions of ±1, which depend on the
weight's canonical name and shape alone (`canonical`, `signs`):

    zₖ = uₖᵀ ΔW vₖ = scale · (uₖᵀ up)(down vₖ),    k = 1 … 16

ΔW is never formed. The sketch is linear in ΔW, and does not depend on rank, number format or
naming. Products of sketches estimate products of updates: E[zₖ(A) zₖ(B)] = ⟨ΔA, ΔB⟩, with an error
that falls with the number of weights. The file's vector adds the weights' numbers with further
random signs into 64 numbers and has length 1, so that a copy with another strength has cosine 1.

LoRA, LoCon, Tucker cores, LoHa, LoKr and whole differences are sketched exactly; DoRA by its
factors, without its magnitudes. Other algorithms, and modules whose sizes the tensors do not show,
are left out; a file with nothing else has no sketch.

Sources: Alon, Matias, Szegedy 1996, "The Space Complexity of Approximating the Frequency Moments";
Charikar, Chen, Farach-Colton 2002, "Finding Frequent Items in Data Streams".
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from lorary.algebra.block_energies import BlockEnergies
from lorary.algebra.files import NUMPY_DTYPES, Array, WeightFile
from lorary.algebra.recognition.canonical import CanonicalModule, canonical_modules
from lorary.algebra.recognition.projections import (
    DEPTH,
    MAX_ELEMENTS,
    SCALES,
    Numbers,
    Projector,
    matrix_of,
    projector_of,
)
from lorary.algebra.recognition.signs import signs_of_keys
from lorary.algebra.scales import alpha_for
from lorary.anatomy.claims.config import embedded_configs
from lorary.replacing import StrPath
from lorary.safetensors import Header
from lorary.safetensors.tensors import FLOAT_DTYPES

FORM = 1
"""Version of the algorithm: sketches of different forms can't be compared."""

WIDTH = 64
"""Numbers of a file's vector."""

MAX_WEIGHTS = 16_384
"""Weights of a file that are sketched; a file with more has no sketch."""

MAX_PENDING_BYTES = 64 * 1024 * 1024
"""Memory for modules of which some tensors have not been read yet."""

_HEAD = struct.Struct("<If")
_MOST_ROUNDING = 0.01  # of the norm of numbers in half precision
_ENTRY_BYTES = 8 + 2 + 2 * DEPTH
MAX_BYTES = _HEAD.size + MAX_WEIGHTS * _ENTRY_BYTES
"""Longest result of `WeightSketches.to_bytes`."""

Vector = np.ndarray[Any, np.dtype[np.float32]]


def _is_one(square: float) -> bool:
    return abs(square - 1) < _MOST_ROUNDING  # also False for NaN


@dataclass(frozen=True, slots=True)
class WeightSketches:
    """Sketches of the weights that a file changes.

    Attributes:
        keys: Hashes of name and shape in ascending order, `(weights,)`.
        ranks: Their ranks, 0 where there is none, `(weights,)`.
        numbers: Their projections divided by `norm`, `(weights, 16)`.
        norm: Estimate of the Frobenius norm of all updates.
    """

    keys: np.ndarray[Any, np.dtype[np.uint64]]
    ranks: np.ndarray[Any, np.dtype[np.uint16]]
    numbers: Vector
    norm: float

    def to_bytes(self) -> bytes:
        """Return 42 bytes for each weight, in half precision."""
        head = _HEAD.pack(len(self.keys), self.norm)
        columns = ((self.keys, "<u8"), (self.ranks, "<u2"), (self.numbers, "<f2"))
        return head + b"".join(column.astype(dtype).tobytes() for column, dtype in columns)

    @classmethod
    def from_bytes(cls, data: bytes) -> WeightSketches:
        """Return the sketches in the result of `to_bytes`.

        Raises:
            ValueError: Its length is wrong.
        """
        count, norm = _HEAD.unpack_from(data) if len(data) >= _HEAD.size else (0, 0.0)
        is_whole = len(data) == _HEAD.size + count * _ENTRY_BYTES
        if not 0 < count <= MAX_WEIGHTS or not is_whole:
            message = "the length of the sketch is wrong"
            raise ValueError(message)
        ranks, numbers = _HEAD.size + 8 * count, _HEAD.size + 10 * count
        return cls(
            np.frombuffer(data, "<u8", count, _HEAD.size),
            np.frombuffer(data, "<u2", count, ranks),
            np.frombuffer(data, "<f2", count * DEPTH, numbers)
            .astype(np.float32)
            .reshape(count, DEPTH),
            norm,
        )

    def require_valid(self) -> None:
        """Require what `Sketcher.result` guarantees, of a sketch received from a client.

        Raises:
            ValueError: Keys are not sorted, or numbers are not finite or have another norm.
        """
        square = float(np.square(self.numbers, dtype=np.float64).sum()) / DEPTH
        is_sorted = bool((self.keys[1:] > self.keys[:-1]).all())
        if not is_sorted or not math.isfinite(self.norm) or self.norm <= 0 or not _is_one(square):
            message = "the numbers of the sketch are invalid"
            raise ValueError(message)

    def vector(self) -> Vector:
        """Return the vector of the file, 64 numbers of length 1."""
        spread = np.tile(self.numbers, WIDTH // DEPTH)
        total = np.einsum("ij,ij->j", signs_of_keys(self.keys), spread, dtype=np.float64)
        length = float(np.linalg.norm(total))
        vector: Vector = (total / (length or 1.0)).astype(np.float32)
        return vector


class Sketcher:
    """Makes the sketch of a file whose tensors are added one by one, in any order.

    Factors are projected as soon as they are read, so that 16 numbers for each of their rows or
    columns are kept, and only until their module is complete.
    """

    def __init__(self, header: Header, energies: BlockEnergies | None = None) -> None:
        """Start with no tensor.

        Args:
            energies: Gets the tensors that are needed, too, so that they are converted once.
        """
        self._energies = energies
        self._configs = embedded_configs(header.metadata)
        self._owners: dict[str, tuple[Projector, str]] = {}
        self._found: dict[int, tuple[int, Numbers]] = {}
        self._pending = 0
        count = 0
        for module in canonical_modules(header):
            projector = _projector(header, module)
            if projector is not None:
                count += len(module.weights)
                self._owners |= {
                    module.tensors[role]: (projector, role) for role in projector.roles
                }
        if count > MAX_WEIGHTS:
            self._owners.clear()

    def wants(self, tensor: str) -> bool:
        """Return whether a tensor is needed."""
        return tensor in self._owners

    def add(self, tensor: str, array: Array) -> None:
        """Add a tensor; one that is not needed is ignored."""
        projector, role = self._owners.pop(tensor, (None, ""))
        if projector is None:
            return
        self._pending -= projector.kept_bytes
        matrix = matrix_of(array)
        if self._energies is not None:
            self._energies.add(tensor, matrix)
        with np.errstate(all="ignore"):  # hostile numbers; the result is checked
            projector.add(role, array if role in SCALES else matrix)
            if not projector.is_complete:
                self._pending += projector.kept_bytes
                if self._pending > MAX_PENDING_BYTES:
                    self._owners.clear()
                    self._found.clear()
                return
            self._finish(projector)

    def _finish(self, projector: Projector) -> None:
        module = projector.module
        scale = self._scale(module, projector)
        pairs = zip(module.weights, projector.numbers(), strict=True)
        for index, (weight, numbers) in enumerate(pairs):
            rank, known = self._found.get(weight.key, (0, np.zeros(DEPTH)))
            self._found[weight.key] = (
                max(rank, projector.rank_of(index)),
                known + scale * numbers,
            )

    def _scale(self, module: CanonicalModule, projector: Projector) -> float:
        """Return alpha / rank; PEFT states alpha in the metadata, or not in the file at all."""
        rank = projector.rank
        if not rank:
            return 1.0
        return alpha_for(module.name, rank, projector.alpha, self._configs) / rank

    def result(self) -> WeightSketches | None:
        """Return the sketches of all complete modules; None without any, or if they are zero."""
        if not self._found:
            return None
        keys = np.array(sorted(self._found), dtype=np.uint64)
        rows = [self._found[key] for key in keys.tolist()]
        numbers = np.array([row for _, row in rows], dtype=np.float64)
        ranks = np.array([min(rank, 0xFFFF) for rank, _ in rows], dtype=np.uint16)
        with np.errstate(all="ignore"):
            norm = float(np.float32(np.sqrt((numbers**2).sum() / DEPTH)))  # as it is stored
            scaled = (numbers / norm).astype(np.float32)
        if not norm or not math.isfinite(norm):
            return None
        return WeightSketches(keys, ranks, scaled, norm)


def _projector(header: Header, module: CanonicalModule) -> Projector | None:
    """Return the projector of a module, None if it is not sketched."""
    infos = {role: header.tensors[name] for role, name in module.tensors.items()}
    projector = projector_of(module, {role: info.shape for role, info in infos.items()})
    if projector is None:
        return None
    needed = [infos[role] for role in projector.roles]
    is_float = all(info.dtype in FLOAT_DTYPES & NUMPY_DTYPES.keys() for info in needed)
    is_small = all(math.prod(info.shape) <= MAX_ELEMENTS for info in needed)
    return projector if is_float and is_small else None


def sketch_file(path: StrPath) -> WeightSketches | None:
    """Return the sketches of a file's weights, None if it can't be sketched.

    Raises:
        HeaderError: The header breaks a rule.
        OSError: The file can't be read.
    """
    with WeightFile(path) as file:
        sketcher = Sketcher(file.header)
        for name, array in _arrays(file, sketcher):
            sketcher.add(name, array)
        return sketcher.result()


def _arrays(file: WeightFile, sketcher: Sketcher) -> Iterator[tuple[str, Array]]:
    for name in file.tensors:
        if sketcher.wants(name):
            yield name, file.array(name)


__all__ = ["DEPTH", "FORM", "WIDTH", "Sketcher", "WeightSketches", "sketch_file"]
