"""Facts in OneTrainer's configuration, which the file may contain as a whole (`ot_config`).

Only the fields below are read: others contain paths, names of concepts and sample prompts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from lorary.anatomy.claims.metadata import (
    int_if_whole,
    number,
    numbers_in,
    parsed_json,
    public_name,
    public_text,
    whole_number,
)
from lorary.anatomy.tables import read_table

_KEYS: Mapping[str, Mapping[str, str]] = read_table("claims/onetrainer_keys.json")
_MOST_SIDE = 65_536


def onetrainer_config(metadata: Mapping[str, str]) -> Mapping[str, object]:
    """Return the configuration, {} without one."""
    found = parsed_json(metadata, "ot_config") if "ot_config" in metadata else None
    return found if isinstance(found, dict) else {}


def onetrainer_facts(metadata: Mapping[str, str]) -> Iterator[tuple[str, object]]:
    """Yield facts by name; absent ones are None, empty or False."""
    settings = onetrainer_config(metadata)
    if not settings:
        return
    for name, key in _KEYS["counts"].items():
        yield name, whole_number(settings.get(key))
    for name, key in _KEYS["numbers"].items():
        yield name, int_if_whole(number(settings.get(key)))
    for name, key in _KEYS["texts"].items():
        yield name, _text(settings, key)
    for name, key in _KEYS["flags"].items():
        yield name, settings.get(key) is True
    for name, key in _KEYS["parts"].items():
        part = settings.get(key)
        yield (
            name,
            int_if_whole(number(part.get("learning_rate"))) if isinstance(part, dict) else None,
        )
    base = settings.get("base_model_name")
    yield "base_model", public_name(base) if isinstance(base, str) else None
    optimizer = settings.get("optimizer")
    yield "optimizer", _text(optimizer if isinstance(optimizer, dict) else settings, "optimizer")
    if _text(settings, "loss_weight_fn") == "MIN_SNR_GAMMA":
        yield "min_snr_gamma", int_if_whole(number(settings.get("loss_weight_strength")))
    resolution = settings.get("resolution")
    sides = [int(side) for side in numbers_in(str(resolution)[:40]) if 0 < side <= _MOST_SIDE]
    if len(sides) == 1:
        yield "resolution", [sides[0], sides[0]]
    elif sides:  # used in turn
        yield "resolutions", ", ".join(f"{side}x{side}" for side in sides[:8])


def _text(settings: Mapping[str, object], key: str) -> str | None:
    value = settings.get(key)
    return public_text(value, 80) if isinstance(value, str) else None
