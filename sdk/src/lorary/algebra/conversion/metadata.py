"""The metadata of a converted file, and PEFT's configuration.

lora_adapter_metadata      ranks and alphas, for diffusers and PEFT only; they have no tensors
                           for them
sshs_model_hash, …         removed: they describe the order of the old tensors
format                     `pt` for diffusers and PEFT
lorary.operation           `convert`, with both namings, and the operation that made the old file
                           under `source`
all others                 as they are
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from lorary.algebra.conversion.building import Built
from lorary.algebra.conversion.errors import refuse_module
from lorary.algebra.metadata.rules import OPERATION, operation_on
from lorary.anatomy.claims.config import METADATA_KEY

STALE = ("sshs_legacy_hash", "sshs_model_hash")
"""Hashes of the old tensors, which a converted file leaves out."""


def metadata_of(
    old: Mapping[str, str], modules: Sequence[Built], target: str, convention: str | None
) -> dict[str, str]:
    """Return the metadata of the new file.

    Args:
        convention: Convention of the old file, as in its anatomy.

    Raises:
        AlgebraError: `not_convertible`; only some modules of a component are DoRA or have a bias.
    """
    new = {key: value for key, value in old.items() if key not in {*STALE, METADATA_KEY}}
    made = {"operation": "convert", "from": convention, "to": target}
    new[OPERATION] = operation_on(old, made)
    if target in {"diffusers", "peft"}:
        new["format"] = "pt"
        new[METADATA_KEY] = json.dumps(dict(_fields(modules)), indent=2, sort_keys=True)
    return new


def _fields(modules: Sequence[Built]) -> Iterator[tuple[str, object]]:
    components: dict[str, list[Built]] = {}
    for built in modules:
        components.setdefault(built.planned.component.name, []).append(built)
    for component, own in components.items():
        for field, value in config_of(own).items():
            yield f"{component}.{field}", value


def config_of(modules: Sequence[Built]) -> dict[str, object]:
    """Return the fields of PEFT's configuration for the modules of one component.

    The most common rank and alpha are the defaults, all others are patterns. PEFT matches a pattern
    with the end of a name, so `^` limits it to this module.
    """
    pairs = [built for built in modules if built.rank]
    paths = [_suffix(built) for built in modules]
    ranks = Counter(built.rank for built in pairs)
    alphas = Counter(built.alpha for built in pairs)
    rank = ranks.most_common(1)[0][0] if ranks else 1
    alpha = alphas.most_common(1)[0][0] if alphas else 1.0
    return {
        "alpha_pattern": {
            _pattern(built): _plain(built.alpha) for built in pairs if built.alpha != alpha
        },
        "bias": "none",
        "lora_alpha": _plain(alpha),
        "lora_bias": _has(modules, "up_bias"),
        "r": rank,
        "rank_pattern": {_pattern(built): built.rank for built in pairs if built.rank != rank},
        "target_modules": sorted(paths),
        "use_dora": _has(modules, "magnitude"),
    }


def _plain(value: float) -> float:
    return int(value) if value == int(value) else value


def _suffix(built: Built) -> str:
    """Return the end of a module's name that all versions of its library have.

    transformers 5 dropped the level `text_model`.
    """
    return built.planned.path.removeprefix("text_model.")


def _pattern(built: Built) -> str:
    is_encoder = built.planned.component.name.startswith("text_encoder")
    return _suffix(built) if is_encoder else f"^{built.planned.path}"


def _has(modules: Sequence[Built], role: str) -> bool:
    """Return whether the modules have a role: all of them, or none."""
    found = [role in built.roles for built in modules]
    if any(found) and not all(found):
        built = modules[found.index(False)]
        what = "DoRA" if role == "magnitude" else "LoRA with biases"
        reason = f"is not {what} but others are, which PEFT's configuration can't express"
        raise refuse_module(built.planned.moves[0].source.name, reason)
    return any(found)


def adapter_config(modules: Sequence[Built]) -> str:
    """Return the `adapter_config.json` of a file of one component."""
    fields = {"peft_type": "LORA", "base_model_name_or_path": None, "inference_mode": True}
    return json.dumps({**fields, **config_of(modules)}, indent=2, sort_keys=True) + "\n"
