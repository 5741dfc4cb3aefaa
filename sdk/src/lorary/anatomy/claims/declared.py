"""What is written about an adapter beside what its tensors show: ranks, alphas, methods, claims."""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import TYPE_CHECKING

from lorary.anatomy.claims.base_models import covers
from lorary.anatomy.claims.config import embedded_configs
from lorary.anatomy.claims.metadata import number
from lorary.anatomy.claims.vocabulary import parent_of
from lorary.anatomy.findings.finding import Finding, finding

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from lorary.anatomy.claims.base_models import Claims
    from lorary.anatomy.claims.config import AdapterConfig
    from lorary.anatomy.modules.adapted import Module

__all__ = ["claims_findings", "config_findings", "config_unreadable", "metadata_rank_findings"]

_MOST_ARGUMENT_CHARS = 20_000
_NUMBERS = re.compile(r"(?<![\w.])\d{1,5}(?![\w.])")
_TOLERANCE = 1e-3
_SHOWN = 10


def metadata_rank_findings(
    metadata: Mapping[str, str],
    rank: int | None,
    alpha: float | None,
    *,
    ranks: Iterable[int] = (),
) -> Iterator[Finding]:
    """Rank and alpha in the metadata are notes that mergers and resizers leave behind.

    Args:
        metadata: The file's metadata.
        rank: Most common rank of the tensors, None when they have none.
        alpha: Most common alpha that was read from the file, None when none was.
        ranks: Every rank of the tensors.
    """
    found = set(ranks) or ({rank} if rank is not None else set())
    noted = _noted_ranks(metadata)
    if rank is not None and noted:
        yield from _rank_differences(metadata, noted, found, rank)
    noted_alpha = number(metadata.get("ss_network_alpha"))
    if alpha is None or noted_alpha is None:
        return
    if abs(noted_alpha - alpha) > _TOLERANCE * abs(alpha):
        message = (
            f"The metadata says alpha {noted_alpha:g}, the file stores {alpha:g}. Programs use "
            "the stored one."
        )
        yield finding("alpha_differs", message, declared=noted_alpha, found=alpha)


def _rank_differences(
    metadata: Mapping[str, str], noted: set[int], found: set[int], rank: int
) -> Iterator[Finding]:
    declared = sorted(noted)[:_SHOWN]
    says = f"The metadata says rank {_listed(declared)}"
    if not noted & found:
        message = (
            f"{says}, the tensors have rank {_listed(sorted(found)[:_SHOWN])}, as after a resize "
            "or merge. The tensors count."
        )
        first = declared[0] if len(declared) == 1 else declared
        yield finding("rank_differs", message, declared=first, found=rank)
        return
    others = sorted(found - noted - _arguments(metadata))[:_SHOWN]
    if others:
        message = f"{says}, but some modules have rank {_listed(others)}. The tensors count."
        yield finding("rank_differs", message, declared=declared, found=others)


def _listed(values: Sequence[int]) -> str:
    return ", ".join(map(str, values))


def _noted_ranks(metadata: Mapping[str, str]) -> set[int]:
    dim = number(metadata.get("ss_network_dim"))
    noted = set() if dim is None or not dim.is_integer() else {int(dim)}
    for config in embedded_configs(metadata) if "lora_adapter_metadata" in metadata else ():
        noted |= _config_ranks(config)
    return noted


def _config_ranks(config: AdapterConfig) -> set[int]:
    patterns = config.rank_pattern.to_dict().values() if config.rank_pattern else ()
    ranks = {int(value) for value in patterns}
    return ranks if config.r is None else ranks | {config.r}


def _arguments(metadata: Mapping[str, str]) -> set[int]:
    """Numbers in the network's arguments, where ranks of single kinds of modules stand."""
    texts = (metadata.get("ss_network_args", ""), metadata.get("lycoris_config", ""))
    return {
        int(digits) for text in texts for digits in _NUMBERS.findall(text[:_MOST_ARGUMENT_CHARS])
    }


# PEFT's name of a method to ours, where they differ.
_METHODS: Mapping[str, str] = MappingProxyType(
    {
        "BONE": "miss",
        "CARTRIDGE": "prompt_tuning",
        "CPT": "prompt_tuning",
        "MULTITASK_PROMPT_TUNING": "prompt_tuning",
        "P_TUNING": "prompt_tuning",
        "PREFIX_TUNING": "prompt_tuning",
    }
)
_NAMED_AS_OURS = frozenset(
    {
        "adalora", "adaption_prompt", "boft", "c3a", "delora", "fourierft", "glora", "gralora",
        "hira", "hra", "ia3", "ln_tuning", "loha", "lokr", "lora", "miss", "oft", "osf", "poly",
        "prompt_tuning", "psoft", "randlora", "road", "shadow", "shira", "trainable_tokens",
        "vblora", "vera", "waveft",
    }
)  # fmt: skip
_SAME = MappingProxyType({"locon": "lora"})
_RANKED = frozenset({"LORA", "LOHA", "LOKR"})  # whose r is the inner size of the factors


def config_findings(config: AdapterConfig | None, modules: Sequence[Module]) -> Iterator[Finding]:
    """What `adapter_config.json` says otherwise than the tensors.

    Args:
        config: The configuration beside the file, None without one.
        modules: The file's modules.
    """
    if config is None or not modules:
        return
    conflicts = [*_method_conflict(config, modules), *_rank_conflict(config, modules)]
    if conflicts:
        fields = ", ".join(str(conflict["field"]) for conflict in conflicts)
        message = (
            f"adapter_config.json does not describe these tensors ({fields}). PEFT builds the "
            "adapter by it and will not load them: put the right file beside the weights."
        )
        yield finding("config_conflict", message, count=len(conflicts), conflicts=conflicts)


def _method_conflict(
    config: AdapterConfig, modules: Sequence[Module]
) -> Iterator[dict[str, object]]:
    found = {_SAME.get(name, name) for module in modules for name in module.algorithms}
    declared = config.peft_type or ""
    method = _METHODS.get(declared, declared.lower())
    if method in _NAMED_AS_OURS and found & _NAMED_AS_OURS and method not in found:
        named = sorted(found & _NAMED_AS_OURS)
        yield {"field": "peft_type", "declared": declared, "found": named}
    elif method == "lora" and found and config.use_dora != ("dora" in found):
        yield {"field": "use_dora", "declared": config.use_dora, "found": "dora" in found}


def _rank_conflict(config: AdapterConfig, modules: Sequence[Module]) -> Iterator[dict[str, object]]:
    declared = _config_ranks(config)
    found = {module.dims.rank for module in modules if module.dims.rank is not None}
    if config.peft_type in _RANKED and declared and found and not declared & found:
        named = sorted(found)[:_SHOWN]
        yield {"field": "r", "declared": sorted(declared)[:_SHOWN], "found": named}


def config_unreadable(reason: str) -> Finding:
    """The finding of a broken `adapter_config.json`; the reason repeats nothing of its content."""
    message = f"{reason}. PEFT needs it to load the adapter: put the right file beside the weights."
    return finding("config_unreadable", message, file="adapter_config.json")


def claims_findings(claims: Claims) -> Iterator[Finding]:
    """Claims of one file that exclude each other: one of them at least is wrong."""
    first = claims.first
    if first is None:
        return
    others = [other for other in claims.others if not _go_together(first.family, other.family)]
    if others:
        named = [{"key": claim.source, "family": claim.family} for claim in (first, *others)]
        message = (
            f"The metadata names base models that exclude each other, {first.family} and "
            f"{others[0].family} among them. Trust the tensors; correct the wrong one."
        )
        yield finding("claims_conflict", message, count=len(named), claims=named[:_SHOWN])


def _go_together(one: str, other: str) -> bool:
    """Tell whether one includes the other, or is derived from it and bears its label, too."""
    if covers(one, other) or covers(other, one):
        return True
    return parent_of(one) == other or parent_of(other) == one
