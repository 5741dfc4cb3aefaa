"""Measures the energy of each block while a file is read, one tensor at a time.

    LoRA, LoCon   ‖ΔW‖² = s² · Σᵢⱼ (UᵀU)ᵢⱼ (D·Dᵀ)ᵢⱼ
    LoKr          ‖ΔW‖² = s² · ‖w₁‖² · ‖w₂‖²
    LoHa          the sum over rows of s² · ((A₁B₁) ∘ (A₂B₂))²

Of each factor, only its Gram matrix is kept until its module is complete; LoHa's factors are kept
themselves. All is computed in single precision, so that reading does not take longer;
`compare.measure` uses double precision.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from lorary.algebra.errors import AlgebraError
from lorary.algebra.matrices.shapes import product_shape
from lorary.algebra.modules import exact_roles, has_factors, sizes_of
from lorary.algebra.scales import Configs, alpha_for, configs_for
from lorary.anatomy.claims.config import embedded_configs
from lorary.anatomy.modules.adapted import group_names, scan
from lorary.safetensors import Header

if TYPE_CHECKING:
    from lorary.anatomy.modules.adapted import Module

MOST_RANK = 512
"""Largest rank that is measured: the work grows with the rank and the size of the file."""

MOST_BLOCKS = 4_096
"""Blocks of a file that are measured."""

MOST_PENDING_BYTES = 64 * 1024 * 1024
"""Memory for Gram matrices of modules of which some tensors have not been read yet."""

MOST_FORMED = 2**33
"""Elements of LoHa updates of a file, times their ranks: they are formed, a few rows at a time."""

_ROLES = frozenset({"down", "up", "mid", "alpha"})
_LOHA = ("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b")
_LOKR = ("lokr_w1", "lokr_w2")
_NUMBERS = frozenset({"alpha", "scalar"})
_ROWS = 256  # of a LoHa update that are formed at a time
_Floats = np.ndarray[Any, np.dtype[np.float32]]


@dataclass(slots=True)
class _Module:
    """A module, and what has been read of it."""

    name: str
    block: str
    rank: int
    configs: Configs
    missing: set[str]
    grams: dict[str, _Floats] = field(default_factory=dict)
    numbers: dict[str, float] = field(default_factory=dict)

    @property
    def kept_bytes(self) -> int:
        return sum(gram.nbytes for gram in self.grams.values())

    def read(self, role: str, matrix: _Floats) -> None:
        """Take a tensor."""
        self.missing.discard(role)
        if role in _NUMBERS:
            self.numbers[role] = float(matrix.reshape(-1)[0]) if matrix.size == 1 else math.nan
        else:
            self.grams[role] = self.kept(role, matrix)

    def kept(self, role: str, matrix: _Floats) -> _Floats:
        """Return what is kept of a tensor."""
        if role == "mid":
            return matrix
        gram: _Floats = matrix.T @ matrix if role == "up" else matrix @ matrix.T
        return gram

    def energy(self) -> float:
        """Return ‖ΔW‖² of a complete module."""
        alpha = self.numbers.get("alpha")
        scale = alpha_for(self.name, self.rank, alpha, self.configs) / self.rank if self.rank else 1
        return max((scale * self.numbers.get("scalar", 1.0)) ** 2 * self.product(), 0.0)

    def product(self) -> float:
        """Return ‖ΔW‖² at scale 1."""
        down = self.grams["down"]
        if "mid" in self.grams:
            down = _through_core(down, self.grams["mid"])
        return _joint(self.grams["up"], down)


class _LoKr(_Module):
    """A Kronecker product; `grams` of a side that is whole has its energy alone."""

    def kept(self, role: str, matrix: _Floats) -> _Floats:
        if role in _LOKR:
            return np.full((1, 1), _joint(matrix, matrix), np.float32)
        gram: _Floats = matrix.T @ matrix if role.endswith("_a") else matrix @ matrix.T
        return gram

    def product(self) -> float:
        found = 1.0
        for side in _LOKR:
            whole = self.grams.get(side)
            found *= (
                _joint(self.grams[f"{side}_a"], self.grams[f"{side}_b"])
                if whole is None
                else float(whole[0, 0])
            )
        return found


class _LoHa(_Module):
    """An elementwise product of two updates."""

    def kept(self, role: str, matrix: _Floats) -> _Floats:
        del role
        return matrix.copy()

    def product(self) -> float:
        a1, b1, a2, b2 = (self.grams[role] for role in _LOHA)
        found = 0.0
        for first in range(0, len(a1), _ROWS):
            rows = slice(first, first + _ROWS)
            update = (a1[rows] @ b1) * (a2[rows] @ b2)
            found += float(np.einsum("ij,ij->", update, update, dtype=np.float64))
        return found


def _joint(first: _Floats, second: _Floats) -> float:
    return float(np.einsum("ij,ij->", first, second, dtype=np.float64))


def _through_core(down: _Floats, core: _Floats) -> _Floats:
    """Return the Gram matrix of a Tucker core with its down factor, `(rank, rank)`.

    Args:
        core: `(rank, inner · area)`.
    """
    places = core.reshape(len(core), len(down), -1)
    total: _Floats = np.einsum("aiy,ij,bjy->ab", places, down, places, optimize=True)
    return total


class BlockEnergies:
    """Sums the energy of each block of a file whose tensors are added one by one, in any order."""

    def __init__(self, header: Header) -> None:
        self._pending = 0
        self._energies: dict[str, float] = {}
        self._owners: dict[str, tuple[_Module, str]] = {}
        self._is_exact = True
        try:
            for module, roles in _modules(header):
                self._owners |= {name: (module, role) for role, name in roles.items()}
        except AlgebraError:
            self._give_up()

    def wants(self, tensor: str) -> bool:
        """Return whether a tensor is needed."""
        return tensor in self._owners

    def add(self, tensor: str, matrix: _Floats) -> None:
        """Add a tensor as a matrix in single precision; one that is not needed is ignored."""
        module, role = self._owners.pop(tensor, (None, ""))
        if module is None:
            return
        self._pending -= module.kept_bytes
        with np.errstate(all="ignore"):  # hostile numbers; the result is checked
            module.read(role, matrix)
            if not module.missing:
                known = self._energies.get(module.block, 0.0)
                self._energies[module.block] = known + module.energy()
                module.grams.clear()
        self._pending += module.kept_bytes
        if self._pending > MOST_PENDING_BYTES or len(self._energies) > MOST_BLOCKS:
            self._give_up()

    def result(self) -> dict[str, float] | None:
        """Return block → energy; None if the file has no exact one, or it is zero."""
        is_whole = self._is_exact and not self._owners
        total = sum(self._energies.values())
        return dict(self._energies) if is_whole and 0 < total < math.inf else None

    def _give_up(self) -> None:
        self._is_exact, self._pending = False, 0
        self._owners.clear()
        self._energies.clear()


def _modules(header: Header) -> Iterator[tuple[_Module, Mapping[str, str]]]:
    """Yield the modules with their tensors.

    Raises:
        AlgebraError: one has no exact form, or its rank is too large.
    """
    grouped, embedded = group_names(tuple(header.tensors)), embedded_configs(header.metadata)
    formed = 0
    for named, module in zip(grouped.modules, scan(header).modules, strict=True):
        indexed = [(role, grouped.names[index]) for role, index in named.indices]
        configs = configs_for({role.dialect for role in named.roles}, embedded, ())
        product = _product(header, module, dict(indexed), configs)
        if product is not None and len(dict(indexed)) == len(indexed):
            found, work = product
            formed += work
            if formed > MOST_FORMED:
                message = "The LoHa updates of the file are too large to be formed."
                raise AlgebraError(message, code="rank_too_large")
            yield found, dict(indexed)
            continue
        roles = exact_roles(module, indexed)
        if not has_factors(roles):
            continue
        _shape, rank = sizes_of(header.tensors, module, roles)
        _require_rank(max(rank, header.tensors[roles["down"]].shape[0]))
        own = {role: name for role, name in roles.items() if role in _ROLES}
        yield _Module(module.name, module.block, rank, configs, set(own)), own


def _require_rank(rank: int) -> None:
    if rank > MOST_RANK:
        message = f"Modules of a rank above {MOST_RANK} are not measured."
        raise AlgebraError(message, code="rank_too_large", rank=rank)


def _product(
    header: Header, module: Module, roles: Mapping[str, str], configs: Configs
) -> tuple[_Module, int] | None:
    """Return a module of LoHa or LoKr with the work of forming it; None for another one.

    One with a Tucker core, or whose scale the header does not show, is none.
    """
    parts = roles.keys() - _NUMBERS
    shapes = {role: header.tensors[roles[role]].shape for role in parts}
    if parts == set(_LOHA):
        sides = [product_shape(shapes[_LOHA[at]], shapes[_LOHA[at + 1]]) for at in (0, 2)]
        if sides[0] is None or sides[0] != sides[1]:
            return None
        rank = shapes["hada_w1_b"][0]
        work = math.prod(sides[0]) * (rank + shapes["hada_w2_b"][0])
        return _LoHa(module.name, module.block, rank, configs, set(roles)), work
    divisor = _rank_of_lokr(shapes)
    if divisor is None or (not divisor and configs and "alpha" not in roles):
        return None
    _require_rank(divisor)
    return _LoKr(module.name, module.block, divisor, configs, set(roles)), 0


def _rank_of_lokr(shapes: Mapping[str, tuple[int, ...]]) -> int | None:
    """Return the rank by which alpha is divided, 0 if alpha does not count; None without a fit."""
    wanted: set[str] = set()
    rank = 0
    for side in _LOKR:
        if side in shapes:
            wanted.add(side)
            continue
        first, second = f"{side}_a", f"{side}_b"
        if not shapes.keys() >= {first, second}:
            return None
        if product_shape(shapes[first], shapes[second]) is None:
            return None
        wanted |= {first, second}
        rank = shapes[second][0]  # the second side's counts, as in LyCORIS
    return rank if wanted == shapes.keys() else None
