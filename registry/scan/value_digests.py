"""Digests of the values of weights: equal for a copy in another number format.

At most ``MAX_VALUES`` values of each tensor count, spread evenly over it. They are cast to fp16 for
one digest and to bf16 for the other. Weights in fp32 share the first with their fp16 copy and the
second with their bf16 copy. An fp16 and a bf16 copy of the same weights share neither, because each
has lost digits that the other has.

The scale of a module also counts: its alpha, or the one that diffusers reads from the metadata,
divided by the rank. Names of modules, the order of tensors and the adapter's configuration in a
separate file don't count.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from blake3 import blake3

from lorary.anatomy.claims.config import AdapterConfig, embedded_configs
from lorary.anatomy.modules.alphas import alpha_of
from lorary.safetensors import Header, TensorInfo

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

#: Maximum number of values of a tensor that count.
MAX_VALUES = 16_384

_STORED = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}
#: Tensors whose first dimension is the rank of their module.
_RANKED = ("down", "embedding_down", "hada_w1_b", "hada_w2_b", "lokr_w1_b", "lokr_w2_b")


class _Tensor(NamedTuple):
    """A tensor and the digests of its values as fp16 and as bf16."""

    module: str
    role: str
    shape: tuple[int, ...]
    half: bytes
    brain: bytes


class Values:
    """Takes tensors one by one: ``begin``, ``take`` for its bytes, ``close``."""

    def __init__(self, header: Header) -> None:
        self._configs = embedded_configs(header.metadata)
        self._tensors: list[_Tensor] = []
        self._alphas: dict[str, float] = {}

    def begin(self, info: TensorInfo, module: str, role: str) -> None:
        """Start a tensor of this module with this role, "" without one."""
        self._module, self._role, self._shape = module, role, _bare(info.shape)
        self._dtype, self._at = info.dtype, 0
        self._step = _step(math.prod(info.shape))
        form = f"{role} {list(self._shape)} "
        if self._dtype not in _STORED:
            form = f"{self._dtype} {form}"
        self._digests = blake3(form.encode()), blake3(form.encode())
        self._last = 0.0

    def take(self, piece: memoryview) -> None:
        """Add the next bytes, which don't split a number."""
        stored = _STORED.get(self._dtype)
        if stored is None:  # fp8 and integers are compared as stored
            for digest in self._digests:
                digest.update(piece)
            return
        numbers = np.frombuffer(piece, dtype=stored)
        chosen = numbers[-self._at % self._step :: self._step]
        self._at += len(numbers)
        if not len(chosen):
            return
        values = _floats(chosen)
        self._last = float(values[-1])
        for digest, cast in zip(self._digests, (_as_half, _as_brain), strict=True):
            digest.update(cast(values).tobytes())

    def close(self) -> None:
        """Record the digests of the tensor."""
        if self._role == "alpha":
            self._alphas[self._module] = self._last
            return
        half, brain = (digest.digest() for digest in self._digests)
        row = _Tensor(self._module, self._role, self._shape, half, brain)
        self._tensors.append(row)

    def results(self) -> dict[str, str]:
        """Return kind → digest."""
        modules: defaultdict[str, list[_Tensor]] = defaultdict(list)
        for tensor in self._tensors:
            modules[tensor.module].append(tensor)
        return {
            "weights_f16": self._digest(modules, _as_half, lambda tensor: tensor.half),
            "weights_bf16": self._digest(modules, _as_brain, lambda tensor: tensor.brain),
        }

    def _digest(
        self,
        modules: Mapping[str, Sequence[_Tensor]],
        cast: Callable[[Floats], NDArray[np.generic]],
        of: Callable[[_Tensor], bytes],
    ) -> str:
        found = []
        for name, tensors in modules.items():
            scale = _scale(name, tensors, self._alphas.get(name), self._configs, cast)
            found.append(blake3(b"".join([*sorted(map(of, tensors)), scale.encode()])).digest())
        return blake3(b"".join(sorted(found))).hexdigest()


def _bare(shape: Iterable[int]) -> tuple[int, ...]:
    """Return a shape without trailing ones: a linear layer may be stored as a convolution."""
    sides = list(shape)
    while sides and sides[-1] == 1:
        sides.pop()
    return tuple(sides)


def _step(count: int) -> int:
    """Return an odd distance, which the even width of a matrix doesn't repeat."""
    return -(-count // MAX_VALUES) | 1


def _floats(numbers: NDArray[np.generic]) -> Floats:
    if numbers.dtype == np.uint16:  # bf16 is the upper half of fp32
        return (numbers.astype(np.uint32) << np.uint32(16)).view(np.float32)
    with np.errstate(over="ignore"):
        return numbers.astype(np.float32)


def _as_half(values: Floats) -> NDArray[np.generic]:
    with np.errstate(over="ignore"):
        return values.astype(np.float16)


def _as_brain(values: Floats) -> NDArray[np.generic]:
    """Return bf16 values as their bits, rounded to nearest, ties to even."""
    bits = values.view(np.uint32)
    odd = (bits >> np.uint32(16)) & np.uint32(1)
    return ((bits + (np.uint32(0x7FFF) + odd)) >> np.uint32(16)).astype(np.uint16)


def _scale(
    name: str,
    tensors: Iterable[_Tensor],
    alpha: float | None,
    configs: Sequence[AdapterConfig],
    cast: Callable[[Floats], NDArray[np.generic]],
) -> str:
    """Return the scale of a module as text, or its alpha if the rank is unknown."""
    shapes = {tensor.role: tensor.shape for tensor in tensors}
    if "lokr_w1" in shapes and "lokr_w2" in shapes:  # two whole matrices have no rank
        return "1"
    is_rslora = False
    if alpha is None:
        alpha, is_rslora = alpha_of(name, configs)
    if alpha is None:
        return "1"
    ranks = (
        shape[0] if shape else 1 for role in _RANKED if (shape := shapes.get(role)) is not None
    )
    rank = next(ranks, 0)
    cut = cast(np.array([alpha], dtype=np.float32))
    value = float(_floats(cut)[0])
    return (
        f"{value / (math.sqrt(rank) if is_rslora else rank):.6g}" if rank else f"alpha {value:.6g}"
    )
