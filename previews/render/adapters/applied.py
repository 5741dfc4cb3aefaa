"""Applies a stack of adapters to a pipeline, sets its strength, and removes it again.

The weights of the base are changed in place, ``W + Σ ΔW(strength)``. Each ΔW is computed from the
original weight in float32, and the sum is rounded once to the base's type. This costs nothing in
the steps of the pipeline and works for all methods, and the order of adapters does not matter.

Weights of quantised layers cannot be changed in place; see ``beside.py``.

The original weights are kept in the base's type until strength 0 or ``MountedStack.restore`` puts
the same bytes back: on the graphics card if there is room, or else in main memory. A change itself
takes three more copies of one weight in float32, one weight after the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from previews.render.adapters.beside import BesideLayer, is_quantized
from previews.render.adapters.normalise import normalise, read
from previews.render.adapters.updates import Delta, Update, is_finite
from previews.render.bases.libraries import quiet
from previews.render.bases.pipelines import has_room
from previews.render.errors import CannotRender, Why
from previews.render.recipe import Layer

if TYPE_CHECKING:
    from torch import Tensor, nn

    from previews.render.adapters.base_modules import BaseModule, Table


@dataclass(slots=True)
class _ChangedTensor:
    """A tensor of the base, what the stack adds to it, and its original while it is changed."""

    path: str
    module: nn.Module
    name: str
    deltas: list[tuple[float, Delta]]
    original: Tensor | None = None

    @property
    def tensor(self) -> Tensor:
        """The tensor of the base.

        With sequential offloading the module has a placeholder, and accelerate's hook has the
        values.
        """
        held: Tensor = getattr(self.module, self.name).data
        if held.is_meta:
            hook: Any = self.module._hf_hook  # noqa: SLF001 - accelerate has no public access
            found: Tensor = hook.weights_map[self.name]
            return found
        return held

    def set_strength(self, strength: float, *, on_device: bool) -> None:
        """Write the changed tensor.

        Args:
            on_device: Keep the original on the tensor's device, not in main memory.

        Raises:
            CannotRender: the sum is not finite in the base's type.
        """
        active = [(weight * strength, delta) for weight, delta in self.deltas if weight * strength]
        tensor = self.tensor
        if not active:
            self.restore()
            return
        if self.original is None:
            self.original = tensor.clone() if on_device else tensor.to("cpu", copy=True)
        original = self.original.to(tensor.device).float()
        result = original.clone()
        for factor, delta in active:
            result += delta(original, factor)
        rounded = result.to(tensor.dtype)
        if not is_finite(rounded):
            msg = f"With this file, weights of the base are no longer finite: {self.path[:120]}"
            raise CannotRender(Why.NUMBERS, msg)
        tensor.copy_(rounded)

    def free_device_memory(self) -> bool:
        """Move the original to main memory; return whether it was on the device."""
        if self.original is None or self.original.device.type == "cpu":
            return False
        self.original = self.original.to("cpu")
        return True

    def restore(self) -> None:
        """Restore the original."""
        if self.original is not None:
            self.tensor.copy_(self.original)
            self.original = None


class MountedStack:
    """The adapters of a stack on a pipeline."""

    def __init__(
        self,
        pipeline: Any,  # noqa: ANN401 - diffusers is untyped
        adapters: Sequence[Mapping[BaseModule, Update]],
        weights: Sequence[float],
    ) -> None:
        self._tensors: dict[tuple[BaseModule, str], _ChangedTensor] = {}
        self._beside: dict[BaseModule, BesideLayer] = {}
        self._strength: float | None = 0.0  # None: a change was interrupted
        self._is_memory_short = False
        for updates, weight in zip(adapters, weights, strict=True):
            for slot, update in updates.items():
                module = getattr(pipeline, slot.component).get_submodule(slot.name)
                self._add(slot, module, weight, update)

    def _add(self, slot: BaseModule, module: nn.Module, weight: float, update: Update) -> None:
        """Add an update of a module, with the weight of its adapter.

        Raises:
            CannotRender: the module is quantised and not a linear layer.
        """
        for name, delta in (("weight", update.weight), ("bias", update.bias)):
            if delta is None:
                continue
            if not is_quantized(module, name):
                new = _ChangedTensor(f"{slot.path}.{name}", module, name, [])
                self._tensors.setdefault((slot, name), new).deltas.append((weight, delta))
            elif name == "weight":
                new_layer = BesideLayer(slot, module)
                self._beside.setdefault(slot, new_layer).updates.append((weight, update))
            else:
                msg = f"The base's bias is quantised: {slot.path}"
                raise CannotRender(Why.QUANTIZED, msg)

    @property
    def is_unchanged(self) -> bool:
        """Whether the pipeline has the original weights."""
        is_plain = all(one.original is None for one in self._tensors.values())
        return is_plain and not any(layer.is_active for layer in self._beside.values())

    def set_strength(self, strength: float) -> None:
        """Apply every adapter with its own weight times ``strength``; 0 restores the base.

        Raises:
            CannotRender: weights overflow.
        """
        if strength == self._strength:
            return
        if strength == 0:
            self.restore()
            return
        self._strength = None
        on_device = self._has_room_on_device()
        with torch.no_grad():
            for one in self._tensors.values():
                one.set_strength(strength, on_device=on_device)
            for layer in self._beside.values():
                layer.set_strength(strength)
        self._strength = strength

    def free_device_memory(self) -> bool:
        """Keep originals in main memory from now on; return whether any were on the device."""
        self._is_memory_short = True
        moved = [one.free_device_memory() for one in self._tensors.values()]
        return any(moved)

    def _has_room_on_device(self) -> bool:
        """Return whether the graphics card of the weights has room for the originals."""
        tensors = [one.tensor for one in self._tensors.values()]
        on_card = [tensor for tensor in tensors if not tensor.is_cpu]
        if self._is_memory_short or not on_card:
            return False
        return has_room(on_card[0].device, sum(tensor.nbytes for tensor in on_card))

    def restore(self) -> None:
        """Restore all originals, whatever happened before."""
        self._strength = 0.0
        for layer in self._beside.values():
            layer.restore()
        with torch.no_grad():
            # Backwards: if two entries share their bytes, the first has the original.
            for one in reversed(self._tensors.values()):
                one.restore()


def mount(pipeline: Any, table: Table, stack: Sequence[Layer]) -> MountedStack:  # noqa: ANN401
    """Read a stack and check it against the base, which is not changed yet.

    Raises:
        CannotRender: a file cannot be read or does not fit.
    """
    knows_names = not hasattr(pipeline, "unet") and hasattr(pipeline, "lora_state_dict")

    def convert(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        with quiet():
            result = pipeline.lora_state_dict(tensors)
        return dict(result[0] if isinstance(result, tuple) else result)

    adapters = [
        normalise(
            read(layer.path, layer.config),
            table.into(layer.part),
            convert if knows_names else None,
        )
        for layer in stack
    ]
    return MountedStack(pipeline, adapters, [layer.weight for layer in stack])
