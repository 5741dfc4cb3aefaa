"""Compares the metadata and the configuration of an adapter with its tensors."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from lorary.anatomy.claims.base_models import Claims, covers
from lorary.anatomy.claims.config import AdapterConfig, embedded_configs
from lorary.anatomy.claims.metadata import number
from lorary.anatomy.claims.vocabulary import parent_of
from lorary.anatomy.findings.finding import Finding, finding

if TYPE_CHECKING:
    from lorary.anatomy.modules.adapted import Module

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
    """Yield findings if rank or alpha in the metadata are wrong, as after a merge or resize.

    Args:
        rank: Most common rank of the tensors; None if they show none.
        alpha: Most common alpha that was read from the file; None if there is none.
    """
    found = set(ranks) or ({rank} if rank is not None else set())
    declared = _declared_ranks(metadata)
    if rank is not None and declared:
        yield from _rank_differences(metadata, declared, found, rank)
    declared_alpha = number(metadata.get("ss_network_alpha"))
    if alpha is None or declared_alpha is None:
        return
    if abs(declared_alpha - alpha) > _TOLERANCE * abs(alpha):
        message = (
            f"The metadata says alpha {declared_alpha:g}, the file stores {alpha:g}. Programs use "
            "the stored one."
        )
        yield finding("alpha_differs", message, declared=declared_alpha, found=alpha)


def _rank_differences(
    metadata: Mapping[str, str], declared: set[int], found: set[int], rank: int
) -> Iterator[Finding]:
    shown = sorted(declared)[:_SHOWN]
    start = f"The metadata says rank {_listed(shown)}"
    if not declared & found:
        message = (
            f"{start}, but the tensors have rank {_listed(sorted(found)[:_SHOWN])}, as after a "
            "resize or merge. The tensors decide."
        )
        only = shown[0] if len(shown) == 1 else shown
        yield finding("rank_differs", message, declared=only, found=rank)
        return
    others = sorted(found - declared - _arguments(metadata))[:_SHOWN]
    if others:
        message = f"{start}, but some modules have rank {_listed(others)}. The tensors decide."
        yield finding("rank_differs", message, declared=shown, found=others)


def _listed(values: Sequence[int]) -> str:
    return ", ".join(map(str, values))


def _declared_ranks(metadata: Mapping[str, str]) -> set[int]:
    dim = number(metadata.get("ss_network_dim"))
    declared = set() if dim is None or not dim.is_integer() else {int(dim)}
    for config in embedded_configs(metadata) if "lora_adapter_metadata" in metadata else ():
        declared |= _config_ranks(config)
    return declared


def _config_ranks(config: AdapterConfig) -> set[int]:
    patterns = config.rank_pattern.to_dict().values() if config.rank_pattern else ()
    ranks = {int(value) for value in patterns}
    return ranks if config.r is None else ranks | {config.r}


def _arguments(metadata: Mapping[str, str]) -> set[int]:
    """Return the numbers in the network's arguments, which include ranks of some modules."""
    texts = (metadata.get("ss_network_args", ""), metadata.get("lycoris_config", ""))
    return {
        int(digits) for text in texts for digits in _NUMBERS.findall(text[:_MOST_ARGUMENT_CHARS])
    }


# PEFT's name of an algorithm to ours, where they differ.
_OUR_NAMES: Mapping[str, str] = {
    "BONE": "miss",
    "CARTRIDGE": "prompt_tuning",
    "CPT": "prompt_tuning",
    "MULTITASK_PROMPT_TUNING": "prompt_tuning",
    "P_TUNING": "prompt_tuning",
    "PREFIX_TUNING": "prompt_tuning",
}
_SAME_NAMES = frozenset(
    {
        "adalora", "adaption_prompt", "boft", "c3a", "delora", "fourierft", "glora", "gralora",
        "hira", "hra", "ia3", "ln_tuning", "loha", "lokr", "lora", "miss", "oft", "osf", "poly",
        "prompt_tuning", "psoft", "randlora", "road", "shadow", "shira", "trainable_tokens",
        "vblora", "vera", "waveft",
    }
)  # fmt: skip
_PEFT_CALLS = {"locon": "lora"}
_RANKED = frozenset({"LORA", "LOHA", "LOKR"})  # r is the inner size of the factors


def config_findings(config: AdapterConfig | None, modules: Sequence[Module]) -> Iterator[Finding]:
    """Yield a finding if `adapter_config.json` contradicts the tensors.

    Args:
        config: The configuration beside the file; None if there is none.
    """
    if config is None or not modules:
        return
    conflicts = [*_method_conflict(config, modules), *_rank_conflict(config, modules)]
    if conflicts:
        fields = ", ".join(str(conflict["field"]) for conflict in conflicts)
        message = (
            f"adapter_config.json does not describe these tensors ({fields}). PEFT needs it to "
            "load them: replace it with the right one."
        )
        yield finding("config_conflict", message, count=len(conflicts), conflicts=conflicts)


def _method_conflict(
    config: AdapterConfig, modules: Sequence[Module]
) -> Iterator[dict[str, object]]:
    found = {_PEFT_CALLS.get(name, name) for module in modules for name in module.algorithms}
    declared = config.peft_type or ""
    method = _OUR_NAMES.get(declared, declared.lower())
    if method in _SAME_NAMES and found & _SAME_NAMES and method not in found:
        named = sorted(found & _SAME_NAMES)
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
    """Return the finding for an invalid `adapter_config.json`, without any of its content."""
    message = f"{reason}. PEFT needs it to load the adapter: replace it with a valid one."
    return finding("config_unreadable", message, file="adapter_config.json")


def claims_findings(claims: Claims) -> Iterator[Finding]:
    """Yield a finding if the claims of a file exclude each other, so that at least one is wrong."""
    first = claims.first
    if first is None:
        return
    others = [other for other in claims.others if not _are_compatible(first.family, other.family)]
    if others:
        named = [{"key": claim.source, "family": claim.family} for claim in (first, *others)]
        message = (
            f"The metadata names base models that exclude each other, {first.family} and "
            f"{others[0].family} among them. Trust the tensors; correct the wrong one."
        )
        yield finding("claims_conflict", message, count=len(named), claims=named[:_SHOWN])


def _are_compatible(one: str, other: str) -> bool:
    """Return whether one family includes the other or is derived from it."""
    if covers(one, other) or covers(other, one):
        return True
    return parent_of(one) == other or parent_of(other) == one
