"""Which adaptation method a module, and a file, uses."""

from __future__ import annotations

import re
from collections import Counter
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING

from lorary.anatomy.claims.metadata import parsed
from lorary.anatomy.modules.module_table import modules_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from lorary.anatomy.claims.config import AdapterConfig
    from lorary.anatomy.modules.adapted import Module

__all__ = [
    "ALGORITHM_TITLES",
    "COMPLETE",
    "algorithm_title",
    "file_algorithm",
    "is_complete",
    "order",
    "refine",
]

ALGORITHM_TITLES: Mapping[str, str] = MappingProxyType(
    {
        "adalora": "AdaLoRA",
        "adamss": "AdaMSS",
        "adaption_prompt": "LLaMA-Adapter",
        "alora": "activated LoRA",
        "beft": "BEFT",
        "bfl-control": "FLUX control LoRA",
        "bias": "bias difference",
        "boft": "BOFT",
        "c3a": "C3A",
        "cartridge": "cartridge",
        "cpt": "context-aware prompt tuning",
        "deft": "DEFT",
        "delora": "DeLoRA",
        "dora": "DoRA",
        "dylora": "DyLoRA",
        "fourierft": "FourierFT",
        "frod": "FRoD",
        "full": "full difference",
        "glora": "GLoRA",
        "gralora": "GraLoRA",
        "hira": "HiRA",
        "hra": "HRA",
        "ia3": "(IA)³",
        "lily": "LILY",
        "ln_tuning": "LN tuning",
        "locon": "LoCon",
        "loha": "LoHa",
        "lokr": "LoKr",
        "lokr+dora": "LoKr with DoRA",
        "lora": "LoRA",
        "lora+diff": "LoRA with full differences",
        "lora+diff_b": "LoRA with bias differences",
        "lora+norm": "LoRA with norm layers",
        "lora_bias": "LoRA with biases",
        "lora_embed": "LoRA with embeddings",
        "lora_pattern": "LoRA with ranks by module",
        "lora_trainable_tokens": "LoRA with trainable tokens",
        "miss": "MiSS",
        "modulation": "modulation difference",
        "multitask_prompt_tuning": "multitask prompt tuning",
        "norm": "norm difference",
        "oft": "OFT",
        "osf": "OSF",
        "p_tuning": "P-tuning",
        "peanut": "PEANuT",
        "poly": "Poly",
        "prefix_tuning": "prefix tuning",
        "prompt_tuning": "prompt tuning",
        "psoft": "PSOFT",
        "pvera": "PVeRA",
        "randlora": "RandLoRA",
        "road": "RoAd",
        "rslora": "rank-stabilised LoRA",
        "shadow": "ShadowPEFT",
        "shira": "SHiRA",
        "supertuning": "SuperTuning",
        "tinylora": "TinyLoRA",
        "tlora": "T-LoRA",
        "trainable_tokens": "trainable tokens",
        "unilora": "UniLoRA",
        "vblora": "VB-LoRA",
        "vera": "VeRA",
        "waveft": "WaveFT",
        "xlora": "X-LoRA classifier",
    }
)
"""Algorithm to its display name; `algorithm_title` names the composites that stand not here."""

_ADDITIONS: Mapping[str, str] = MappingProxyType(
    {
        "dora": "DoRA",
        "norm": "norm layers",
        "diff": "full differences",
        "diff_b": "bias differences",
    }
)


def algorithm_title(algorithm: str) -> str:
    """Name an algorithm, or a composite such as `loha+norm`, for people."""
    known = ALGORITHM_TITLES.get(algorithm)
    if known is not None:
        return known
    first, *additions = algorithm.split("+")
    named = [ALGORITHM_TITLES.get(first, first), *(_ADDITIONS.get(a, a) for a in additions)]
    return " with ".join([named[0], " and ".join(named[1:])]) if additions else named[0]


SIDEKICKS = frozenset({"bias", "norm", "modulation", "dora", "bfl-control", "full"})
"""Algorithms that name a file only when nothing else is in it."""

_CONV_TARGET = re.compile(
    r"resnets|in_layers|out_layers|emb_layers|skip_connection|(?:^|[._])conv(?:\d|_|\.|$)"
)
# LoCon is the name that the kohya world gave to LoRA on convolutions.
_LOCON_CONVENTIONS = frozenset(
    {"kohya", "kohya_sgm_blocks", "onetrainer_legacy", "simpletuner_lycoris"}
)


def _sets(*alternatives: str) -> tuple[frozenset[str], ...]:
    return tuple(frozenset(names.split()) for names in alternatives)


COMPLETE: Mapping[str, tuple[frozenset[str], ...]] = MappingProxyType(
    {
        "lora": _sets("down up", "embedding_down embedding_up", "down part_up", "part_down up"),
        "loha": _sets("hada_w1_a hada_w1_b hada_w2_a hada_w2_b"),
        "lokr": _sets(
            "lokr_w1 lokr_w2",
            "lokr_w1_a lokr_w1_b lokr_w2",
            "lokr_w1 lokr_w2_a lokr_w2_b",
            "lokr_w1_a lokr_w1_b lokr_w2_a lokr_w2_b",
        ),
        "glora": _sets(
            "glora_a1 glora_a2 glora_b1 glora_b2",
            "glora_A.Xd glora_A.Xu glora_B.Xd glora_B.Xu",
            "glora_A.X glora_B.X",
            "glora_A.zeros glora_B.zeros",
        ),
        "adalora": _sets("down up singular", "embedding_down embedding_up singular"),
        "adaption_prompt": _sets("prompt gate"),
        "boft": _sets("boft_r boft_s", "oft_blocks"),
        "delora": _sets("delora_A delora_B delora_lambda"),
        "gralora": _sets("gralora_A gralora_B"),
        "hira": _sets("hira_A hira_B", "hira_embedding_A hira_embedding_B"),
        "ia3": _sets("ia3_l", "vector on_input"),
        "osf": _sets("osf_svd_params.S_low osf_svd_params.U_low osf_svd_params.V_low"),
        "poly": _sets("poly_lora_A poly_lora_B"),
        "randlora": _sets("randlora_lambda randlora_gamma"),
        "road": _sets("road_theta road_alpha"),
        "shadow": _sets("shadow_down shadow_up"),
        "shira": _sets("shira_weight shira_indices", "shira_weight"),
        "tlora": _sets("tlora_q tlora_p tlora_s"),
        "vblora": _sets(
            "vblora_logits_A vblora_logits_B",
            "vblora_logits_A_topk_indices vblora_logits_A_topk_weights "
            "vblora_logits_B_topk_indices vblora_logits_B_topk_weights",
        ),
        "vera": _sets("vera_lambda_b vera_lambda_d"),
    }
)
"""Algorithm to the sets of roles that make a module of it whole; any one of them will do."""


_DECOMPOSED = ("lora", "loha", "lokr", "glora")


@lru_cache(maxsize=1024)
def _is_complete(algorithm: str, roles: frozenset[str]) -> bool:
    if algorithm == "dora":  # a magnitude, and whatever else the weight is decomposed into
        bases = any(_is_complete(name, roles) for name in _DECOMPOSED)
        return "magnitude" in roles and (bases or "diff" in roles)
    needed = COMPLETE.get("lora" if algorithm == "locon" else algorithm)
    return needed is None or any(alternative <= roles for alternative in needed)


def is_complete(algorithm: str, roles: Collection[str]) -> bool:
    """Tell whether a module has every tensor that its algorithm needs."""
    if "down" in roles and "up" in roles and algorithm in {"lora", "locon"}:
        return True
    return _is_complete(algorithm, frozenset(roles))


def order(shown: Iterable[str]) -> tuple[str, ...]:
    """Algorithms that a module's suffixes show, the leading one first."""
    found = set(shown)
    if "adalora" in found:
        found.discard("lora")  # it keeps LoRA's suffixes
    if "multitask_prompt_tuning" in found:
        found.discard("prompt_tuning")
    return tuple(sorted(found, key=lambda name: (name in SIDEKICKS, name)))


def refine(
    algorithms: tuple[str, ...], path: str, convention: str, *, is_conv: bool, has_core: bool
) -> tuple[str, ...]:
    """Name kohya's and LyCORIS' LoRA on a convolution LoCon; in other conventions it stays LoRA.

    Args:
        algorithms: What the suffixes show.
        path: The module's path in the base model.
        convention: Convention of the module.
        is_conv: The shapes show a kernel larger than one.
        has_core: There is a Tucker core, which only LyCORIS writes.
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
    """Name the algorithms of a file.

    Metadata and config only decide what no tensor tells: DyLoRA, rank-stabilised and activated
    LoRA, LoRA with ranks by module, and which of the prompt methods a `prompt_embeddings` is of.

    Args:
        modules: Adapted modules.
        metadata: The file's `__metadata__`.
        config: The `adapter_config.json` beside it.

    Returns:
        The leading algorithm, with additions (`lokr+dora`, `lora+norm`), None without modules;
        and every algorithm with its modules, most modules first. A file with kohya's LoRA on
        any convolution counts as LoCon whole.
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
    ordered = sorted(totals, key=lambda name: (name in SIDEKICKS, -totals[name], name))
    return {name: totals[name] for name in ordered}


def _leading(totals: Mapping[str, int], modules: Sequence[Module]) -> str | None:
    if not totals:
        return None
    main = next(iter(totals))
    if main in SIDEKICKS:
        return "full" if main in {"bias", "modulation"} else main
    whole = totals[main]
    parts = [main]
    if 2 * totals.get("dora", 0) >= whole:
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
    """LoRA with what PEFT can put beside it: token deltas, embeddings, biases."""
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


_PROMPTS: Mapping[str, str] = MappingProxyType(
    {
        "P_TUNING": "p_tuning",
        "PREFIX_TUNING": "prefix_tuning",
        "MULTITASK_PROMPT_TUNING": "multitask_prompt_tuning",
        "CARTRIDGE": "cartridge",
        "CPT": "cpt",
    }
)


def _variant(metadata: Mapping[str, str], config: AdapterConfig | None) -> str | None:
    """A kind of LoRA that no tensor tells, by the word of the config or the metadata."""
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
    value = parsed(metadata, key)
    return value if isinstance(value, dict) else {}


def _declares(declared: Mapping[str, object], field: str) -> bool:
    """One component at least sets the field: keys are `unet.use_rslora`, or bare."""
    return any(
        bool(value) and value not in ("False", "false")
        for key, value in declared.items()
        if key == field or key.endswith(f".{field}")
    )
