"""Sizes of a base module, worked out from the shapes of the tensors that adapt it.

An adapted linear or convolution module has a weight of `(out, in, *kernel)`. Every algorithm
factors it differently; what all of them give away is `out` and the fan-in `in x kernel area`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

from lorary.safetensors import TensorInfo

__all__ = ["Dims", "measure"]

Roles = Mapping[str, TensorInfo]


class Dims(NamedTuple):
    """Sizes that a module's tensors prove.

    Attributes:
        out: Rows of the base weight, None when the tensors do not tell.
        fan_in: Columns of the flattened base weight, None when the tensors do not tell.
        rank: Inner size of the factors, None where there is none.
        is_conv: The base weight has a kernel larger than one.
        is_broken: Two factors disagree about the inner size.
    """

    out: int | None
    fan_in: int | None
    rank: int | None
    is_conv: bool = False
    is_broken: bool = False


_UNKNOWN = Dims(None, None, None)


def measure(roles: Roles) -> Dims:
    """Work out the base module's sizes.

    Args:
        roles: Role to tensor of one module.

    Returns:
        The sizes; fields are None where the tensors do not tell or have no usable shape.
    """
    if "down" in roles and "up" in roles and "mid" not in roles:
        # Nearly every module of nearly every file: two matrices.
        down, up = roles["down"].shape, roles["up"].shape
        if len(down) == 2 == len(up):
            return tuple.__new__(Dims, (up[0], down[1], down[0], False, up[1] != down[0]))
    for role, rule in _RULES:
        if role in roles:
            return rule(roles)
    return _UNKNOWN


def _pair(roles: Roles) -> Dims:
    """LoRA: down `(r, in, *k)`, up `(out, r, 1, 1)`, optional mid `(r, r, *k)`."""
    down = roles["down"].shape if "down" in roles else ()
    up = roles["up"].shape if "up" in roles else ()
    mid = roles["mid"].shape if "mid" in roles else ()
    rank = down[0] if down else (up[1] if len(up) > 1 else None)
    fan_in = math.prod(down[1:]) if len(down) > 1 else None
    kernel = down[2:]
    if len(mid) > 2:
        kernel = mid[2:]
        fan_in = None if fan_in is None else fan_in * math.prod(kernel)
    out = up[0] if len(up) > 1 else None
    is_broken = len(up) > 1 and bool(down) and up[1] != down[0]
    return Dims(out, fan_in, rank, math.prod(kernel) > 1, is_broken)


def _embedding(roles: Roles) -> Dims:
    """LoRA on an embedding `(vocabulary, width)`: A `(r, vocabulary)`, B `(width, r)`."""
    down = roles["embedding_down"].shape
    up = roles["embedding_up"].shape if "embedding_up" in roles else ()
    if len(down) != 2:
        return _UNKNOWN
    is_broken = len(up) == 2 and up[1] != down[0]
    return Dims(down[1], up[0] if len(up) == 2 else None, down[0], is_broken=is_broken)


def _loha(roles: Roles) -> Dims:
    """LoHa: a `(out, r)`, b `(r, in x k)`; with a Tucker core a `(r, out)`, b `(r, in)`."""
    first = roles["hada_w1_a"].shape
    second = roles["hada_w1_b"].shape if "hada_w1_b" in roles else ()
    if len(first) != 2 or len(second) != 2:
        return _UNKNOWN
    core = roles["hada_t1"].shape if "hada_t1" in roles else ()
    if len(core) > 2:
        area = math.prod(core[2:])
        return Dims(first[1], second[1] * area, first[0], area > 1, first[0] != second[0])
    return Dims(first[0], second[1], first[1], is_broken=first[1] != second[0])


def _lokr(roles: Roles) -> Dims:
    """LoKr: the weight is the Kronecker product of w1 and w2, each whole or in two factors."""
    left = _kronecker_factor(roles, "lokr_w1")
    right = _kronecker_factor(roles, "lokr_w2")
    if left is None or right is None:
        return _UNKNOWN
    rank = right.rank if right.rank is not None else left.rank
    out = None if left.out is None or right.out is None else left.out * right.out
    wide = None if left.fan_in is None or right.fan_in is None else left.fan_in * right.fan_in
    return Dims(out, wide, rank, right.is_conv, left.is_broken or right.is_broken)


def _kronecker_factor(roles: Roles, name: str) -> Dims | None:
    if name in roles:
        shape = roles[name].shape
        if len(shape) < 2:
            return None
        return Dims(shape[0], math.prod(shape[1:]), None, math.prod(shape[2:]) > 1)
    if f"{name}_a" not in roles or f"{name}_b" not in roles:
        return None
    first, second = roles[f"{name}_a"].shape, roles[f"{name}_b"].shape
    if len(first) < 2 or len(second) < 2:
        return None
    core = roles["lokr_t2"].shape if name == "lokr_w2" and "lokr_t2" in roles else ()
    if len(core) > 2:
        area = math.prod(core[2:])
        return Dims(first[1], second[1] * area, second[0], area > 1, first[0] != second[0])
    return Dims(first[0], math.prod(second[1:]), second[0], is_broken=first[1] != second[0])


def _full(roles: Roles) -> Dims:
    """Full difference: the weight's own shape."""
    shape = roles["diff"].shape
    if len(shape) < 2:
        return _UNKNOWN
    return Dims(shape[0], math.prod(shape[1:]), None, math.prod(shape[2:]) > 1)


def _oft(roles: Roles) -> Dims:
    """OFT: blocks `(n, b, b)` turn the `n x b` outputs; BOFT: `(m, n, b, b)`."""
    shape = roles["oft_blocks"].shape
    out = shape[-3] * shape[-2] if len(shape) in {3, 4} else None
    return Dims(out, None, None)


def _glora(roles: Roles) -> Dims:
    """GLoRA: b1 `(out, r)`, a2 `(r, in)`."""
    wide = roles["glora_a2"].shape if "glora_a2" in roles else ()
    tall = roles["glora_b1"].shape if "glora_b1" in roles else ()
    rank = wide[0] if len(wide) > 1 else None
    return Dims(tall[0] if len(tall) > 1 else None, None, rank)


_RULES: tuple[tuple[str, Callable[[Roles], Dims]], ...] = (
    ("down", _pair),
    ("up", _pair),
    ("hada_w1_a", _loha),
    ("lokr_w1", _lokr),
    ("lokr_w1_a", _lokr),
    ("diff", _full),
    ("oft_blocks", _oft),
    ("glora_a2", _glora),
    ("embedding_down", _embedding),
)
