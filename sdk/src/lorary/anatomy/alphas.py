"""Alpha: the number that, divided by the rank, scales an adapter.

Its value is data, not header: two to eight bytes per module at a known place.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from lorary.anatomy.findings import Finding, finding
from lorary.anatomy.metadata import clean, number, parsed
from lorary.safetensors import TensorInfo

if TYPE_CHECKING:
    from lorary.anatomy.modules import Module

__all__ = ["AlphaReader", "Alphas", "read_alphas"]

AlphaReader = Callable[[TensorInfo], "float | None"]

_MOST_SCALE = 100.0  # alpha / rank, above which a picture can only be destroyed
_NO_SCALE = frozenset({"oft", "boft", "ia3"})  # their alpha is a constraint, not a scale
_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Alphas:
    """The alphas of a file.

    Attributes:
        value: Most common alpha.
        source: `read` from the tensors, `declared` by the metadata, or `absent`.
        findings: Values that cannot be meant.
    """

    value: float | None
    source: Literal["read", "declared", "absent"]
    findings: tuple[Finding, ...] = ()


def read_alphas(
    modules: Sequence[Module], metadata: Mapping[str, str], reader: AlphaReader | None
) -> Alphas:
    """Read the alphas of all modules, or fall back on what the metadata declares.

    Args:
        modules: The file's modules.
        metadata: Its metadata.
        reader: Gives the value of a scalar tensor; None when only the header is at hand.
    """
    values: Counter[float] = Counter()
    odd: list[str] = []
    for module in modules if reader is not None else ():
        tensor = module.roles.get("alpha")
        value = reader(tensor) if reader is not None and tensor is not None else None
        if value is None:
            continue
        if _is_odd(value, module):
            odd.append(module.name)
        if math.isfinite(value):
            values[value] += 1
    if values or odd:
        value = values.most_common(1)[0][0] if values else None
        return Alphas(value, "read", tuple(_odd_findings(odd)))
    declared = _declared(metadata)
    return Alphas(declared, "absent" if declared is None else "declared")


def _is_odd(value: float, module: Module) -> bool:
    if not math.isfinite(value):
        return True
    if _NO_SCALE.intersection(module.algorithms):
        return value < 0
    rank = module.dims.rank
    return value <= 0 or (rank is not None and rank > 0 and value / rank > _MOST_SCALE)


def _odd_findings(names: Sequence[str]) -> Iterator[Finding]:
    if names:
        message = f"{len(names):,} modules have an alpha that cannot be meant."
        shown = [clean(name) for name in names[:_SHOWN]]
        yield finding("alpha_invalid", message, count=len(names), modules=shown)


def _declared(metadata: Mapping[str, str]) -> float | None:
    value = number(metadata.get("ss_network_alpha"))
    if value is not None:
        return value
    config = parsed(metadata, "lora_adapter_metadata")  # diffusers: `unet.lora_alpha`, …
    for key, entry in config.items() if isinstance(config, dict) else ():
        if key.rpartition(".")[2] == "lora_alpha":
            return number(entry)
    return None
