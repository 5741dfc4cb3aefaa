"""Adapters beside quantised layers.

Packed weights cannot be changed in place. What an adapter adds is computed from the layer's input
and added to its output, and the layer stays as it is:

    y = Q(x) + ΔW x        any method, with ΔW as a whole matrix in the type of x
    y = Q(x) + s B (A x)   plain low-rank pairs, without the matrix

Methods that depend on W (DoRA, OFT, (IA)³, GLoRA) get the weight that the layer computes with: its
columns are the outputs for unit vectors, whatever the library. The sums differ from those of a
changed weight only in rounding. At strength 0 nothing is added.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional

from previews.render.adapters.updates import Update, is_finite
from previews.render.errors import CannotRender, Why

if TYPE_CHECKING:
    from torch import Tensor
    from torch.utils.hooks import RemovableHandle

    from previews.render.adapters.base_modules import BaseModule

#: Unit vectors for which a layer is computed at once.
_AT_ONCE = 1024


def is_quantized(module: nn.Module, name: str) -> bool:
    """Return whether a weight or bias is packed: of a class of its library, or of whole numbers."""
    return is_packed(getattr(module, name))


def is_packed(held: Tensor) -> bool:
    """Return whether a tensor is of a class of its library, or of whole numbers."""
    return type(held) not in (nn.Parameter, torch.Tensor) or not held.is_floating_point()


def type_of(module: nn.Module) -> torch.dtype:
    """Return the number format that a quantised layer computes in."""
    given: Any = getattr(module, "compute_dtype", None)
    candidates = (given, *(getattr(held, "dtype", None) for held in (module.weight, module.bias)))
    return next((one for one in candidates if one and one.is_floating_point), torch.float32)


@dataclass(slots=True)
class BesideLayer:
    """A quantised layer, with what the stack adds to its output.

    Raises:
        CannotRender: the layer is not linear.
    """

    slot: BaseModule
    module: Any
    updates: list[tuple[float, Update]] = field(default_factory=list)
    _matrices: list[tuple[Tensor, ...]] = field(default_factory=list)
    _handle: RemovableHandle | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.module, nn.Linear):
            msg = f"The base's layer is quantised and not linear: {self.slot.path}"
            raise CannotRender(Why.QUANTIZED, msg)

    @property
    def is_active(self) -> bool:
        """Whether something is added."""
        return self._handle is not None

    def set_strength(self, strength: float) -> None:
        """Add the updates with their own weights times ``strength``.

        Raises:
            CannotRender: numbers are not finite in the type of the layer.
        """
        active = [(weight * strength, one) for weight, one in self.updates if weight * strength]
        self.restore()
        if not active:
            return
        dtype = type_of(self.module)
        matrices = [tuple(one.to(dtype) for one in each) for each in self._terms(active)]
        if not all(is_finite(one) for each in matrices for one in each):
            msg = f"With this file, weights are no longer finite: {self.slot.path[:120]}"
            raise CannotRender(Why.NUMBERS, msg)
        self._matrices = matrices
        self._handle = self.module.register_forward_hook(self._add)

    def restore(self) -> None:
        """Add nothing any more."""
        if self._handle is not None:
            self._handle.remove()
        self._handle, self._matrices = None, []

    def _terms(self, active: list[tuple[float, Update]]) -> Iterator[tuple[Tensor, ...]]:
        """Yield (A, B) of all low-rank pairs together, and (ΔW,) of all other updates."""
        device = self.module.weight.device
        pairs = [(factor, one.factors(device)) for factor, one in active if one.factors]
        if pairs:
            ups, downs = zip(*((factor * up, down) for factor, (up, down) in pairs), strict=True)
            yield torch.cat(downs), torch.cat(ups, dim=1)
        others = [(factor, one.weight) for factor, one in active if one.weight and not one.factors]
        if others:
            weight = self._weight()
            total = torch.zeros_like(weight)
            for factor, delta in others:
                total += delta(weight, factor)
            yield (total,)

    def _weight(self) -> Tensor:
        """Return the weight that the layer computes with, ``(out, in)`` in float32."""
        layer, bias = self.module, self.module.bias
        one = torch.eye(layer.in_features, dtype=type_of(layer), device=layer.weight.device)
        layer.bias = None  # adding it would round the weight
        try:
            columns = [layer(part).float() for part in torch.split(one, _AT_ONCE)]
        finally:
            layer.bias = bias
        return torch.cat(columns).mT.contiguous()

    def _add(self, _module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        x = inputs[0]
        # Offloaded layers come to the device only for their call.
        self._matrices = [
            tuple(one.to(x.device, x.dtype) for one in each) for each in self._matrices
        ]
        for each in self._matrices:
            added = x
            for matrix in each:
                added = functional.linear(added, matrix)
            output = output + added.to(output.dtype)
        return output
