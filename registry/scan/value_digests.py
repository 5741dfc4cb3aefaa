"""Digests of what weights do: the same for a copy in another number format.

Of each tensor at most ``MAX_VALUES`` numbers count, spread evenly over it. They are cast to fp16
for one digest and to bf16 for the other. Weights that were trained in fp32 share the first with
their fp16 copy and the second with their bf16 copy. A copy in fp16 and one in bf16 that were both
made from fp32 share neither: each has lost digits that the other has.

What scales a module counts too: its alpha, or the one that diffusers reads from the metadata,
divided by the rank. Names of modules and the order of tensors do not count. The adapter's
configuration in a file beside the weights does not either.
"""

from __future__ import annotations

import math
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from blake3 import blake3

from lorary.anatomy.claims.config import embedded_configs
from lorary.anatomy.modules.alphas import alpha_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from lorary.anatomy.claims.config import AdapterConfig
    from lorary.safetensors import Header, TensorInfo

    Floats = NDArray[np.float32]

__all__ = ["MAX_VALUES", "Values"]

#: Numbers of a tensor that count.
MAX_VALUES = 16_384

_STORED = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}
#: Tensors whose first dimension is the rank of their module.
_RANKED = ("down", "embedding_down", "hada_w1_b", "hada_w2_b", "lokr_w1_b", "lokr_w2_b")


class _Tensor(NamedTuple):
    """What counts of one tensor: the digests of its numbers as fp16 and as bf16."""

    module: str
    role: str
    shape: tuple[int, ...]
    half: bytes
    brain: bytes


class Values:
    """Takes tensors one after the other: ``begin``, ``take`` until the end of one, ``close``."""

    def __init__(self, header: Header) -> None:
        self._configs = embedded_configs(header.metadata)
        self._tensors: list[_Tensor] = []
        self._alphas: dict[str, float] = {}

    def begin(self, info: TensorInfo, module: str, role: str) -> None:
        """Go on to a tensor of this module with this role, "" where it has none."""
        self._module, self._role, self._shape = module, role, _bare(info.shape)
        self._dtype, self._at = info.dtype, 0
        self._step = _step(math.prod(info.shape))
        form = f"{role} {list(self._shape)} "
        if self._dtype not in _STORED:
            form = f"{self._dtype} {form}"
        self._digests = blake3(form.encode()), blake3(form.encode())
        self._last = 0.0

    def take(self, piece: memoryview) -> None:
        """Take the bytes that follow; they cut no number."""
        stored = _STORED.get(self._dtype)
        if stored is None:  # fp8 and whole numbers are compared as they are stored
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
        """Note what counts of the tensor."""
        if self._role == "alpha":
            self._alphas[self._module] = self._last
            return
        half, brain = (digest.digest() for digest in self._digests)
        row = _Tensor(self._module, self._role, self._shape, half, brain)
        self._tensors.append(row)

    def told(self) -> dict[str, str]:
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
    """Return a shape without the ones at its end: a layer may be written as a convolution."""
    sides = list(shape)
    while sides and sides[-1] == 1:
        sides.pop()
    return tuple(sides)


def _step(count: int) -> int:
    """Return an odd distance, which no even width of a matrix repeats."""
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
    """Return bf16 numbers as their bits, rounded to the nearest, halves to the even one."""
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
    """Return what a module is multiplied with, as text; its alpha where the rank is not known."""
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
