"""Adapters on a pipeline: written into its weights, dialled, and taken off again.

The weights of the base are changed in place, ``W + Σ ΔW(strength)``, each ΔW computed from the
untouched weight in float32 and the sum rounded once to the base's type. That costs nothing at a
step of the pipeline, takes any algorithm, and adapters of a stack do not depend on their order.

What is changed is kept once, in the base's own type, until strength 0 or ``Rack.restore`` puts the
same bytes back: where the weights are if there is room on the card, else in main memory. A change
itself takes three more copies of one weight in float32, one weight after the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from previews.render.adapters.normalise import normalise, read
from previews.render.bases.libraries import quiet
from previews.render.bases.memory_fallbacks import has_room
from previews.render.errors import CannotRender, Why

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor, nn

    from previews.render.adapters.base_modules import Slot, Table
    from previews.render.adapters.normalise import Normal
    from previews.render.adapters.updates import Delta
    from previews.render.recipe import Layer

__all__ = ["Rack", "mount"]


@dataclass(slots=True)
class _Place:
    """A tensor of the base, what the stack adds to it, and its bytes while it is changed."""

    path: str
    module: nn.Module
    name: str
    deltas: list[tuple[float, Delta]]
    kept: Tensor | None = None

    @property
    def tensor(self) -> Tensor:
        """The tensor that the base computes with, wherever offloading has put it.

        With sequential offloading a module holds a placeholder, and the hook has the numbers.
        """
        held: Tensor = getattr(self.module, self.name).data
        if held.is_meta:
            hook: Any = self.module._hf_hook  # noqa: SLF001 - accelerate has no verb for it
            found: Tensor = hook.weights_map[self.name]
            return found
        return held

    def write(self, strength: float, *, beside: bool) -> None:
        """Put in what a strength means.

        Args:
            strength: Of the stack.
            beside: Keep the base's bytes on the weight's device, not in main memory.

        Raises:
            CannotRender: the sum is no finite number in the base's type.
        """
        active = [(weight * strength, delta) for weight, delta in self.deltas if weight * strength]
        tensor = self.tensor
        if not active:
            self.restore()
            return
        if self.kept is None:
            self.kept = tensor.clone() if beside else tensor.to("cpu", copy=True)
        plain = self.kept.to(tensor.device).float()
        result = plain.clone()
        for factor, delta in active:
            result += delta(plain, factor)
        rounded = result.to(tensor.dtype)
        if not torch.isfinite(rounded).all():
            msg = f"With this file, weights of the base are no longer finite: {self.path[:120]}"
            raise CannotRender(Why.NUMBERS, msg)
        tensor.copy_(rounded)

    def make_room(self) -> bool:
        """Take the base's bytes into main memory; returns whether that moved anything."""
        if self.kept is None or self.kept.device.type == "cpu":
            return False
        self.kept = self.kept.to("cpu")
        return True

    def restore(self) -> None:
        """Put the base's own bytes back."""
        if self.kept is not None:
            self.tensor.copy_(self.kept)
            self.kept = None


class Rack:
    """The adapters of one stack on one pipeline, dialled together."""

    def __init__(self, pipeline: Any, normals: Sequence[Normal], weights: Sequence[float]) -> None:  # noqa: ANN401
        self._places: dict[tuple[Slot, str], _Place] = {}
        self._strength: float | None = 0.0  # None: somewhere between two
        self._is_short = False
        for normal, weight in zip(normals, weights, strict=True):
            for slot, update in normal.updates.items():
                for name, delta in (("weight", update.weight), ("bias", update.bias)):
                    if delta is not None:
                        self._place(pipeline, slot, name).deltas.append((weight, delta))

    @property
    def is_plain(self) -> bool:
        """Whether the pipeline is the base alone."""
        return all(place.kept is None for place in self._places.values())

    def dial(self, strength: float) -> None:
        """Set every adapter to its own weight times ``strength``; at 0 the base is as it was.

        Raises:
            CannotRender: weights that overflow.
        """
        if strength == self._strength:
            return
        if strength == 0:
            self.restore()
            return
        self._strength = None
        beside = self._fits_beside()
        with torch.no_grad():
            for place in self._places.values():
                place.write(strength, beside=beside)
        self._strength = strength

    def make_room(self) -> bool:
        """Keep the base's bytes in main memory from now on; returns whether any were elsewhere."""
        self._is_short = True
        moved = [place.make_room() for place in self._places.values()]
        return any(moved)

    def _fits_beside(self) -> bool:
        """Return whether the card that the weights are on has room for what is kept of them."""
        tensors = [place.tensor for place in self._places.values()]
        on_card = [tensor for tensor in tensors if not tensor.is_cpu]
        if self._is_short or not on_card:
            return False
        return has_room(on_card[0].device, sum(tensor.nbytes for tensor in on_card))

    def restore(self) -> None:
        """Put the base's own bytes back, whatever happened before."""
        self._strength = 0.0
        with torch.no_grad():
            # Backwards: of two places that share their bytes, the first has the base's own.
            for place in reversed(self._places.values()):
                place.restore()

    def _place(self, pipeline: Any, slot: Slot, name: str) -> _Place:  # noqa: ANN401
        if (slot, name) not in self._places:
            module = getattr(pipeline, slot.component).get_submodule(slot.name)
            self._places[slot, name] = _Place(f"{slot.path}.{name}", module, name, [])
        return self._places[slot, name]


def mount(pipeline: Any, table: Table, stack: Sequence[Layer]) -> Rack:  # noqa: ANN401
    """Read a stack and check it against the base, which is not changed before it is dialled.

    Raises:
        CannotRender: a file cannot be read or does not fit.
    """
    knows_names = not hasattr(pipeline, "unet") and hasattr(pipeline, "lora_state_dict")
    convert = _converter(pipeline) if knows_names else None
    normals = [
        normalise(read(layer.path, layer.config), table.into(layer.part), convert)
        for layer in stack
    ]
    return Rack(pipeline, normals, [layer.weight for layer in stack])


def _converter(pipeline: Any) -> Any:  # noqa: ANN401
    def convert(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        with quiet():
            result = pipeline.lora_state_dict(tensors)
        return dict(result[0] if isinstance(result, tuple) else result)

    return convert
