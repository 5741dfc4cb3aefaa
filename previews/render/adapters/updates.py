"""The update of each method: ``ΔW(W, strength)``, in float32.

```
lora    ΔW = s · α/r · B A                    down, up; mid between them (Tucker)
loha    ΔW = s · α/r · (B₁A₁ ∘ B₂A₂)          hada_*
lokr    ΔW = s · α/r · w₁ ⊗ w₂                lokr_*; without α/r when both halves are whole
glora   ΔW = s · α/r · (W a₁a₂ + b₁b₂)        a1, a2, b1, b2
ia3     ΔW = s · W ∘ v                        weight, on_input (LyCORIS: v is the difference)
        ΔW = s · W ∘ (v − 1)                  ia3_l (PEFT: v is the factor, also of the bias)
full    ΔW = s · diff, Δb = s · diff_b        also w_norm and b_norm of norm layers
oft     see ``rotations.py``
DoRA    ΔW = (W + s Δ) m / ‖W + s Δ‖ − W      of lora, loha and lokr; norm by rows or by columns
```

For LyCORIS, the strength is that of the modules' ``forward``; its ``merge_to`` applies α/r of LoHa
and LoKr twice. DoRA uses PEFT's strength, which is inside the norm. LyCORIS' own strength of DoRA
gives ``W + Δ`` at 0 instead of the base. At 1 all of them agree.

Source: LyCORIS 4.1 ``lycoris/modules``; PEFT 0.21 ``peft/tuners``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from previews.render.adapters.rotations import oft, peft_boft, peft_oft
from previews.render.errors import CannotRender, Why

if TYPE_CHECKING:
    from torch import Tensor

    from previews.render.adapters.base_modules import BaseModule
    from previews.render.adapters.module_tensors import ModuleTensors

#: Maps the base's weight or bias and a strength to the addend, on the weight's device.
Delta = Callable[["Tensor", float], "Tensor"]
#: Returns ΔW at strength 1 for a method that does not depend on W.
Dense = Callable[["torch.device"], "Tensor"]
#: Returns B ``(out, rank)`` and A ``(rank, in)`` of ΔW = s · B A, in float32.
Factors = Callable[["torch.device"], "tuple[Tensor, Tensor]"]


@dataclass(frozen=True, slots=True)
class Update:
    """What a file adds to a module of the base.

    If ``mixes_rows``, a row of ΔW depends on other rows of W, so that it cannot be computed for a
    part of a fused module. ``factors`` are those of ``weight``, for plain low-rank pairs.
    """

    weight: Delta | None = None
    bias: Delta | None = None
    mixes_rows: bool = False
    factors: Factors | None = None


def is_finite(tensor: Tensor) -> bool:
    """Return whether all numbers are finite, in one pass: both extremes of a NaN are NaN."""
    return not tensor.numel() or bool(torch.isfinite(torch.stack(torch.aminmax(tensor))).all())


class _Misfit(Exception):
    """ΔW and W have different shapes."""


def update_of(algorithm: str, module: ModuleTensors) -> Update:
    """Return the update of a module, after a trial with the shape of the base's weight.

    Raises:
        CannotRender: the parts do not fit each other or the base.
    """
    slot = module.slot
    if algorithm not in ("full", "norm") and not slot.is_layer:
        msg = f"This method cannot change the base's module: {module.name[:120]}"
        raise CannotRender(Why.SHAPE, msg)
    update = _BUILDERS[algorithm](module)
    if update.weight is not None:
        _try(update.weight, module)
    return update


def part_of(update: Update, whole: BaseModule, rows: slice, name: str) -> Update:
    """Return the rows of a fused module's update that belong to one module of the base.

    Raises:
        CannotRender: they depend on rows of other modules.
    """
    if update.mixes_rows:
        msg = f"This file changes several modules of the base as if they were one: {name[:120]}"
        raise CannotRender(Why.ALGORITHM, msg)

    def part(delta: Delta | None) -> Delta | None:
        if delta is None:
            return None

        def rows_of(weight: Tensor, strength: float) -> Tensor:
            around = weight.new_zeros(whole.shape[0], *weight.shape[1:])
            around[rows] = weight
            return delta(around, strength)[rows]

        return rows_of

    return Update(part(update.weight), part(update.bias))


def _try(delta: Delta, module: ModuleTensors) -> None:
    shape = module.slot.shape
    try:
        delta(torch.empty(shape, device="meta"), 1.0)
    except _Misfit as error:
        msg = (
            f"This file was made for another base model: {module.name[:120]} is {error}, "
            f"the base's module is {shape}."
        )
        raise CannotRender(Why.SHAPE, msg) from error
    except (RuntimeError, IndexError) as error:
        msg = f"The parts of a module do not fit each other: {module.name[:120]}"
        raise CannotRender(Why.SHAPE, msg) from error


def _fitted(value: Tensor, like: Tensor) -> Tensor:
    """Return ``value`` in the shape of ``like``; dimensions after the first may be flattened."""
    if value.shape[:1] != like.shape[:1] or value.numel() != like.numel():
        raise _Misfit(str(tuple(value.shape)))
    return value.reshape(like.shape)


def _added(dense: Dense) -> Delta:
    return lambda weight, strength: strength * _fitted(dense(weight.device), weight)


def _constant(value: Tensor) -> Delta:
    return _added(lambda device: value.to(device).float())


def _bias(module: ModuleTensors, part: str) -> Tensor:
    if not module.slot.bias_size:
        msg = f"The base's module has no bias that this file could change: {module.name[:120]}"
        raise CannotRender(Why.SHAPE, msg)
    return module.fit(part, module.slot.bias_size)


# --- Low-rank updates, and DoRA of them --------------------------------------------------------


def _lora(module: ModuleTensors) -> Update:
    down, up, mid = module.tensors["down"], module.tensors["up"], module.tensors.get("mid")
    rank = down.shape[0] if down.ndim else 0
    if up.ndim < 2 or up.numel() != up.shape[0] * rank or not rank:
        msg = f"The two halves of a module do not fit each other: {module.name[:120]}"
        raise CannotRender(Why.SHAPE, msg)
    scale = module.scale(rank)
    high = up.flatten(1) if mid is None else up.flatten(1).mT

    def dense(device: torch.device) -> Tensor:
        return scale * _product(high, down.flatten(1), mid, device)

    def factors(device: torch.device) -> tuple[Tensor, Tensor]:
        return scale * up.flatten(1).to(device).float(), down.flatten(1).to(device).float()

    update = _decomposed(module, dense, _lora_bias(module, scale))
    is_plain = mid is None and _magnitude(module) is None
    return replace(update, factors=factors) if is_plain else update


def _lora_bias(module: ModuleTensors, scale: float) -> Delta | None:
    factors = {"up_bias": scale, "diff_b": 1.0}
    found = [_bias(module, part) * factors[part] for part in factors if part in module]
    return _constant(torch.stack(found).sum(0)) if found else None


def _product(high: Tensor, low: Tensor, core: Tensor | None, device: torch.device) -> Tensor:
    """Return ``high @ low`` in float32; with a core (Tucker form) ``high`` is transposed.

    Factors keep the stored type until then, which usually halves the memory.
    """
    high, low = high.to(device).float(), low.to(device).float()
    if core is None:
        return high @ low
    if core.shape[:2] != (len(high), len(low)):
        raise _Misfit(str((tuple(high.shape), tuple(core.shape), tuple(low.shape))))
    return torch.einsum("ij...,ip,jr->pr...", core.to(device).float(), high, low)


def _loha(module: ModuleTensors) -> Update:
    halves = [
        (
            module.tensors[f"hada_w{half}_a"],
            module.tensors[f"hada_w{half}_b"],
            module.tensors.get(f"hada_t{half}"),
        )
        for half in (1, 2)
    ]
    scale = module.scale(len(module["hada_w1_b"]))

    def dense(device: torch.device) -> Tensor:
        first, second = (
            _product(high, low if core is not None else low.flatten(1), core, device)
            for high, low, core in halves
        )
        if first.shape != second.shape:
            raise _Misfit(str((tuple(first.shape), tuple(second.shape))))
        return scale * first * second

    return _decomposed(module, dense)


def _lokr(module: ModuleTensors) -> Update:
    scale = _lokr_scale(module)

    def dense(device: torch.device) -> Tensor:
        first, second = (_lokr_half(module, half, device).flatten(1) for half in ("w1", "w2"))
        return scale * torch.kron(first, second)

    return _decomposed(module, dense)


def _lokr_half(module: ModuleTensors, half: str, device: torch.device) -> Tensor:
    whole = module.get(f"lokr_{half}")
    if whole is not None:
        return whole.to(device)
    core = module.get("lokr_t2") if half == "w2" else None
    low = module[f"lokr_{half}_b"]
    return _product(
        module[f"lokr_{half}_a"], low if core is not None else low.flatten(1), core, device
    )


def _lokr_scale(module: ModuleTensors) -> float:
    """Return α/r. LyCORIS ignores α if both halves are whole; PEFT's r is in its configuration."""
    low = module.get("lokr_w2_b", module.get("lokr_w1_b"))
    if low is not None:
        return module.scale(len(low))
    rank = None if "alpha" in module else module.configured_rank()
    return module.scale(rank) if rank else 1.0


def _decomposed(module: ModuleTensors, dense: Dense, bias: Delta | None = None) -> Update:
    """Return the update, with the magnitudes of DoRA if the file has them."""
    found = _magnitude(module)
    if found is None:
        return Update(_added(dense), bias)
    magnitude, axis = found

    def delta(weight: Tensor, strength: float) -> Tensor:
        total = weight + strength * _fitted(dense(weight.device), weight)
        others = [other for other in range(weight.ndim) if other != axis]
        length = torch.linalg.vector_norm(total, dim=others, keepdim=True)
        wanted = magnitude.to(weight.device).reshape(length.shape)
        result: Tensor = total * (wanted / (length + torch.finfo(length.dtype).eps)) - weight
        return result

    return Update(delta, bias, mixes_rows=axis == 1)


def _magnitude(module: ModuleTensors) -> tuple[Tensor, int] | None:
    """Return DoRA's magnitudes and their axis.

    PEFT stores them for rows, LyCORIS and OneTrainer as ``(out, 1)`` or ``(1, in)``.
    """
    if "magnitude" in module:
        return module.fit("magnitude", module.slot.shape[0]), 0
    value = module.get("dora_scale")
    if value is None:
        return None
    rows, columns = module.slot.shape[:2]
    if value.ndim > 1 and value.shape[:2] == (1, columns):
        return module.fit("dora_scale", columns), 1
    return module.fit("dora_scale", rows), 0


# --- Updates that depend on the weight ---------------------------------------------------------


def _glora(module: ModuleTensors) -> Update:
    a1, a2, b1, b2 = (module[part].flatten(1) for part in ("a1", "a2", "b1", "b2"))
    rows, columns = module.slot.shape[:2]
    if (len(b1), len(a1)) != (rows, columns) and (len(b2), len(a2)) == (rows, columns):
        a1, a2, b1, b2 = a2, a1, b2, b1  # the order of LyCORIS before 2.0
    scale = module.scale(len(a2))

    def delta(weight: Tensor, strength: float) -> Tensor:
        high, low, up, down = (part.to(weight.device) for part in (a1, a2, b1, b2))
        if (len(high), low.shape[1]) != (columns, columns):
            raise _Misfit(str((tuple(high.shape), tuple(low.shape))))
        turned = torch.einsum("oi...,ij->oj...", weight, high @ low)
        return strength * scale * (turned + _fitted(up @ down, weight))

    return Update(delta)


def _ia3(module: ModuleTensors) -> Update:
    axis = 1 if float(module["on_input"]) else 0
    return Update(_along(module.fit("vector", module.slot.shape[axis]), axis))


def _along(factor: Tensor, axis: int) -> Delta:
    def delta(weight: Tensor, strength: float) -> Tensor:
        shape = [1] * weight.ndim
        shape[axis] = -1
        return strength * weight * factor.to(weight.device).reshape(shape)

    return delta


def _peft_ia3(module: ModuleTensors) -> Update:
    axis = _peft_ia3_axis(module)
    factor = module.fit("ia3_l", module.slot.shape[axis]) - 1
    bias = _along(factor, 0) if axis == 0 and module.slot.bias_size else None
    return Update(_along(factor, axis), bias)


def _peft_ia3_axis(module: ModuleTensors) -> int:
    """Return the axis of W that is scaled.

    Linear layers have ``(1, in)`` or ``(out, 1)``. Convolutions have ``(1, channels, 1, 1)``; the
    configuration lists those that are scaled on their input.
    """
    shape, slot = module["ia3_l"].shape, module.slot
    if not slot.is_conv:
        return 1 if len(shape) == 2 and shape[0] == 1 else 0
    if slot.shape[0] != slot.shape[1]:
        return 1 if module["ia3_l"].numel() == slot.shape[1] else 0
    ends = module.config.get("feedforward_modules") or ()
    return int(any(slot.name == end or slot.name.endswith(f".{end}") for end in ends))


def _full(module: ModuleTensors) -> Update:
    weight, bias = (
        next((part for part in parts if part in module), None)
        for parts in (("diff", "w_norm"), ("diff_b", "b_norm"))
    )
    return Update(
        _constant(module.tensors[weight]) if weight else None,
        _constant(_bias(module, bias)) if bias else None,
    )


_BUILDERS: dict[str, Callable[[ModuleTensors], Update]] = {
    "lora": _lora,
    "loha": _loha,
    "lokr": _lokr,
    "glora": _glora,
    "ia3": _ia3,
    "peft_ia3": _peft_ia3,
    "full": _full,
    "norm": _full,
    "oft": lambda module: Update(oft(module), mixes_rows=True),
    "peft_oft": lambda module: Update(peft_oft(module)),
    "peft_boft": lambda module: Update(peft_boft(module)),
}
