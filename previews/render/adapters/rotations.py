"""Orthogonal fine-tuning: weights are rotated.

```
LyCORIS, kohya  oft_blocks (n, b, b)      q = B − Bᵀ, R = (1 + q)(1 − q)⁻¹; rotates rows of W
                W' = rescale · (1 + s (Rᵀ − 1)) W
LyCORIS         oft_blocks (m, n, b, b)   BOFT: m stages over rows further apart
                W' = rescale · Π (1 + s (R_i − 1)) W
PEFT            oft_R (n, b (b − 1) / 2)  rotates columns, W' = W Rᵀ
PEFT            boft_R (m, n, b, b)       the same in stages; boft_s scales the rows
```

``alpha`` is not a scale here: times the number of rows, it is the maximum norm of q. LyCORIS
applies the strength to each stage of BOFT, and ``rescale`` fully at every strength but zero. PEFT
has no strength for these methods; here it is ``W + s (W' − W)``.

Source: LyCORIS 4.1 ``functional/diag_oft.py`` and ``functional/boft.py``; sd-scripts
``networks/oft.py``; PEFT 0.21 ``tuners/oft/layer.py`` and ``tuners/boft/layer.py``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from previews.render.adapters.module_tensors import ModuleTensors

#: Default number of terms in PEFT's series for the inverse.
_TERMS = 5


def oft(module: ModuleTensors) -> Callable[[Tensor, float], Tensor]:
    """Return ΔW of LyCORIS' and kohya's OFT and LyCORIS' BOFT.

    Raises:
        CannotRender: the block size does not divide the rows of the base's weight.
    """
    blocks = module["oft_blocks"]
    rows = module.slot.shape[0]
    if blocks.ndim not in (3, 4) or blocks.shape[-2] != blocks.shape[-1]:
        module.refuse("oft_blocks")
    if blocks.shape[-3] * blocks.shape[-1] != rows:
        module.refuse("oft_blocks")
    skew = blocks - blocks.transpose(-1, -2)
    longest = float(module["alpha"]) * rows if "alpha" in module else 0.0
    if 0 < longest < float(skew.norm()):
        skew = skew * (longest / (skew.norm() + 1e-8))
    turned = _cayley(skew)
    rescale = module.fit("rescale", rows)[:, None] if "rescale" in module else None
    if blocks.ndim == 3:
        return _by_rows(lambda flat, s: _blockwise(turned.mT, flat, s), rescale)
    # Stage i pairs rows that are 2^i half blocks apart.
    if blocks.shape[-1] % 2 or rows % (2 ** (len(blocks) - 1) * blocks.shape[-1]):
        module.refuse("oft_blocks")
    return _by_rows(lambda flat, s: _butterfly(turned, flat, s), rescale)


def _by_rows(
    turn: Callable[[Tensor, float], Tensor], rescale: Tensor | None
) -> Callable[[Tensor, float], Tensor]:
    def delta(weight: Tensor, strength: float) -> Tensor:
        flat = weight.flatten(1)
        result = turn(flat, strength)
        if rescale is not None:
            result = result * rescale.to(weight.device)
        return (result - flat).reshape(weight.shape)

    return delta


def _cayley(skew: Tensor) -> Tensor:
    """Return the rotation (1 + q)(1 − q)⁻¹ of a skew-symmetric q."""
    one = torch.eye(skew.shape[-1], dtype=torch.float64)
    wide = skew.double()
    result: Tensor = torch.linalg.solve(one - wide, one + wide)
    return result.float()


def _blockwise(turns: Tensor, rows: Tensor, strength: float = 1.0) -> Tensor:
    """Return ``rows`` with each block rotated by its own matrix, by ``strength``."""
    count, size, _ = turns.shape
    blocks = rows.reshape(count, size, -1)
    turned = turns.to(rows.device) @ blocks
    return torch.lerp(blocks, turned, strength).flatten(0, 1)


def _butterfly(turns: Tensor, rows: Tensor, strength: float) -> Tensor:
    size = turns.shape[-1]
    for stage, turn in enumerate(turns):
        apart = 2**stage * size // 2
        columns = rows.shape[-1]
        paired = rows.reshape(-1, 2, apart, columns).transpose(1, 2).flatten(0, 2)
        mixed = _blockwise(turn, paired, strength)
        rows = mixed.reshape(-1, apart, 2, columns).transpose(1, 2).flatten(0, 2)
    return rows


def peft_oft(module: ModuleTensors) -> Callable[[Tensor, float], Tensor]:
    """Return ΔW of PEFT's OFT.

    Raises:
        CannotRender: the block size does not divide the columns of the base's weight.
    """
    upper, columns = module["oft_R"], math.prod(module.slot.shape[1:])
    size = (1 + math.isqrt(1 + 8 * upper.shape[-1])) // 2
    if upper.ndim != 2 or size * (size - 1) // 2 != upper.shape[1] or columns % size:
        module.refuse("oft_R")
    if len(upper) not in (1, columns // size):
        module.refuse("oft_R")
    turns = _peft_turns(_skew(upper, size), module.config)
    turns = turns.expand(columns // size, size, size)
    return _by_columns(lambda flat: _blockwise(turns, flat), None)


def _skew(upper: Tensor, size: int) -> Tensor:
    """Return skew-symmetric matrices from the values right of their diagonals, row by row."""
    skew = upper.new_zeros(len(upper), size, size)
    right, below = torch.triu_indices(size, size, 1)
    skew[:, right, below] = upper
    return skew - skew.mT


def _peft_turns(skew: Tensor, config: Mapping[str, Any]) -> Tensor:
    if config.get("coft"):
        longest = float(config.get("eps", 6e-5)) / math.sqrt(len(skew))
        length = skew.norm(dim=(1, 2), keepdim=True)
        skew = torch.where(length > longest, skew * (longest / length), skew)
    if not config.get("use_cayley_neumann", True):
        return _cayley(-skew)
    # The series 1 + 2q + 2q² + … + qⁿ, cut off; three and four terms are the same in PEFT.
    terms = int(config.get("num_cayley_neumann_terms", _TERMS))
    factors = [2] * (terms - 1) if terms < 3 else [2] * (max(4, terms) - 2) + [1]
    turn, power = torch.eye(skew.shape[-1]).expand_as(skew), skew
    for factor in factors:
        turn = turn + factor * power
        power = power @ skew
    return turn


def _by_columns(
    turn: Callable[[Tensor], Tensor], rescale: Tensor | None
) -> Callable[[Tensor, float], Tensor]:
    def delta(weight: Tensor, strength: float) -> Tensor:
        flat = weight.flatten(1)
        result = turn(flat.mT).mT
        if rescale is not None:
            result = result * rescale.to(weight.device)
        return strength * (result - flat).reshape(weight.shape)

    return delta


def peft_boft(module: ModuleTensors) -> Callable[[Tensor, float], Tensor]:
    """Return ΔW of PEFT's BOFT.

    Raises:
        CannotRender: the block size does not divide the columns of the base's weight.
    """
    blocks, columns = module["boft_R"], math.prod(module.slot.shape[1:])
    if blocks.ndim != 4 or blocks.shape[2] != blocks.shape[3]:
        module.refuse("boft_R")
    stages, count, size, _ = blocks.shape
    if count * size != columns or (stages > 1 and (size % 2 or columns % (2**stages * size // 2))):
        module.refuse("boft_R")
    turns = _cayley((blocks.mT - blocks) / 2)
    scale = module.fit("boft_s", module.slot.shape[0])[:, None]
    orders = [_order(columns, stage, size) if stages > 1 else None for stage in range(stages)]

    def turn(rows: Tensor) -> Tensor:
        for matrices, order in zip(turns, orders, strict=True):
            if order is None:
                rows = _blockwise(matrices, rows)
            else:
                there = order.to(rows.device)
                rows = _blockwise(matrices, rows[torch.argsort(there)])[there]
        return rows

    return _by_columns(turn, scale)


def _order(count: int, stage: int, size: int) -> Tensor:
    """Return PEFT's permutation: within 2^stage blocks, even half blocks before odd ones."""
    halves = torch.arange(count).reshape(-1, 2**stage, 2, size // 2)
    return halves.transpose(1, 2).flatten()
