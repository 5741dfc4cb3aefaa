"""What each algorithm makes of a weight: ``ΔW(W, strength)``, in float32.

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

LyCORIS' strength is that of the modules' ``forward``; its ``merge_to`` counts α/r of LoHa and LoKr
twice. DoRA of every kind has PEFT's strength, which is inside the norm. LyCORIS' own goes from
``W + Δ`` at 0 to the whole update at 1, so that a sweep would have no way back to the base. At 1
all of them agree.

Source: LyCORIS 4.1 ``lycoris/modules``; PEFT 0.21 ``peft/tuners``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from previews.render.adapters.rotations import oft, peft_boft, peft_oft
from previews.render.errors import CannotRender, Why

if TYPE_CHECKING:
    from torch import Tensor

    from previews.render.adapters.base_modules import Slot
    from previews.render.adapters.module_tensors import Pieces

__all__ = ["Delta", "Update", "part_of", "update_of"]

#: From the base's weight (or bias) and a strength to what is added to it, on the weight's device.
Delta = Callable[["Tensor", float], "Tensor"]
#: ΔW at strength 1 of an algorithm that does not look at W.
Dense = Callable[["torch.device"], "Tensor"]


@dataclass(frozen=True, slots=True)
class Update:
    """What a file adds to a module of the base.

    ``mixes_rows`` says that a row of ΔW depends on other rows of W, so that it cannot be had for
    a part of a fused module alone.
    """

    weight: Delta | None = None
    bias: Delta | None = None
    mixes_rows: bool = False


class _Misfit(Exception):
    """ΔW has another shape than W."""


def update_of(algorithm: str, pieces: Pieces) -> Update:
    """Return the update of a module, tried on the shape of the base's weight.

    Raises:
        CannotRender: parts that fit neither each other nor the base.
    """
    slot = pieces.slot
    if algorithm not in ("full", "norm") and not slot.is_layer:
        msg = f"The base's module is no layer that this method can change: {pieces.name[:120]}"
        raise CannotRender(Why.SHAPE, msg)
    update = _BUILDERS[algorithm](pieces)
    if update.weight is not None:
        _try(update.weight, pieces)
    return update


def part_of(update: Update, whole: Slot, rows: slice, name: str) -> Update:
    """Return some rows of the update of a fused module, for the base's module that has them.

    Raises:
        CannotRender: each row of the update depends on rows of other modules.
    """
    if update.mixes_rows:
        msg = f"This file turns several modules of the base as if they were one: {name[:120]}"
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


def _try(delta: Delta, pieces: Pieces) -> None:
    shape = pieces.slot.shape
    try:
        delta(torch.empty(shape, device="meta"), 1.0)
    except _Misfit as error:
        msg = (
            f"This file was made for another base model: {pieces.name[:120]} is {error}, "
            f"the base's module is {shape}."
        )
        raise CannotRender(Why.SHAPE, msg) from error
    except (RuntimeError, IndexError) as error:
        msg = f"The parts of a module do not fit each other: {pieces.name[:120]}"
        raise CannotRender(Why.SHAPE, msg) from error


def _fitted(value: Tensor, like: Tensor) -> Tensor:
    """Return ``value`` in the shape of ``like``; only the last dimensions may be flattened."""
    if value.shape[:1] != like.shape[:1] or value.numel() != like.numel():
        raise _Misfit(str(tuple(value.shape)))
    return value.reshape(like.shape)


def _added(dense: Dense) -> Delta:
    return lambda weight, strength: strength * _fitted(dense(weight.device), weight)


def _constant(value: Tensor) -> Delta:
    return _added(lambda device: value.to(device).float())


def _bias(pieces: Pieces, part: str) -> Tensor:
    if not pieces.slot.bias_size:
        msg = f"The base's module has no bias that this file could change: {pieces.name[:120]}"
        raise CannotRender(Why.SHAPE, msg)
    return pieces.fit(part, pieces.slot.bias_size)


# --- Low-rank updates, and DoRA of them --------------------------------------------------------


def _lora(pieces: Pieces) -> Update:
    down, up, mid = pieces.tensors["down"], pieces.tensors["up"], pieces.tensors.get("mid")
    rank = down.shape[0] if down.ndim else 0
    if up.ndim < 2 or up.numel() != up.shape[0] * rank or not rank:
        msg = f"The two halves of a module do not fit each other: {pieces.name[:120]}"
        raise CannotRender(Why.SHAPE, msg)
    scale = pieces.scale(rank)
    high = up.flatten(1) if mid is None else up.flatten(1).mT

    def dense(device: torch.device) -> Tensor:
        return scale * _product(high, down.flatten(1), mid, device)

    return _decomposed(pieces, dense, _lora_bias(pieces, scale))


def _lora_bias(pieces: Pieces, scale: float) -> Delta | None:
    factors = {"up_bias": scale, "diff_b": 1.0}
    found = [_bias(pieces, part) * factors[part] for part in factors if part in pieces]
    return _constant(torch.stack(found).sum(0)) if found else None


def _product(high: Tensor, low: Tensor, core: Tensor | None, device: torch.device) -> Tensor:
    """Return ``high @ low`` in float32; around a core (Tucker form) ``high`` is transposed.

    Factors are kept as they are stored, which mostly takes half the memory.
    """
    high, low = high.to(device).float(), low.to(device).float()
    if core is None:
        return high @ low
    if core.shape[:2] != (len(high), len(low)):
        raise _Misfit(str((tuple(high.shape), tuple(core.shape), tuple(low.shape))))
    return torch.einsum("ij...,ip,jr->pr...", core.to(device).float(), high, low)


def _loha(pieces: Pieces) -> Update:
    halves = [
        (
            pieces.tensors[f"hada_w{half}_a"],
            pieces.tensors[f"hada_w{half}_b"],
            pieces.tensors.get(f"hada_t{half}"),
        )
        for half in (1, 2)
    ]
    scale = pieces.scale(len(pieces["hada_w1_b"]))

    def dense(device: torch.device) -> Tensor:
        first, second = (
            _product(high, low if core is not None else low.flatten(1), core, device)
            for high, low, core in halves
        )
        if first.shape != second.shape:
            raise _Misfit(str((tuple(first.shape), tuple(second.shape))))
        return scale * first * second

    return _decomposed(pieces, dense)


def _lokr(pieces: Pieces) -> Update:
    scale = _lokr_scale(pieces)

    def dense(device: torch.device) -> Tensor:
        first, second = (_lokr_half(pieces, half, device).flatten(1) for half in ("w1", "w2"))
        return scale * torch.kron(first, second)

    return _decomposed(pieces, dense)


def _lokr_half(pieces: Pieces, half: str, device: torch.device) -> Tensor:
    whole = pieces.get(f"lokr_{half}")
    if whole is not None:
        return whole.to(device)
    core = pieces.get("lokr_t2") if half == "w2" else None
    low = pieces[f"lokr_{half}_b"]
    return _product(
        pieces[f"lokr_{half}_a"], low if core is not None else low.flatten(1), core, device
    )


def _lokr_scale(pieces: Pieces) -> float:
    """Return α/r. Where nothing is of low rank LyCORIS ignores α, and PEFT's r is in its config."""
    low = pieces.get("lokr_w2_b", pieces.get("lokr_w1_b"))
    if low is not None:
        return pieces.scale(len(low))
    said = None if "alpha" in pieces else pieces.rank_said()
    return pieces.scale(said) if said else 1.0


def _decomposed(pieces: Pieces, dense: Dense, bias: Delta | None = None) -> Update:
    """Return the update as it is, or brought to the magnitudes of DoRA."""
    found = _magnitude(pieces)
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


def _magnitude(pieces: Pieces) -> tuple[Tensor, int] | None:
    """Return DoRA's magnitudes, and the axis along which they are counted.

    PEFT has rows only. LyCORIS and OneTrainer write ``(out, 1)`` for rows, ``(1, in)`` for columns.
    """
    if "magnitude" in pieces:
        return pieces.fit("magnitude", pieces.slot.shape[0]), 0
    value = pieces.get("dora_scale")
    if value is None:
        return None
    rows, columns = pieces.slot.shape[:2]
    if value.ndim > 1 and value.shape[:2] == (1, columns):
        return pieces.fit("dora_scale", columns), 1
    return pieces.fit("dora_scale", rows), 0


# --- Updates that depend on the weight ---------------------------------------------------------


def _glora(pieces: Pieces) -> Update:
    a1, a2, b1, b2 = (pieces[part].flatten(1) for part in ("a1", "a2", "b1", "b2"))
    rows, columns = pieces.slot.shape[:2]
    if (len(b1), len(a1)) != (rows, columns) and (len(b2), len(a2)) == (rows, columns):
        a1, a2, b1, b2 = a2, a1, b2, b1  # as LyCORIS had them before 2.0
    scale = pieces.scale(len(a2))

    def delta(weight: Tensor, strength: float) -> Tensor:
        high, low, up, down = (part.to(weight.device) for part in (a1, a2, b1, b2))
        if (len(high), low.shape[1]) != (columns, columns):
            raise _Misfit(str((tuple(high.shape), tuple(low.shape))))
        turned = torch.einsum("oi...,ij->oj...", weight, high @ low)
        return strength * scale * (turned + _fitted(up @ down, weight))

    return Update(delta)


def _ia3(pieces: Pieces) -> Update:
    axis = 1 if float(pieces["on_input"]) else 0
    return Update(_along(pieces.fit("vector", pieces.slot.shape[axis]), axis))


def _along(factor: Tensor, axis: int) -> Delta:
    def delta(weight: Tensor, strength: float) -> Tensor:
        shape = [1] * weight.ndim
        shape[axis] = -1
        return strength * weight * factor.to(weight.device).reshape(shape)

    return delta


def _peft_ia3(pieces: Pieces) -> Update:
    axis = _peft_ia3_axis(pieces)
    factor = pieces.fit("ia3_l", pieces.slot.shape[axis]) - 1
    bias = _along(factor, 0) if axis == 0 and pieces.slot.bias_size else None
    return Update(_along(factor, axis), bias)


def _peft_ia3_axis(pieces: Pieces) -> int:
    """Return the axis of W that is scaled.

    ``(1, in)`` and ``(out, 1)`` of linear layers say it; convolutions have ``(1, channels, 1, 1)``
    both ways, and the configuration names those that are scaled on their input.
    """
    shape, slot = pieces["ia3_l"].shape, pieces.slot
    if not slot.is_conv:
        return 1 if len(shape) == 2 and shape[0] == 1 else 0
    if slot.shape[0] != slot.shape[1]:
        return 1 if pieces["ia3_l"].numel() == slot.shape[1] else 0
    ends = pieces.config.get("feedforward_modules") or ()
    return int(any(slot.name == end or slot.name.endswith(f".{end}") for end in ends))


def _full(pieces: Pieces) -> Update:
    weight, bias = (
        next((part for part in parts if part in pieces), None)
        for parts in (("diff", "w_norm"), ("diff_b", "b_norm"))
    )
    return Update(
        _constant(pieces.tensors[weight]) if weight else None,
        _constant(_bias(pieces, bias)) if bias else None,
    )


_BUILDERS: dict[str, Callable[[Pieces], Update]] = {
    "lora": _lora,
    "loha": _loha,
    "lokr": _lokr,
    "glora": _glora,
    "ia3": _ia3,
    "peft_ia3": _peft_ia3,
    "full": _full,
    "norm": _full,
    "oft": lambda pieces: Update(oft(pieces), mixes_rows=True),
    "peft_oft": lambda pieces: Update(peft_oft(pieces)),
    "peft_boft": lambda pieces: Update(peft_boft(pieces)),
}
