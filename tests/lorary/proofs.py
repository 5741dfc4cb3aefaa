"""Proofs of small files, and what they say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lorary.anatomy import inspect_bytes
from lorary.anatomy.base_models.proof import Proof, prove
from lorary.anatomy.claims.base_models import Claims
from lorary.anatomy.families import families
from lorary.anatomy.modules.adapted import scan
from lorary.safetensors import BytesSource, read_header
from tests.builders.models import Target
from tests.builders.weights import safetensors

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lorary.anatomy.report import Base

NOTHING = Claims()


def prove_bytes(data: bytes, claims: Claims = NOTHING) -> Proof:
    """Proof of a file."""
    return prove(scan(read_header(BytesSource(data))).modules, claims)


def base_of(data: bytes) -> Base:
    """Verdict on the base model of a file."""
    anatomy = inspect_bytes(data).anatomy
    assert anatomy is not None
    return anatomy.base


def prove_names(names: Iterable[str]) -> Proof:
    """Proof of a file of which only names are known."""
    tensors: dict[str, tuple[str, tuple[int, ...]]] = {}
    for name in names:
        tensors[f"{name}.lora_down.weight"] = ("F16", ())
        tensors[f"{name}.lora_up.weight"] = ("F16", ())
    return prove_bytes(safetensors(tensors))


def rules(proof: Proof) -> list[str]:
    """Rules of the evidence."""
    return [reason.rule for reason in proof.evidence]


def text(proof: Proof, rule: str) -> str:
    """What the evidence of one rule says."""
    return " ".join(reason.text for reason in proof.evidence if reason.rule == rule)


def block(pattern: str, blocks: Iterable[int], shape: tuple[int, ...]) -> list[Target]:
    """One layer in several blocks."""
    return [Target(pattern.format(number), shape) for number in blocks]


def modulated(depth: int) -> list[Target]:
    """FLUX.1's modulation in the first blocks."""
    return block("double_blocks.{}.img_mod.lin", range(depth), (18432, 3072))


def whole(family: str, naming: str) -> list[Target]:
    """Every linear layer of a family."""
    modules = families()[family].namings[naming].items()
    return [Target(path, shape) for path, shape in modules if len(shape) == 2]
