"""Measures the energy of each block while a file is read, one tensor at a time.

    ‖ΔW‖² = s² · Σᵢⱼ (UᵀU)ᵢⱼ (D·Dᵀ)ᵢⱼ

Of each factor, only its Gram matrix is kept until its module is complete. They are computed in
single precision, so that reading does not take longer; `compare.measure` uses double precision.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lorary.algebra.errors import AlgebraError
from lorary.algebra.modules import exact_roles, has_factors, sizes_of
from lorary.algebra.scales import Configs, alpha_for, configs_for
from lorary.anatomy.claims.config import embedded_configs
from lorary.anatomy.modules.adapted import group_names, scan
from lorary.safetensors import Header

MOST_RANK = 512
"""Largest rank that is measured: the work grows with the rank and the size of the file."""

MOST_BLOCKS = 4_096
"""Blocks of a file that are measured."""

MOST_PENDING_BYTES = 64 * 1024 * 1024
"""Memory for Gram matrices of modules of which some tensors have not been read yet."""

_ROLES = frozenset({"down", "up", "mid", "alpha"})
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
    alpha: float | None = None

    @property
    def kept_bytes(self) -> int:
        return sum(gram.nbytes for gram in self.grams.values())

    def energy(self) -> float:
        """Return ‖ΔW‖² of a complete module."""
        down = self.grams["down"]
        if "mid" in self.grams:
            down = _through_core(down, self.grams["mid"])
        product = float(np.einsum("ij,ij->", self.grams["up"], down, dtype=np.float64))
        scale = alpha_for(self.name, self.rank, self.alpha, self.configs) / self.rank
        return max(scale**2 * product, 0.0)


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
            _read(module, role, matrix)
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
    """Yield the modules of two factors with their tensors.

    Raises:
        AlgebraError: one has no exact form, or its rank is too large.
    """
    grouped, embedded = group_names(tuple(header.tensors)), embedded_configs(header.metadata)
    for named, module in zip(grouped.modules, scan(header).modules, strict=True):
        indexed = [(role, grouped.names[index]) for role, index in named.indices]
        roles = exact_roles(module, indexed)
        if not has_factors(roles):
            continue
        _shape, rank = sizes_of(header.tensors, module, roles)
        if max(rank, header.tensors[roles["down"]].shape[0]) > MOST_RANK:
            message = f"Modules of a rank above {MOST_RANK} are not measured."
            raise AlgebraError(message, code="rank_too_large", rank=rank)
        own = {role: name for role, name in roles.items() if role in _ROLES}
        configs = configs_for({role.dialect for role in named.roles}, embedded, ())
        yield _Module(module.name, module.block, rank, configs, set(own)), own


def _read(module: _Module, role: str, matrix: _Floats) -> None:
    module.missing.discard(role)
    if role == "alpha":
        module.alpha = float(matrix.reshape(-1)[0]) if matrix.size == 1 else math.nan
    elif role == "mid":
        module.grams[role] = matrix
    else:
        module.grams[role] = matrix.T @ matrix if role == "up" else matrix @ matrix.T
