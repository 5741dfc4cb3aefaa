"""Plans the tensors of modules whose factors are computed when they are written."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lorary.algebra.errors import AlgebraError
from lorary.algebra.files import NUMPY_DTYPES, Array, PlannedTensor, WeightFile
from lorary.algebra.formats import DTYPES, word_of
from lorary.algebra.matrices.gram import Factors, Matrix
from lorary.algebra.modules import AdaptedModule, FactorModule
from lorary.anatomy.claims.config import CONFIG_NAME, config_beside
from lorary.anatomy.claims.metadata import clean
from lorary.safetensors.tensors import DTYPE_BITS

Plan = dict[str, PlannedTensor]
"""Name to tensor of a file that will be written."""


KOHYA_ENDINGS = (".lora_down.weight", ".lora_up.weight")
PEFT_ENDINGS = (".lora_A.weight", ".lora_B.weight")
"""Endings of the names of `down` and `up`."""


class NewFactors(NamedTuple):
    """The factors that replace those of a module.

    Attributes:
        module: The module in the file that gives names, shapes and formats. One without factors
            gets kohya's names for them, or PEFT's in a file of PEFT.
        rank: Rank of the new factors.
        scale: Scale of the new factors, so that their update is scale · up · down.
        compute: Returns them; called once, when the file is written.
        dtype: Number format; None for the formats in the file.
    """

    module: AdaptedModule
    rank: int
    scale: float
    compute: Callable[[], Factors]
    dtype: str | None = None


def copied(file: WeightFile, names: list[str]) -> Plan:
    """Plan tensors that are copied byte for byte."""
    tensors = file.tensors
    return {
        name: PlannedTensor(tensors[name].dtype, tensors[name].shape, partial(file.raw, name))
        for name in names
    }


def planned(file: WeightFile, new: NewFactors) -> Plan:
    """Plan the tensors of new factors, under the names that the module has in its file.

    If the module has an alpha, it becomes scale · rank. Otherwise the scale is multiplied into
    `up`: without an alpha and a configuration, the scale is 1. See `require_no_config`.
    """
    module, names = new.module, new.module.tensors
    pair = FactorPair(module.name, new.compute)
    unscaled = FactorPair(module.name, partial(_unscaled, new))
    if "up" not in names:
        dtype, sizes = new.dtype or module.dtype, (new.rank, *module.shape)
        if _is_peft(module):
            return planned_pair(unscaled, module.name, PEFT_ENDINGS, dtype, sizes)
        plan = planned_pair(pair, module.name, KOHYA_ENDINGS, dtype, sizes)
        alpha = planned_alpha(new.scale * new.rank, dtype, ())
        return {**plan, f"{module.name}.alpha": alpha}
    up, down = file.tensors[names["up"]], file.tensors[names["down"]]
    pair = pair if "alpha" in names else unscaled
    down_shape = (new.rank, *module.shape[1:])
    up_shape = (up.shape[0], new.rank, *up.shape[2:])
    plan = {
        names["down"]: pair.planned("down", new.dtype or down.dtype, down_shape),
        names["up"]: pair.planned("up", new.dtype or up.dtype, up_shape),
    }
    if "alpha" in names:
        stored = file.tensors[names["alpha"]]
        plan[names["alpha"]] = planned_alpha(new.scale * new.rank, stored.dtype, stored.shape)
    return plan


def planned_pair(
    pair: FactorPair, name: str, endings: tuple[str, str], dtype: str, sizes: tuple[int, ...]
) -> Plan:
    """Plan the factors of a module that has none in a file.

    Args:
        sizes: The rank, and the shape of the update.
    """
    rank, out, *rest = sizes
    ones = (1,) * (len(rest) - 1)
    return {
        name + endings[0]: pair.planned("down", dtype, (rank, *rest)),
        name + endings[1]: pair.planned("up", dtype, (out, rank, *ones)),
    }


def _is_peft(module: AdaptedModule) -> bool:
    return module.convention == "peft"


def _has_alpha(module: AdaptedModule) -> bool:
    """Return whether the new factors of a module have an alpha."""
    return "alpha" in module.tensors if "up" in module.tensors else not _is_peft(module)


def require_no_config(out: Path, modules: Iterable[AdaptedModule]) -> None:
    """Refuse a place where PEFT's configuration would scale factors without alphas again.

    Raises:
        AlgebraError: `config_exists`.
    """
    if config_beside(out) is not None and not all(map(_has_alpha, modules)):
        message = (
            f"The {CONFIG_NAME} beside {out} would be applied to the new file, "
            "whose factors have their scale already. Choose another folder."
        )
        raise AlgebraError(message, code="config_exists")


def _unscaled(new: NewFactors) -> Factors:
    up, down, scale = new.compute()
    return Factors(up if scale == 1 else up * scale, down, 1.0)


def bytes_per_rank(file: WeightFile, module: FactorModule, dtype: str | None) -> int:
    """Return the size of one column of `up` and one row of `down`."""
    bits = 0
    for role, count in (("up", module.out), ("down", module.fan_in)):
        bits += count * DTYPE_BITS[dtype or file.tensors[module.tensors[role]].dtype]
    return bits // 8


class FactorPair:
    """Both factors of a module, computed at the first use and forgotten after the second."""

    def __init__(self, module: str, compute: Callable[[], Factors]) -> None:
        self._module = module
        self._compute = compute
        self._kept: dict[str, Matrix] = {}

    def planned(self, role: str, dtype: str, shape: tuple[int, ...]) -> PlannedTensor:
        """Plan the factor `up` or `down`."""
        return PlannedTensor(dtype, shape, partial(self._take, role, dtype, shape))

    def _take(self, role: str, dtype: str, shape: tuple[int, ...]) -> Array:
        if not self._kept:
            up, down, _ = self._compute()
            self._kept = {"up": up, "down": down}
        return cast(self._kept.pop(role), dtype, self._module).reshape(shape)


_LARGEST = {
    "F64": float(np.finfo(np.float64).max),
    "F32": float(np.finfo(np.float32).max),
    "F16": 65_504.0,
    "BF16": float.fromhex("0x1.fep127"),
    "F8_E5M2": 57_344.0,
    "F8_E4M3": 448.0,
    "F8_E5M2FNUZ": 57_344.0,
    "F8_E4M3FNUZ": 240.0,
}
"""Number format to its largest number."""


def stored_dtype(dtype: str | None) -> str | None:
    """Return the name of a wanted number format in safetensors; None for none.

    Args:
        dtype: A word of `DTYPES`, or safetensors' name for it.

    Raises:
        AlgebraError: `dtype_unsupported`; results cannot have it.
    """
    if dtype is None:
        return None
    word = word_of(dtype)
    if word not in DTYPES:
        listed = ", ".join(f"{word} ({name})" for word, name in DTYPES.items())
        message = f"The number format of a result must be one of {listed}, not {dtype!r}."
        raise AlgebraError(message, code="dtype_unsupported")
    return DTYPES[word]


def cast(matrix: Matrix, dtype: str, module: str) -> Array:
    """Return numbers in a format.

    Raises:
        AlgebraError: `overflow` or `not_finite`.
    """
    most = _LARGEST[dtype]
    # Not a number is not within the limits, either.
    if matrix.size and not (matrix.max() <= most and matrix.min() >= -most):
        is_input = not np.isfinite(matrix).all()
        what = "numbers that are not finite" if is_input else f"numbers too large for {dtype}"
        message = f"The module “{clean(module)}” has {what}."
        code = "not_finite" if is_input else "overflow"
        raise AlgebraError(message, code=code, module=module, dtype=dtype)
    found: Array = matrix.astype(NUMPY_DTYPES[dtype])
    return found


def planned_alpha(value: float, dtype: str, shape: tuple[int, ...]) -> PlannedTensor:
    """Plan an alpha in its format; in F32 if that one can't express it exactly."""
    with np.errstate(over="ignore", invalid="ignore"):
        stored = np.asarray(value).astype(NUMPY_DTYPES[dtype])
        near = float(np.float32(value))  # alpha / rank · rank is not alpha for some ranks
    if float(stored) not in {value, near}:
        dtype, stored = "F32", np.asarray(value, NUMPY_DTYPES["F32"])
    return PlannedTensor(dtype, shape, lambda: stored.reshape(shape))
