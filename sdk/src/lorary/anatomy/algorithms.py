"""Which adaptation method a module, and a file, uses."""

from __future__ import annotations

import re
from collections import Counter
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from lorary.safetensors import TensorInfo

__all__ = ["ALGORITHM_TITLES", "COMPLETE", "file_algorithm", "is_complete", "order", "refine"]

ALGORITHM_TITLES: Mapping[str, str] = MappingProxyType(
    {
        "adalora": "AdaLoRA",
        "adaption_prompt": "LLaMA-Adapter",
        "bfl-control": "FLUX control LoRA",
        "bias": "bias difference",
        "boft": "BOFT",
        "c3a": "C3A",
        "delora": "DeLoRA",
        "dora": "DoRA",
        "dylora": "DyLoRA",
        "fourierft": "FourierFT",
        "full": "full difference",
        "glora": "GLoRA",
        "gralora": "GraLoRA",
        "hira": "HiRA",
        "hra": "HRA",
        "ia3": "(IA)³",
        "ln_tuning": "LN tuning",
        "locon": "LoCon",
        "loha": "LoHa",
        "lokr": "LoKr",
        "lora": "LoRA",
        "miss": "MiSS",
        "modulation": "modulation difference",
        "norm": "norm difference",
        "oft": "OFT",
        "osf": "OSF",
        "poly": "Poly",
        "prompt_tuning": "prompt tuning",
        "psoft": "PSOFT",
        "randlora": "RandLoRA",
        "road": "RoAd",
        "shira": "SHiRA",
        "trainable_tokens": "trainable tokens",
        "vblora": "VB-LoRA",
        "vera": "VeRA",
        "waveft": "WaveFT",
    }
)
"""Algorithm to its display name."""

SIDEKICKS = frozenset({"bias", "norm", "modulation", "dora", "bfl-control", "full"})
"""Algorithms that name a file only when nothing else is in it."""

_PAIRED = frozenset({"lora", "locon"})
_CONV_TARGET = re.compile(r"resnets|in_layers|out_layers|(?:^|[._])conv(?:\d|_|\.|$)")

COMPLETE: Mapping[str, tuple[frozenset[str], ...]] = MappingProxyType(
    {
        "lora": (frozenset({"down", "up"}), frozenset({"embedding_down", "embedding_up"})),
        "loha": (frozenset({"hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b"}),),
        "lokr": (
            frozenset({"lokr_w1", "lokr_w2"}),
            frozenset({"lokr_w1_a", "lokr_w1_b", "lokr_w2"}),
            frozenset({"lokr_w1", "lokr_w2_a", "lokr_w2_b"}),
            frozenset({"lokr_w1_a", "lokr_w1_b", "lokr_w2_a", "lokr_w2_b"}),
        ),
        "glora": (
            frozenset({"glora_a1", "glora_a2", "glora_b1", "glora_b2"}),
            frozenset({"glora_A.Xd", "glora_B.Xd"}),
        ),
    }
)
"""Algorithm to the sets of roles that make a module of it whole; any one of them will do."""


def order(shown: Iterable[str]) -> tuple[str, ...]:
    """Algorithms that a module's suffixes show, the leading one first."""
    found = set(shown)
    if found & {"adalora", "poly"}:
        found.discard("lora")  # both keep LoRA's suffixes
    return tuple(sorted(found, key=lambda name: (name in SIDEKICKS, name)))


def refine(
    algorithms: tuple[str, ...], roles: Mapping[str, TensorInfo], path: str, *, is_conv: bool
) -> tuple[str, ...]:
    """Tell apart the algorithms that share suffixes.

    Args:
        algorithms: What the suffixes show.
        roles: Role to tensor.
        path: The module's path in the base model.
        is_conv: The shapes show a kernel larger than one.

    Returns:
        The same with LoRA on a convolution named LoCon, and OFT with stages named BOFT.
    """
    if "lora" in algorithms and (is_conv or "mid" in roles or _is_conv_target(path)):
        return tuple("locon" if name == "lora" else name for name in algorithms)
    if "oft_blocks" in roles and len(roles["oft_blocks"].shape) == 4:
        return tuple("boft" if name == "oft" else name for name in algorithms)
    return algorithms


def _is_conv_target(path: str) -> bool:
    # The plain tests come first because the pattern costs more than the rest of the analysis.
    if "conv" in path or "resnets" in path or "_layers" in path:
        return _CONV_TARGET.search(path) is not None
    return False


def file_algorithm(counts: Counter[tuple[str, ...]]) -> tuple[str | None, tuple[str, ...]]:
    """Name the algorithms of a file from those of its modules.

    A file with LoRA on any convolution is a LoCon; a weight-decomposed LoRA is a DoRA.

    Args:
        counts: Algorithms of a module to the number of such modules.

    Returns:
        The leading algorithm (None when there is none), and all of them, most modules first.
    """
    totals: Counter[str] = Counter()
    for names, modules in counts.items():
        for name in names:
            totals[name] += modules
    if "locon" in totals:
        totals["locon"] += totals.pop("lora", 0)
    ordered = sorted(totals, key=lambda name: (name in SIDEKICKS, -totals[name], name))
    if not ordered:
        return None, ()
    leading = ordered[0]
    if leading in {"lora", "locon"} and 2 * totals["dora"] >= totals[leading]:
        leading = "dora"
    return leading, tuple(ordered)


def is_complete(algorithm: str, roles: Mapping[str, TensorInfo]) -> bool:
    """Tell whether a module has every tensor that its algorithm needs."""
    if "down" in roles and "up" in roles and algorithm in _PAIRED:
        return True
    needed = COMPLETE.get("lora" if algorithm == "locon" else algorithm)
    return needed is None or any(alternative <= roles.keys() for alternative in needed)
