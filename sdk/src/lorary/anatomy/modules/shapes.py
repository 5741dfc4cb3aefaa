"""Computes the size of a base module from the shapes of the tensors that adapt it.

An adapted linear or convolution module has a weight of `(out, in, *kernel)`. Every algorithm
factors it differently; most show `out`, the fan-in `in x kernel area`, and the inner size of the
factors. Shapes are untrusted: a tensor may have any number of dimensions.

Sources: LyCORIS 4.1 and PEFT 0.21, whose layers write these tensors.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

from lorary.safetensors import TensorInfo

Roles = Mapping[str, TensorInfo]
Shape = tuple[int, ...]


class Dims(NamedTuple):
    """Sizes that a module's tensors prove; None where they don't show a size."""

    out: int | None  # rows of the base weight
    fan_in: int | None  # columns of the flattened base weight
    rank: int | None  # inner size of the factors
    is_conv: bool = False  # the base weight has a kernel larger than one
    is_broken: bool = False  # two factors have different inner sizes


_UNKNOWN = Dims(None, None, None)


def measure(roles: Roles) -> Dims:
    """Return the base module's sizes, by the roles and tensors of a module."""
    if "down" in roles and "up" in roles and "mid" not in roles and "singular" not in roles:
        # Nearly all modules are two matrices.
        down, up = roles["down"].shape, roles["up"].shape
        if len(down) == 2 == len(up):
            return tuple.__new__(Dims, (up[0], down[1], down[0], False, up[1] != down[0]))
    for role in roles:
        rule = RULES.get(role)
        if rule is not None:
            return rule(roles)
    return _UNKNOWN


def _shape(roles: Roles, name: str, dimensions: int = 0) -> Shape:
    """Return the shape of a role's tensor; () if it is absent or has fewer dimensions."""
    shape = roles[name].shape if name in roles else ()
    return shape if len(shape) >= dimensions else ()


def _factors(roles: Roles, down_name: str, up_name: str) -> Dims:
    """Two factors: down `(r, in, *k)` and up `(out, r, 1, 1)`."""
    down, up = _shape(roles, down_name), _shape(roles, up_name, 2)
    rank = down[0] if down else (up[1] if up else None)
    fan_in = math.prod(down[1:]) if len(down) > 1 else None
    is_broken = bool(up) and bool(down) and up[1] != down[0]
    return Dims(up[0] if up else None, fan_in, rank, math.prod(down[2:]) > 1, is_broken)


def _pair(roles: Roles) -> Dims:
    """LoRA, perhaps with a Tucker core `(r, r, *k)`.

    XLabs' single blocks adapt only some rows or columns of a module, so one size stays unknown.
    AdaLoRA's factors have the initial rank; the pruned part of it shows only in the values.
    """
    if "part_up" in roles:
        up = _shape(roles, "part_up", 2)
        half = _factors(roles, "down", "part_up")
        return half._replace(out=None, is_broken=half.is_broken and bool(up))
    if "part_down" in roles:
        return _factors(roles, "part_down", "up")._replace(fan_in=None)
    found = _factors(roles, "down", "up")
    core = _shape(roles, "mid", 3)
    if core:
        area = math.prod(core[2:])
        fan_in = None if found.fan_in is None else found.fan_in * area
        return found._replace(fan_in=fan_in, is_conv=area > 1)
    return found._replace(rank=None) if "singular" in roles else found


def _embedding(roles: Roles) -> Dims:
    """LoRA on an embedding `(vocabulary, width)`: A `(r, vocabulary)`, B `(width, r)`."""
    down, up = _shape(roles, "embedding_down", 2), _shape(roles, "embedding_up", 2)
    if len(down) != 2:
        return _UNKNOWN
    is_broken = bool(up) and up[1] != down[0]
    return Dims(down[1], up[0] if up else None, down[0], is_broken=is_broken)


def _loha(roles: Roles) -> Dims:
    """LoHa: a `(out, r)`, b `(r, in x k)`; with a Tucker core a `(r, out)`, b `(r, in)`."""
    first, second = _shape(roles, "hada_w1_a"), _shape(roles, "hada_w1_b")
    if len(first) != 2 or len(second) != 2:
        return _UNKNOWN
    return _product(first, second, _shape(roles, "hada_t1", 3))


def _product(first: Shape, second: Shape, core: Shape) -> Dims:
    """Two factors a `(out, r)`, b `(r, in, *k)`; with a Tucker core `(r, r, *k)` a `(r, out)`."""
    if core:
        area = math.prod(core[2:])
        return Dims(first[1], second[1] * area, second[0], area > 1, first[0] != second[0])
    return Dims(first[0], math.prod(second[1:]), second[0], is_broken=first[1] != second[0])


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
    whole = _shape(roles, name, 2)
    if name in roles:
        is_conv = math.prod(whole[2:]) > 1
        return Dims(whole[0], math.prod(whole[1:]), None, is_conv) if whole else None
    first, second = _shape(roles, f"{name}_a", 2), _shape(roles, f"{name}_b", 2)
    if not first or not second:
        return None
    return _product(first, second, _shape(roles, "lokr_t2", 3) if name == "lokr_w2" else ())


def _full(roles: Roles) -> Dims:
    """Full difference: the weight's own shape."""
    shape = _shape(roles, "diff", 2)
    if not shape:
        return _UNKNOWN
    return Dims(shape[0], math.prod(shape[1:]), None, math.prod(shape[2:]) > 1)


def _oft(roles: Roles) -> Dims:
    """LyCORIS' OFT: blocks `(n, b, b)` rotate the `n x b` outputs; BOFT: `(m, n, b, b)`.

    OFT's setting is the block size b. BOFT's setting is only an upper bound.
    """
    shape = _shape(roles, "oft_blocks" if "oft_blocks" in roles else "oft_diag", 3)
    if len(shape) == 3:
        return Dims(shape[0] * shape[1], None, shape[1])
    return Dims(shape[1] * shape[2], None, None) if len(shape) == 4 else _UNKNOWN


def _oft_peft(roles: Roles) -> Dims:
    """PEFT's OFT: `(n, b(b-1)/2)` rotates the `n x b` inputs; all may share one block."""
    shape = _shape(roles, "oft_r", 2)
    if len(shape) != 2 or shape[0] < 2:
        return _UNKNOWN
    size = _side(shape[1])
    return _UNKNOWN if size is None else Dims(None, shape[0] * size, None)


def _side(triangle: int) -> int | None:
    """Return the side b of a skew-symmetric matrix with b(b-1)/2 numbers above its diagonal."""
    if triangle < 1:
        return None
    side = (1 + math.isqrt(1 + 8 * triangle)) // 2
    return side if side * (side - 1) // 2 == triangle else None


def _boft_peft(roles: Roles) -> Dims:
    """PEFT's BOFT: R `(m, n, b, b)` rotates the inputs, s `(out, 1)` or `(1, out)` scales."""
    blocks, scale = _shape(roles, "boft_r"), _shape(roles, "boft_s", 1)
    fan_in = blocks[1] * blocks[2] if len(blocks) == 4 else None
    return Dims(math.prod(scale) if scale else None, fan_in, None)


def _ia3(roles: Roles) -> Dims:
    """PEFT's (IA)³: `(out, 1)` scales outputs, `(1, in)` inputs of feed-forward layers."""
    shape = _shape(roles, "ia3_l")
    if len(shape) != 2 or 1 not in shape:
        return _UNKNOWN
    return Dims(shape[0], None, None) if shape[1] == 1 else Dims(None, shape[1], None)


def _glora(roles: Roles) -> Dims:
    """LyCORIS' GLoRA: b1 `(out, r)`, b2 `(r, in)`, and a1, a2 on the input's side."""
    return _factors(roles, "glora_b2", "glora_b1")


def _glora_peft(roles: Roles) -> Dims:
    """PEFT's GLoRA: Xd `(out, r)`, Xu `(r, in)`."""
    return _factors(roles, "glora_A.Xu", "glora_A.Xd")


def _tlora(roles: Roles) -> Dims:
    """T-LoRA: q `(r, in)` and p `(out, r)`; for a convolution q is one of 1 x 1, whatever it is."""
    found = _factors(roles, "tlora_q", "tlora_p")
    return found._replace(fan_in=None) if len(_shape(roles, "tlora_q")) > 2 else found


def _gralora(roles: Roles) -> Dims:
    """GraLoRA: A `(k, in/k, r)`, B `(k, r, out/k)`."""
    first, second = _shape(roles, "gralora_A"), _shape(roles, "gralora_B")
    if len(first) != 3:
        return _UNKNOWN
    out = second[0] * second[2] if len(second) == 3 else None
    is_broken = len(second) == 3 and second[1] != first[2]
    return Dims(out, first[0] * first[1], first[2], is_broken=is_broken)


def _poly(roles: Roles) -> Dims:
    """Poly: A `(splits, skills, in/splits, r)`, B `(splits, skills, r, out/splits)`."""
    first, second = _shape(roles, "poly_lora_A"), _shape(roles, "poly_lora_B")
    if len(first) != 4:
        return _UNKNOWN
    out = second[0] * second[3] if len(second) == 4 else None
    is_broken = len(second) == 4 and second[2] != first[3]
    return Dims(out, first[0] * first[2], first[3], is_broken=is_broken)


def _vera(roles: Roles) -> Dims:
    """VeRA: b `(out)`, d `(r)`."""
    rows, inner = _shape(roles, "vera_lambda_b", 1), _shape(roles, "vera_lambda_d", 1)
    return Dims(rows[0] if len(rows) == 1 else None, None, inner[0] if len(inner) == 1 else None)


def _pvera(roles: Roles) -> Dims:
    """PVeRA: b `(out)`, d `(2r)`: mean and spread."""
    rows, inner = _shape(roles, "pvera_lambda_b", 1), _shape(roles, "pvera_lambda_d", 1)
    rank = inner[0] // 2 if len(inner) == 1 else None
    return Dims(rows[0] if len(rows) == 1 else None, None, rank)


def _hra(roles: Roles) -> Dims:
    """HRA: r Householder vectors of the input, `(in x k, r)`."""
    shape = _shape(roles, "hra_u")
    return Dims(None, shape[0], shape[1]) if len(shape) == 2 else _UNKNOWN


def _miss(roles: Roles) -> Dims:
    """MiSS: `(r, out)` or `(r, mini)`, which look the same; variant Bat: `(out/r, r, r)`."""
    shape = _shape(roles, "miss_block" if "miss_block" in roles else "bone_block", 2)
    if len(shape) == 3:
        return Dims(shape[0] * shape[1], None, shape[2])
    return Dims(None, None, shape[0]) if len(shape) == 2 else _UNKNOWN


def _randlora(roles: Roles) -> Dims:
    """RandLoRA: lambda `(r, bases)`, gamma `(bases, min(in, out))`."""
    shape = _shape(roles, "randlora_lambda", 2)
    return Dims(None, None, shape[0]) if shape else _UNKNOWN


def _vblora(roles: Roles) -> Dims:
    """VB-LoRA: logits of A `(r, in/length, vectors)`, or only the best of them."""
    name = "vblora_logits_A" if "vblora_logits_A" in roles else "vblora_logits_A_topk_indices"
    shape = _shape(roles, name, 3)
    return Dims(None, None, shape[0]) if shape else _UNKNOWN


def _psoft(roles: Roles) -> Dims:
    """PSOFT: a rotation of an r-dimensional subspace, with vectors `(r)` beside it."""
    vector = _shape(roles, "psoft_R.vector_a") or _shape(roles, "psoft_R.vector_b")
    if len(vector) == 1:
        return Dims(None, None, vector[0])
    shape = _shape(roles, "psoft_R")
    if len(shape) == 2:
        return Dims(None, None, shape[0])
    return Dims(None, None, _side(shape[0])) if len(shape) == 1 else _UNKNOWN


def _c3a(roles: Roles) -> Dims:
    """C3A: circular kernels `(out/b, in/b, b)`."""
    shape = _shape(roles, "c3a_kernel")
    return Dims(shape[0] * shape[2], shape[1] * shape[2], None) if len(shape) == 3 else _UNKNOWN


def _osf(roles: Roles) -> Dims:
    """OSF: the lower part of the weight's decomposition, U `(out, n)` and V `(n, in)`."""
    found = _factors(roles, "osf_svd_params.V_low", "osf_svd_params.U_low")
    return found._replace(rank=None)


def _of(down: str, up: str) -> Callable[[Roles], Dims]:
    return lambda roles: _factors(roles, down, up)


RULES: Mapping[str, Callable[[Roles], Dims]] = {
    "down": _pair,
    "up": _pair,
    "part_up": _pair,
    "part_down": _pair,
    "hada_w1_a": _loha,
    "hada_w1_b": _loha,
    "lokr_w1": _lokr,
    "lokr_w1_a": _lokr,
    "lokr_w2": _lokr,
    "lokr_w2_a": _lokr,
    "diff": _full,
    "oft_blocks": _oft,
    "oft_diag": _oft,
    "oft_r": _oft_peft,
    "boft_r": _boft_peft,
    "boft_s": _boft_peft,
    "ia3_l": _ia3,
    "glora_b1": _glora,
    "glora_b2": _glora,
    "glora_A.Xd": _glora_peft,
    "glora_A.Xu": _glora_peft,
    "embedding_down": _embedding,
    "tlora_q": _tlora,
    "tlora_p": _tlora,
    "gralora_A": _gralora,
    "poly_lora_A": _poly,
    "vera_lambda_b": _vera,
    "vera_lambda_d": _vera,
    "pvera_lambda_b": _pvera,
    "pvera_lambda_d": _pvera,
    "hra_u": _hra,
    "miss_block": _miss,
    "bone_block": _miss,
    "randlora_lambda": _randlora,
    "vblora_logits_A": _vblora,
    "vblora_logits_A_topk_indices": _vblora,
    "psoft_R": _psoft,
    "psoft_R.vector_a": _psoft,
    "psoft_R.vector_b": _psoft,
    "c3a_kernel": _c3a,
    "osf_svd_params.U_low": _osf,
    "osf_svd_params.V_low": _osf,
    "hira_A": _of("hira_A", "hira_B"),
    "delora_A": _of("delora_A", "delora_B"),
    "deft_P": _of("deft_R", "deft_P"),
    "peanut_A": _of("peanut_A", "peanut_B"),
    "supertuning_lora_A": _of("supertuning_lora_A", "supertuning_lora_B"),
    "tinylora_A": _of("tinylora_A", "tinylora_B"),
}
"""Role to rule. The first role of a module that has a rule decides."""
