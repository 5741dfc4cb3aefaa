"""Projections of an update on pairs of random directions, computed from its factors.

For a weight with rows R of a module: zₖ = uₖᵀ ΔW[R] vₖ for 16 pairs (uₖ, vₖ), where ΔW is

    LoRA, LoCon        up · down                             (uᵀ up)(down v)
    Tucker             Σ up[:,a] core[a,b,y] down[b]         (uᵀ up) core (down v)
    LoHa               (w1_a w1_b) ∘ (w2_a w2_b)             ⟨w1_aᵀ D(u) w2_a, w1_b D(v) w2_bᵀ⟩
    LoKr               w1 ⊗ w2                               ⟨w1, U w2 Vᵀ⟩, U, V: u, v as matrices
    difference         ΔW                                    uᵀ ΔW v

Convolutions are flattened to `(out, in · area)`. Sources: LyCORIS 4.1 (`lycoris/functional`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from lorary.algebra.files import Array
from lorary.algebra.recognition.canonical import CanonicalModule, Weight
from lorary.algebra.recognition.signs import Signs, signs

DEPTH = 16
"""Projections of each weight."""

LEFT, RIGHT = range(2)
"""Streams of random signs: those of rows and of columns."""

MAX_ELEMENTS = 12 * 1024 * 1024
"""Elements of the largest matrix: of a tensor that is read, and of what is formed from factors.

Factors have fewer than four million.
"""

SCALES = frozenset({"alpha", "scalar"})
"""Roles of tensors of one number."""

MAX_SIDE = 262_144
"""Longest side of a weight that is projected; vocabularies of language models fit."""

with np.errstate(invalid="ignore"):  # signalling NaNs
    _FROM_HALF = np.arange(1 << 16, dtype=np.uint16).view(np.float16).astype(np.float32)
_AT_ONCE = 1 << 16  # indices that stay in the processor's cache

Numbers = np.ndarray[Any, np.dtype[np.float64]]
Shapes = Mapping[str, tuple[int, ...]]
_Floats = np.ndarray[Any, np.dtype[np.float32]]

_PAIRS = (("down", "up"), ("down", "part_up"), ("embedding_down", "embedding_up"))
_LOHA = ("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b")
_LOKR = ("lokr_w1", "lokr_w2")
# Tensors beside a product: scales, and changes of vectors, which aren't sketched.
_BESIDE = frozenset(
    {"alpha", "scalar", "magnitude", "up_bias", "diff_b", "w_norm", "b_norm", "on_input"}
)


def matrix_of(array: Array) -> _Floats:
    """Return a tensor as a matrix in single precision."""
    flat = array.reshape(len(array) if array.ndim else 1, -1)
    return _from_half(flat) if flat.dtype == np.float16 else flat.astype(np.float32)


def _from_half(halves: Array) -> _Floats:
    """Return fp16 numbers in fp32, exactly, from a table.

    numpy's own cast takes twice as long if there are subnormal numbers (below 6·10⁻⁵), which are
    frequent in weights and slow in arithmetic.
    """
    places = halves.reshape(-1).view(np.uint16)
    numbers: _Floats = np.empty(places.size, np.float32)
    for first in range(0, places.size, _AT_ONCE):
        few = slice(first, first + _AT_ONCE)
        np.take(_FROM_HALF, places[few], out=numbers[few], mode="clip")
    return numbers.reshape(halves.shape)


class Projector:
    """Projects the tensors of one module, which are added in any order.

    Attributes:
        module: The module.
        roles: The roles of the tensors that it needs.
        rank: Inner size of the factors, 0 without factors.
        alpha: The stored alpha, None if there is none.
    """

    def __init__(self, module: CanonicalModule, product: tuple[str, ...], rank: int) -> None:
        self.module = module
        self.roles = (*product, *(role for role in ("alpha", "scalar") if role in module.tensors))
        self.rank = rank
        self.alpha: float | None = None
        self._scalar = 1.0
        self._kept: dict[str, _Floats] = {}
        self._missing = set(self.roles)

    @property
    def is_complete(self) -> bool:
        """Whether all tensors have been added."""
        return not self._missing

    @property
    def kept_bytes(self) -> int:
        """Memory of what has been added."""
        return sum(array.nbytes for array in self._kept.values())

    def add(self, role: str, array: Array) -> None:
        """Add a tensor, of a factor as a matrix in single precision."""
        self._missing.discard(role)
        if role == "alpha":
            self.alpha = float(array.reshape(-1)[0])
        elif role == "scalar":
            self._scalar = float(array.reshape(-1)[0])
        else:
            self._kept[role] = self._reduced(role, array)

    def numbers(self) -> Iterator[Numbers]:
        """Yield the 16 numbers of each weight, without the scale of alpha."""
        for index, weight in enumerate(self.module.weights):
            yield self._scalar * self._projected(index, weight).astype(np.float64)

    def rank_of(self, index: int) -> int:
        """Return the rank of a weight, by its place in the module."""
        del index
        return self.rank

    def _reduced(self, role: str, matrix: _Floats) -> _Floats:
        """Return what is kept of a tensor."""
        del role
        return matrix

    def _projected(self, index: int, weight: Weight) -> Numbers:
        raise NotImplementedError

    def _left(self, weight: Weight) -> Signs:
        """Return u of a weight, `(its rows, 16)`."""
        return signs(weight.key, LEFT, weight.end - weight.begin, DEPTH)

    def _right(self, weight: Weight) -> Signs:
        """Return v of a weight, `(columns, 16)`."""
        return signs(weight.key, RIGHT, self.module.fan_in, DEPTH)


class _Pair(Projector):
    """LoRA and LoCon; with a core, Tucker. `down v` and `uᵀ up` are kept."""

    def __init__(
        self, module: CanonicalModule, pair: tuple[str, str], shapes: Shapes, *, has_core: bool
    ) -> None:
        product = (*pair, "mid") if has_core else pair
        super().__init__(module, product, shapes["mid" if has_core else pair[0]][0])
        self._pair = pair
        self._has_core = has_core

    def _reduced(self, role: str, matrix: _Floats) -> _Floats:
        weights = self.module.weights
        if role == self._pair[0]:
            rows = matrix.shape[1]
            sides = [self._right(weight).reshape(rows, -1) for weight in weights]
            return np.stack([matrix @ side for side in sides])
        if role == self._pair[1]:
            lefts = [(self._left(one).T, matrix[one.begin : one.end]) for one in weights]
            return np.stack([left @ rows for left, rows in lefts])
        return matrix

    def rank_of(self, index: int) -> int:
        """Return the rank of a weight: of split factors, a fused module has only some in each."""
        return int(np.count_nonzero(self._kept[self._pair[1]][index].any(axis=0)))

    def _projected(self, index: int, weight: Weight) -> Numbers:
        down, up = (self._kept[role][index] for role in self._pair)
        if self._has_core:  # `down` is `(inner, area · 16)`, the core `(rank, inner · area)`
            down = self._kept["mid"] @ down.reshape(-1, DEPTH)
        total: Numbers = np.einsum("kr,rk->k", up, down, dtype=np.float64)
        return total


class _Hadamard(Projector):
    """LoHa."""

    def __init__(self, module: CanonicalModule, shapes: Shapes) -> None:
        super().__init__(module, _LOHA, shapes["hada_w1_b"][0])

    def _projected(self, index: int, weight: Weight) -> Numbers:
        one_a, one_b, two_a, two_b = (self._kept[role] for role in _LOHA)
        rows = slice(weight.begin, weight.end)
        left, right = self._left(weight), self._right(weight)
        found = np.empty(DEPTH)
        for k in range(DEPTH):
            product = (one_a[rows].T * left[:, k]) @ two_a[rows]
            product *= (one_b * right[:, k]) @ two_b.T
            found[k] = product.sum(dtype=np.float64)
        return found


class _Kronecker(Projector):
    """LoKr."""

    def __init__(self, module: CanonicalModule, shapes: Shapes) -> None:
        parts = {role: (f"{role}_a", f"{role}_b") for role in _LOKR}
        self._parts = {role: pair for role, pair in parts.items() if role not in shapes}
        product = [part for role in _LOKR for part in self._parts.get(role, (role,))]
        ranks = [shapes[second][0] for _, second in self._parts.values()]
        super().__init__(module, tuple(product), ranks[0] if ranks else 0)

    def _whole(self, role: str) -> _Floats:
        pair = self._parts.get(role)
        return self._kept[role] if pair is None else self._kept[pair[0]] @ self._kept[pair[1]]

    def _projected(self, index: int, weight: Weight) -> Numbers:
        one, two = map(self._whole, _LOKR)
        left = np.zeros((self.module.out, DEPTH), dtype=np.float32)
        left[weight.begin : weight.end] = self._left(weight)
        rows = left.reshape(len(one), len(two), DEPTH)
        columns = self._right(weight).reshape(one.shape[1], two.shape[1], DEPTH)
        found = np.empty(DEPTH)
        for k in range(DEPTH):
            inner = rows[:, :, k] @ two @ columns[:, :, k].T
            found[k] = (one * inner).sum(dtype=np.float64)
        return found


class _Difference(Projector):
    """A whole difference, of which `uᵀ ΔW v` is kept."""

    def __init__(self, module: CanonicalModule) -> None:
        super().__init__(module, ("diff",), 0)

    def _reduced(self, role: str, matrix: _Floats) -> _Floats:
        del role
        found = []
        for one in self.module.weights:
            rows = self._left(one).T @ matrix[one.begin : one.end]
            found.append((rows * self._right(one).T).sum(1))
        return np.stack(found)

    def _projected(self, index: int, weight: Weight) -> Numbers:
        del weight
        numbers: Numbers = self._kept["diff"][index].astype(np.float64)
        return numbers


def projector_of(module: CanonicalModule, shapes: Shapes) -> Projector | None:
    """Return the projector of a module; None for another algorithm, or shapes that don't fit.

    Args:
        shapes: Shape of each role's tensor.
    """
    if max(module.out, module.fan_in) > MAX_SIDE:
        return None
    if any(math.prod(shapes.get(role, ())) != 1 for role in ("alpha", "scalar")):
        return None
    roles = set(shapes) - _BESIDE
    flat = {role: (shape[0], math.prod(shape[1:])) for role, shape in shapes.items() if shape}
    if roles == {"diff"}:
        return _Difference(module) if flat["diff"] == (module.out, module.fan_in) else None
    if roles == set(_LOHA):
        return _Hadamard(module, shapes) if _is_hadamard(module, flat) else None
    if _is_kronecker(module, roles, flat, shapes):
        return _Kronecker(module, shapes)
    return _pair_of(module, roles, shapes)


def _pair_of(module: CanonicalModule, roles: set[str], shapes: Shapes) -> Projector | None:
    has_core = "mid" in roles
    pair = next((pair for pair in _PAIRS if roles - {"mid"} == set(pair)), None)
    if pair is None:
        return None
    down, up = (shapes[role] for role in pair)
    core = shapes.get("mid", ())
    is_fit = len(down) > 1 < len(up) and (up[0], math.prod(up[2:])) == (module.out, 1)
    if has_core:
        area = math.prod(core[2:])
        is_fit = is_fit and core[:2] == (up[1], down[0]) and math.prod(down[2:]) == 1
        is_fit = is_fit and down[1] * area == module.fan_in
    else:
        is_fit = is_fit and up[1] == down[0] and math.prod(down[1:]) == module.fan_in
    return _Pair(module, pair, shapes, has_core=has_core) if is_fit else None


_Flat = Mapping[str, tuple[int, int]]


def _is_hadamard(module: CanonicalModule, flat: _Flat) -> bool:
    if not flat.keys() >= set(_LOHA):  # a scalar has no place there
        return False
    is_small = flat["hada_w1_b"][0] * flat["hada_w2_b"][0] <= MAX_ELEMENTS
    return is_small and all(
        flat[f"{one}_a"] == (module.out, flat[f"{one}_b"][0])
        and flat[f"{one}_b"][1] == module.fan_in
        for one in ("hada_w1", "hada_w2")
    )


def _is_kronecker(module: CanonicalModule, roles: set[str], flat: _Flat, shapes: Shapes) -> bool:
    """Return whether the two sides of a Kronecker product make the module's weight."""
    sides = []
    for role in _LOKR:
        pair = (f"{role}_a", f"{role}_b")
        if role in flat:
            sides.append(flat[role])
            roles = roles - {role}
        elif all(one in flat for one in pair) and flat[pair[0]][1] == flat[pair[1]][0]:
            sides.append((flat[pair[0]][0], flat[pair[1]][1]))
            roles = roles - set(pair)
    if roles or len(sides) < len(_LOKR):
        return False
    (rows, columns), (inner_rows, inner_columns) = sides
    is_flat = len(shapes.get("lokr_w1", (1, 1))) == 2
    size = (rows * inner_rows, columns * inner_columns)
    # Both sides and the products of the projection are formed.
    formed = (rows * columns, inner_rows * inner_columns, rows * inner_columns)
    is_small = max(formed) <= MAX_ELEMENTS
    return is_flat and is_small and size == (module.out, module.fan_in)
