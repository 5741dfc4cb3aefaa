"""The ways of merging that work on the elements of whole updates, and the list of all of them.

| mode | update of a module | rank |
|---|---|---|
| `concat` | Σ wᵢΔWᵢ, exact: factors side by side | Σ rᵢ |
| `linear` | the same, without the directions that carry nothing | that of the sum |
| `svd` | the same, truncated | the largest rᵢ |
| `ties` | TIES of the ΔWᵢ, truncated | Σ rᵢ |
| `dare` | DARE of the ΔWᵢ, truncated | Σ rᵢ |

`concat`, `linear` and `svd` are task arithmetic on updates (Ilharco et al. 2023, “Editing models
with task arithmetic”, arXiv:2212.04089). PEFT's `linear` and kohya's plain merge add the factors
instead: (Σ√wᵢ Bᵢ)(Σ√wᵢ Aᵢ) has products of factors of different adapters, so it isn't the sum of
their updates.

The papers of TIES and DARE define both on the elements of ΔW, and so does this module. PEFT's
variants treat the elements of A and of B, whose signs and sizes mean nothing by themselves: the
factors (B·M, M⁻¹·A) of the same update give another result for every M. The result has full rank,
so it is approximated by factors, and the error of each module is reported.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

MODES = ("concat", "linear", "svd", "ties", "dare")
"""All modes; the first one is the default."""

DENSITIES = {"ties": 0.2, "dare": 0.5}
"""Mode to the default share of elements that stay; 0.2 is that of the TIES paper."""

Delta = npt.NDArray[np.float32]


def ties(deltas: Sequence[Delta], weights: Sequence[float], density: float) -> Delta:
    """Return the TIES merge of updates: trim, elect signs, mean of those that agree.

    Trimming keeps the largest elements of each update by size; the paper trims all modules of a
    model together, this function one module. The paper has one strength for the result, which is
    the same as equal strengths here. Strengths count before the election: the sign of an element is
    that of the weighted sum, its value the mean of the weighted elements with that sign.

    Args:
        deltas: Updates of one module, all of the same shape.
        weights: Strength of each update.
        density: Share of the elements that stay, in (0, 1].

    Source: Yadav et al. 2023, “TIES-Merging: resolving interference when merging models”,
    arXiv:2306.01708, algorithm 1.
    """
    total = np.zeros_like(deltas[0])
    trimmed = [
        _trim(delta, density) * np.float32(w) for delta, w in zip(deltas, weights, strict=True)
    ]
    for delta in trimmed:
        total += delta
    sign = np.sign(total)
    total[:] = 0
    count = np.zeros(total.shape, np.uint16)
    for delta in trimmed:
        agrees = (np.sign(delta) == sign) & (sign != 0)
        np.add(total, delta, out=total, where=agrees)
        count += agrees
    total /= np.maximum(count, 1)
    return total


def _trim(delta: Delta, density: float) -> Delta:
    kept = max(1, round(density * delta.size))
    if kept >= delta.size:
        return delta
    sizes = np.abs(delta).reshape(-1)
    least = np.partition(sizes, delta.size - kept)[delta.size - kept]
    return np.where(np.abs(delta) >= least, delta, np.float32(0))


def dare(
    deltas: Sequence[Delta],
    weights: Sequence[float],
    density: float,
    masks: Sequence[npt.NDArray[np.bool_]],
) -> Delta:
    """Return the DARE merge of updates: elements are dropped at random, the rest is rescaled.

    Args:
        deltas: Updates of one module, all of the same shape.
        weights: Strength of each update.
        density: Share of the elements that stay, in (0, 1]; the paper's drop rate is 1 − density.
        masks: Which elements of each update stay, by `dare_mask`.

    Source: Yu et al. 2023, “Language models are super Mario: absorbing abilities from homologous
    models as a free lunch”, arXiv:2311.03099, equations 2 and 3.
    """
    total = np.zeros_like(deltas[0])
    for delta, weight, stays in zip(deltas, weights, masks, strict=True):
        np.add(total, delta * np.float32(weight / density), out=total, where=stays)
    return total


def dare_mask(
    shape: tuple[int, ...], density: float, *, seed: int, name: str, number: int
) -> npt.NDArray[np.bool_]:
    """Return which elements of an update stay, by seed, module and number of the adapter.

    The result doesn't depend on the other modules of the files.
    """
    random = np.random.default_rng([seed, number, zlib.crc32(name.encode())])
    return random.random(shape, dtype=np.float32) < density
