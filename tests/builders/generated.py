"""Headers of adapters as people train them: whole models and parts of them, in every spelling.

    for label, header in headers_of(modules, encoders, parts=PARTS): ...

Nothing is random: the same model gives the same headers, whose ranks take turns.
"""

from __future__ import annotations

import re
from itertools import count
from typing import TYPE_CHECKING

from tests.builders.crossing import CONVENTIONS, header
from tests.builders.models import TEXT_ENCODERS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from lorary.safetensors import Header

    Modules = Mapping[str, tuple[int, ...]]

PARTS = ("all", "attention", "feed_forward", "some_blocks", "one_block", "first_half")
"""What people train of a model; some models lack one."""

WHOLE = ("all", "attention")
"""The parts that touch every block."""

_RANKS = (1, 4, 8, 16, 24, 32, 64, 128)

_ATTENTION = re.compile(r"attn|attention|to_[qkv]|qkv")
_FEED_FORWARD = re.compile(r"(?:^|[._])(?:ff\w*|mlp\w*|\w+_mlp|feed_forward\w*|ffn)(?:[._]|$)")
_NUMBER = re.compile(r"(?:^|\.)(\d+)\.")
_ENCODER_PREFIXES = {
    "kohya": ("lora_te1_", "lora_te2_", "lora_te3_"),
    "diffusers_peft": ("text_encoder.", "text_encoder_2.", "text_encoder_3."),
}
_PLACES = ("text_encoder", "text_encoder_2", "text_encoder_3")


def _parts(modules: Modules) -> dict[str, Modules]:
    """Name of each part that a model has to its modules."""
    linear = {path: shape for path, shape in modules.items() if len(shape) in {2, 4}}
    attention = _matching(linear, _ATTENTION)
    last = max((_block(path) for path in attention), default=0)
    found: dict[str, Modules] = {
        "all": linear,
        "attention": attention,
        "feed_forward": _matching(linear, _FEED_FORWARD),
        "some_blocks": {p: s for p, s in attention.items() if _block(p) % 3 == 1},
        "one_block": {p: s for p, s in attention.items() if _block(p) == last // 2},
        "first_half": {p: s for p, s in attention.items() if 0 <= _block(p) <= last // 2},
    }
    return {name: part for name, part in found.items() if part}


def headers_of(
    modules: Modules, encoders: Mapping[str, Sequence[str]] | None = None, *, parts: Sequence[str]
) -> Iterator[tuple[str, Header]]:
    """Every spelling of some parts of a model, with a label for messages.

    Args:
        modules: Dotted name to weight shape.
        encoders: Place of a text encoder to those that may stand there. With them the attention
            is written once more, together with some layers of each.
        parts: Some of `PARTS`; those that the model lacks are left out.
    """
    turns = count()
    there = _parts(modules)
    for spelling in CONVENTIONS:
        for part in parts:
            rank = _RANKS[next(turns) % len(_RANKS)]
            if part in there:
                yield f"{spelling} {part} {rank}", header(there[part], spelling, rank=rank)
        if encoders and spelling in _ENCODER_PREFIXES and "attention" in there:
            adapted = _adapted(encoders, _ENCODER_PREFIXES[spelling])
            label = f"{spelling} attention and text encoders"
            yield label, header(there["attention"], spelling, encoders=adapted)


def _adapted(encoders: Mapping[str, Sequence[str]], prefixes: Sequence[str]) -> dict[str, Modules]:
    return {
        prefix: dict(TEXT_ENCODERS[encoders[place][0]])
        for place, prefix in zip(_PLACES, prefixes, strict=True)
        if place in encoders
    }


def _matching(modules: Modules, pattern: re.Pattern[str]) -> Modules:
    return {path: shape for path, shape in modules.items() if pattern.search(path)}


def _block(path: str) -> int:
    """Number of the outer block, -1 outside."""
    found = _NUMBER.search(path)
    return int(found[1]) if found else -1
