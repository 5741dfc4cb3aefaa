"""Random updates by every method of LyCORIS, and what they make of a weight, written out in numpy.

Each builder returns the parts of one module as the library saves them, and a function from the
base's weight, flat as ``(out, in · k · k)``, and a strength to the changed weight. The arithmetic
is sums, loops and whole matrices, unlike the renderer's.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors.torch import save_file

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

Array = np.ndarray[Any, np.dtype[np.float64]]
Parts = dict[str, Array]
Shape = tuple[int, ...]
Oracle = Callable[[Array, float], Array]
Builder = Callable[[np.random.Generator, Shape], tuple[Parts, Oracle]]

#: Rank of the low-rank methods, and alpha.
RANK, ALPHA = 3, 2.0


@dataclass(frozen=True)
class Change:
    """One module's update: parts for the file, and the oracle."""

    component: str
    name: str
    parts: Parts
    oracle: Oracle


def _added(delta: Array) -> Oracle:
    return lambda weight, strength: weight + strength * delta


def _outer(high: Array, low: Array) -> Array:
    """A matrix product as a sum of outer products."""
    return sum(
        (np.outer(high[:, index], low[index]) for index in range(high.shape[1])),
        np.zeros((high.shape[0], low.shape[1])),
    )


def _flat(shape: Shape) -> tuple[int, int]:
    return shape[0], math.prod(shape[1:])


def loha(random: np.random.Generator, shape: Shape) -> tuple[Parts, Oracle]:
    rows, columns = _flat(shape)
    draw = random.standard_normal
    a1, b1 = draw((rows, RANK)) * 0.4, draw((RANK, columns)) * 0.4
    a2, b2 = draw((rows, RANK)), draw((RANK, columns))
    delta = ALPHA / RANK * _outer(a1, b1) * _outer(a2, b2)
    parts = {"hada_w1_a": a1, "hada_w1_b": b1, "hada_w2_a": a2, "hada_w2_b": b2}
    return parts | {"alpha": np.array(ALPHA)}, _added(delta)


def loha_tucker(random: np.random.Generator, shape: Shape) -> tuple[Parts, Oracle]:
    if len(shape) == 2:
        return loha(random, shape)
    rows, columns, *kernel = shape
    draw, halves, parts = random.standard_normal, [], {"alpha": np.array(ALPHA)}
    for half in (1, 2):
        a, b, core = draw((RANK, rows)), draw((RANK, columns)), draw((RANK, RANK, *kernel)) * 0.3
        parts |= {f"hada_w{half}_a": a, f"hada_w{half}_b": b, f"hada_t{half}": core}
        whole = np.zeros(shape)
        for i in range(RANK):
            for j in range(RANK):
                whole += np.multiply.outer(np.outer(a[i], b[j]), core[i, j])
        halves.append(whole)
    return parts, _added((ALPHA / RANK * halves[0] * halves[1]).reshape(_flat(shape)))


def _factors(size: int) -> tuple[int, int]:
    """4 times the rest: what LyCORIS makes of these sizes with ``factor=4``."""
    return 4, size // 4


def _blocks(first: Array, second: Array) -> Array:
    """The Kronecker product, block by block."""
    return np.vstack([np.hstack([number * second for number in row]) for row in first])


def lokr(random: np.random.Generator, shape: Shape) -> tuple[Parts, Oracle]:
    rows, columns = _factors(shape[0]), _factors(shape[1])
    window, draw = math.prod(shape[2:]), random.standard_normal
    w1 = draw((rows[0], columns[0])) * 0.5
    a, b = draw((rows[1], RANK)) * 0.4, draw((RANK, columns[1] * window))
    delta = ALPHA / RANK * _blocks(w1, _outer(a, b))
    parts = {"lokr_w1": w1, "lokr_w2_a": a, "lokr_w2_b": b, "alpha": np.array(ALPHA)}
    return parts, _added(delta)


def lokr_whole(random: np.random.Generator, shape: Shape) -> tuple[Parts, Oracle]:
    """Both halves whole: α has no say."""
    rows, columns = _factors(shape[0]), _factors(shape[1])
    w1 = random.standard_normal((rows[0], columns[0])) * 0.5
    w2 = random.standard_normal((rows[1], columns[1], *shape[2:])) * 0.3
    delta = _blocks(w1, w2.reshape(len(w2), -1))
    return {"lokr_w1": w1, "lokr_w2": w2, "alpha": np.array(1e10)}, _added(delta)


def lokr_tucker(random: np.random.Generator, shape: Shape) -> tuple[Parts, Oracle]:
    """Both halves of low rank, the second around a core where there is a window."""
    rows, columns, draw = _factors(shape[0]), _factors(shape[1]), random.standard_normal
    a1, b1 = draw((rows[0], RANK)) * 0.3, draw((RANK, columns[0]))
    parts = {"lokr_w1_a": a1, "lokr_w1_b": b1, "alpha": np.array(ALPHA)}
    if len(shape) == 2:
        a, b = draw((rows[1], RANK)) * 0.4, draw((RANK, columns[1]))
        second = _outer(a, b)
    else:
        a, b, core = draw((RANK, rows[1])), draw((RANK, columns[1])), draw((RANK, RANK, *shape[2:]))
        core *= 0.2
        parts["lokr_t2"] = core
        whole = np.zeros((rows[1], columns[1], *shape[2:]))
        for i in range(RANK):
            for j in range(RANK):
                whole += np.multiply.outer(np.outer(a[i], b[j]), core[i, j])
        second = whole.reshape(rows[1], -1)
    delta = ALPHA / RANK * _blocks(_outer(a1, b1), second)
    return parts | {"lokr_w2_a": a, "lokr_w2_b": b}, _added(delta)


def _diagonal(blocks: Array) -> Array:
    size = blocks.shape[-1]
    whole = np.zeros((len(blocks) * size,) * 2)
    for index, block in enumerate(blocks):
        whole[index * size : (index + 1) * size, index * size : (index + 1) * size] = block
    return whole


def _turn(skew: Array) -> Array:
    one = np.eye(len(skew))
    return (one + skew) @ np.linalg.inv(one - skew)


def oft(random: np.random.Generator, shape: Shape) -> tuple[Parts, Oracle]:
    blocks = random.standard_normal((shape[0] // 4, 4, 4)) * 0.4
    turn = _turn(_diagonal(blocks - blocks.transpose(0, 2, 1))).T

    def changed(weight: Array, strength: float) -> Array:
        return (1 - strength) * weight + strength * (turn @ weight)

    return {"oft_blocks": blocks, "alpha": np.array(0.0)}, changed


def oft_constrained(random: np.random.Generator, shape: Shape) -> tuple[Parts, Oracle]:
    """α · out is the longest that the skew matrices may be; rows are rescaled after the turn."""
    blocks = random.standard_normal((shape[0] // 4, 4, 4))
    skew = _diagonal(blocks - blocks.transpose(0, 2, 1))
    turn = _turn(skew * (0.1 * shape[0] / np.sqrt((skew**2).sum()))).T
    rescale = 1 + 0.2 * random.standard_normal((shape[0], *[1] * (len(shape) - 1)))

    def changed(weight: Array, strength: float) -> Array:
        turned = (1 - strength) * weight + strength * (turn @ weight)
        return rescale.reshape(-1, 1) * turned

    return {"oft_blocks": blocks, "alpha": np.array(0.1), "rescale": rescale}, changed


def boft(random: np.random.Generator, shape: Shape) -> tuple[Parts, Oracle]:
    """Stage i turns groups of two runs of 2 rows that lie 2^i runs apart; each stage is dialled."""
    rows, size, stages = shape[0], 4, 3
    blocks = random.standard_normal((stages, rows // size, size, size)) * 0.3
    turns = []
    for stage, stage_blocks in enumerate(blocks):
        apart = 2**stage * size // 2
        # Row number of what stands at a place when each pair (i, i + apart) is put side by side.
        order = [
            start + half * apart + offset
            for start in range(0, rows, 2 * apart)
            for offset in range(apart)
            for half in (0, 1)
        ]
        swap = np.eye(rows)[order]
        diagonal = _turn(_diagonal(stage_blocks - stage_blocks.transpose(0, 2, 1)))
        turns.append(swap.T @ diagonal @ swap)

    def changed(weight: Array, strength: float) -> Array:
        for turn in turns:
            weight = ((1 - strength) * np.eye(rows) + strength * turn) @ weight
        return weight

    return {"oft_blocks": blocks, "alpha": np.array(0.0)}, changed


def ia3(random: np.random.Generator, shape: Shape) -> tuple[Parts, Oracle]:
    value = random.standard_normal(shape[0]) * 0.5
    vector = value if len(shape) == 2 else value.reshape(1, -1, *[1] * (len(shape) - 2))
    diagonal = np.diag(value)
    parts = {"weight": vector, "on_input": np.array(0)}
    return parts, lambda weight, strength: weight + strength * diagonal @ weight


def ia3_input(random: np.random.Generator, shape: Shape) -> tuple[Parts, Oracle]:
    value = random.standard_normal(shape[1]) * 0.5
    vector = value if len(shape) == 2 else value.reshape(1, -1, *[1] * (len(shape) - 2))
    diagonal = np.diag(np.repeat(value, math.prod(shape[2:])))
    parts = {"weight": vector, "on_input": np.array(1)}
    return parts, lambda weight, strength: weight + strength * weight @ diagonal


def glora(random: np.random.Generator, shape: Shape) -> tuple[Parts, Oracle]:
    ones, draw = [1] * (len(shape) - 2), random.standard_normal
    a1, a2 = draw((shape[1], RANK)) * 0.3, draw((RANK, shape[1])) * 0.3
    b1, b2 = draw((shape[0], RANK)) * 0.2, draw((RANK, *shape[1:])) * 0.3
    scale, window = ALPHA / RANK, math.prod(shape[2:])
    turn = np.kron(a1 @ a2, np.eye(window))
    plain = b1 @ b2.reshape(RANK, -1)
    parts = {
        "a1.weight": a1.reshape(*a1.shape, *ones), "a2.weight": a2.reshape(*a2.shape, *ones),
        "b1.weight": b1.reshape(*b1.shape, *ones), "b2.weight": b2, "alpha": np.array(ALPHA),
    }  # fmt: skip
    return parts, lambda weight, strength: weight + strength * scale * (weight @ turn + plain)


def full(random: np.random.Generator, shape: Shape) -> tuple[Parts, Oracle]:
    delta = random.standard_normal(shape) * 0.2
    return {"diff": delta}, _added(delta.reshape(_flat(shape)))


def _low_rank(random: np.random.Generator, shape: Shape) -> tuple[Parts, Array]:
    ones, draw = [1] * (len(shape) - 2), random.standard_normal
    up, down = draw((shape[0], RANK)) * 0.2, draw((RANK, *shape[1:])) * 0.5
    parts = {"lora_up.weight": up.reshape(*up.shape, *ones), "lora_down.weight": down}
    return parts | {"alpha": np.array(ALPHA)}, ALPHA / RANK * _outer(up, down.reshape(RANK, -1))


def dora_by_columns(random: np.random.Generator, shape: Shape) -> tuple[Parts, Oracle]:
    """The norm runs over a column and its whole window, for each channel that comes in."""
    parts, delta = _low_rank(random, shape)
    magnitude = random.uniform(0.5, 3, shape[1])
    parts["dora_scale"] = magnitude.reshape(1, -1, *[1] * (len(shape) - 2))

    def changed(weight: Array, strength: float) -> Array:
        total = (weight + strength * delta).reshape(len(weight), shape[1], -1)
        for column in range(shape[1]):
            part = total[:, column]
            part *= magnitude[column] / np.sqrt((part**2).sum())
        return total.reshape(weight.shape)

    return parts, changed


def lokr_dora(random: np.random.Generator, shape: Shape) -> tuple[Parts, Oracle]:
    parts, plain = lokr(random, shape)
    magnitude = random.uniform(0.5, 3, shape[0])
    parts["dora_scale"] = magnitude.reshape(-1, *[1] * (len(shape) - 1))

    def changed(weight: Array, strength: float) -> Array:
        total = plain(weight, strength)
        return np.stack(
            [row * size / np.linalg.norm(row) for row, size in zip(total, magnitude, strict=True)]
        )

    return parts, changed


METHODS: dict[str, Builder] = {
    builder.__name__: builder
    for builder in (
        loha, loha_tucker, lokr, lokr_whole, lokr_tucker, oft, oft_constrained, boft, ia3,
        ia3_input, glora, full, dora_by_columns, lokr_dora,
    )
}  # fmt: skip


# --- On a pipeline and in a file ---------------------------------------------------------------

#: Modules with and without bias, wide and high ones, and convolutions.
LAYERS = ("attn1.to_q", "attn2.to_k", "ff.net.2", "conv1")


def changes(
    pipeline: Any, method: str, names: Iterable[str] = LAYERS, seed: int = 0
) -> list[Change]:
    """Random updates of the modules whose names end so, in UNet and text encoder."""
    random = np.random.default_rng(seed)
    ends = tuple(f".{name}" for name in (*names, "q_proj"))
    return [
        Change(component, name, *METHODS[method](random, tuple(module.weight.shape)))
        for component in ("unet", "text_encoder")
        for name, module in getattr(pipeline, component).named_modules()
        if name.endswith(ends)
    ]


def write(path: Path, items: Iterable[Change]) -> Path:
    """A file as LyCORIS writes it with kohya's names."""
    tensors = {}
    for item in items:
        is_text = item.component == "text_encoder"
        prefix = "lora_te_text_model_" if is_text else "lora_unet_"
        for part, value in item.parts.items():
            kind = torch.int64 if part == "on_input" else torch.float32
            key = f"{prefix}{item.name.replace('.', '_')}.{part}"
            tensors[key] = torch.tensor(value).to(kind).contiguous()
    save_file(tensors, path)
    return path


def put(pipeline: Any, items: Iterable[Change], strength: float, base: Any) -> None:
    """The oracle: give the modules the changed weights of ``base``, an untouched pipeline."""
    for item in items:
        plain, module = (
            getattr(model, item.component).get_submodule(item.name) for model in (base, pipeline)
        )
        flat = plain.weight.detach().double().flatten(1).numpy()
        changed = flat if strength == 0 else item.oracle(flat, strength)
        module.weight.data = torch.tensor(changed).float().reshape(plain.weight.shape)
