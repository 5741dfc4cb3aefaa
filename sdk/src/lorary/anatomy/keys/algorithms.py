"""The adaptation algorithm of a module and of a file."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from lorary.anatomy.claims.metadata import parsed_json
from lorary.anatomy.modules.module_table import modules_of
from lorary.anatomy.tables import read_table

if TYPE_CHECKING:
    from lorary.anatomy.claims.config import AdapterConfig
    from lorary.anatomy.modules.adapted import Module

_TABLE = read_table("keys/algorithms.json")
ALGORITHM_TITLES: Mapping[str, str] = _TABLE["titles"]
"""Algorithm to its display name; `algorithm_title` also names composites."""


def algorithm_title(algorithm: str) -> str:
    """Return the display name of an algorithm or of a composite such as `loha+norm`."""
    if algorithm in ALGORITHM_TITLES:
        return ALGORITHM_TITLES[algorithm]
    first, *additions = algorithm.split("+")
    title = ALGORITHM_TITLES.get(first, first)
    named = " and ".join(_TABLE["additions"].get(addition, addition) for addition in additions)
    return f"{title} with {named}" if additions else title


SECONDARY = frozenset({"bias", "norm", "modulation", "dora", "bfl-control", "full"})
"""Algorithms that name a file only if it has no others."""

_CONV_TARGET = re.compile(
    r"resnets|in_layers|out_layers|emb_layers|skip_connection|(?:^|[._])conv(?:\d|_|\.|$)"
)
# kohya's tools call LoRA on convolutions LoCon.
_LOCON_CONVENTIONS = frozenset(
    {"kohya", "kohya_sgm_blocks", "onetrainer_legacy", "simpletuner_lycoris"}
)


COMPLETE: Mapping[str, tuple[frozenset[str], ...]] = {
    algorithm: tuple(frozenset(roles.split()) for roles in alternatives)
    for algorithm, alternatives in _TABLE["complete"].items()
}
"""Algorithm to the sets of roles that complete a module; any one of them is enough."""


_DECOMPOSED = ("lora", "loha", "lokr", "glora")


@lru_cache(maxsize=1024)
def _is_complete(algorithm: str, roles: frozenset[str]) -> bool:
    if algorithm == "dora":  # a magnitude beside another algorithm
        bases = any(_is_complete(name, roles) for name in _DECOMPOSED)
        return "magnitude" in roles and (bases or "diff" in roles)
    needed = COMPLETE.get("lora" if algorithm == "locon" else algorithm)
    return needed is None or any(alternative <= roles for alternative in needed)


def is_complete(algorithm: str, roles: Collection[str]) -> bool:
    """Return whether a module has every tensor that its algorithm needs."""
    if "down" in roles and "up" in roles and algorithm in {"lora", "locon"}:
        return True
    return _is_complete(algorithm, frozenset(roles))


def order(shown: Iterable[str]) -> tuple[str, ...]:
    """Return the algorithms of a module's suffixes, the leading one first."""
    found = set(shown)
    if "adalora" in found:
        found.discard("lora")  # it keeps LoRA's suffixes
    if "multitask_prompt_tuning" in found:
        found.discard("prompt_tuning")
    return tuple(sorted(found, key=lambda name: (name in SECONDARY, name)))


def refine(
    algorithms: tuple[str, ...], path: str, convention: str, *, is_conv: bool, has_core: bool
) -> tuple[str, ...]:
    """Replace LoRA by LoCon where kohya's tools and LyCORIS call it that.

    Args:
        is_conv: The shapes show a kernel larger than one.
        has_core: The module has a Tucker core, which only LyCORIS writes.
    """
    if "lora" not in algorithms:
        return algorithms
    in_kohya = convention in _LOCON_CONVENTIONS
    if has_core or (in_kohya and (is_conv or _CONV_TARGET.search(path) is not None)):
        return tuple("locon" if name == "lora" else name for name in algorithms)
    return algorithms


def file_algorithm(
    modules: Sequence[Module], metadata: Mapping[str, str], config: AdapterConfig | None = None
) -> tuple[str | None, dict[str, int]]:
    """Return the leading algorithm of a file, and the number of modules of each algorithm.

    Metadata and config decide only what tensors don't show: DyLoRA, rank-stabilised and activated
    LoRA, LoRA with ranks by module, and the method behind `prompt_embeddings`.

    Args:
        metadata: The file's `__metadata__`.
        config: The `adapter_config.json` beside it.

    Returns:
        The leading algorithm with additions (`lokr+dora`, `lora+norm`; None without modules), and
        algorithm to number of modules, largest first. If any convolution has kohya's LoRA, all LoRA
        modules count as LoCon.
    """
    totals = _totals(modules)
    leading = _leading(totals, modules)
    if leading in {"lora", "locon"}:
        leading = _variant(metadata, config) or leading
    elif leading == "prompt_tuning" and config is not None:
        leading = _PROMPTS.get(str(config.peft_type or "").upper(), leading)
    return leading, totals


def _totals(modules: Sequence[Module]) -> dict[str, int]:
    totals: Counter[str] = Counter()
    for (names, _), number in modules_of(modules).groups.kinds.items():
        for name in names:
            totals[name] += number
    if "locon" in totals:
        totals["locon"] += totals.pop("lora", 0)
    ordered = sorted(totals, key=lambda name: (name in SECONDARY, -totals[name], name))
    return {name: totals[name] for name in ordered}


def _leading(totals: Mapping[str, int], modules: Sequence[Module]) -> str | None:
    if not totals:
        return None
    main = next(iter(totals))
    if main in SECONDARY:
        return "full" if main in {"bias", "modulation"} else main

    parts = [main]
    if 2 * totals.get("dora", 0) >= totals[main]:
        if main in {"lora", "locon"}:
            parts = ["dora"]
        else:
            parts.append("dora")
    if "norm" in totals:
        parts.append("norm")
    if "full" in totals or "modulation" in totals:
        parts.append("diff")
    elif "bias" in totals:
        parts.append("diff_b")
    if parts == ["lora"]:
        return _peft_variant(totals, modules)
    return "+".join(parts)


def _peft_variant(totals: Mapping[str, int], modules: Sequence[Module]) -> str:
    """Return the name of LoRA with PEFT's additions: token deltas, embeddings or biases."""
    if "trainable_tokens" in totals:
        return "lora_trainable_tokens"
    kinds = modules_of(modules).groups.kinds
    if any("embedding_down" in roles for _, roles in kinds):
        return "lora_embed"
    if "bfl-control" not in totals:
        biased = sum(number for (_, roles), number in kinds.items() if "up_bias" in roles)
        if 2 * biased >= totals["lora"]:
            return "lora_bias"
    return "lora"


_PROMPTS: Mapping[str, str] = {
    "P_TUNING": "p_tuning",
    "PREFIX_TUNING": "prefix_tuning",
    "MULTITASK_PROMPT_TUNING": "multitask_prompt_tuning",
    "CARTRIDGE": "cartridge",
    "CPT": "cpt",
}


def _variant(metadata: Mapping[str, str], config: AdapterConfig | None) -> str | None:
    """Return a kind of LoRA that only the config or the metadata names, or None."""
    if config is not None:
        if config.alora_invocation_tokens:
            return "alora"
        if config.use_rslora:
            return "rslora"
    declared = _object(metadata, "lora_adapter_metadata")
    if _declares(declared, "alora_invocation_tokens"):
        return "alora"
    if _declares(declared, "use_rslora"):
        return "rslora"
    arguments = _object(metadata, "ss_network_args")
    if metadata.get("ss_network_module") == "networks.dylora" or arguments.get("algo") == "dylora":
        return "dylora"
    if str(arguments.get("rs_lora")).lower() == "true":
        return "rslora"
    return "lora_pattern" if config is not None and config.rank_pattern else None


def _object(metadata: Mapping[str, str], key: str) -> Mapping[str, object]:
    value = parsed_json(metadata, key)
    return value if isinstance(value, dict) else {}


def _declares(declared: Mapping[str, object], field: str) -> bool:
    """Return whether a component sets the field; keys are `unet.use_rslora` or bare."""
    return any(
        bool(value) and value not in ("False", "false")
        for key, value in declared.items()
        if key == field or key.endswith(f".{field}")
    )
