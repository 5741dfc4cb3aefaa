"""Trainers' names of base models, and the families they mean (`claims.json`)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

from lorary.anatomy.families import families
from lorary.anatomy.tables import read_table


def covers(claimed: str, family: str) -> bool:
    """Return whether a claimed family or group includes a family or smaller group."""
    if claimed == family:
        return True
    groups = _tables().groups
    return groups.get(family, frozenset({family})) <= groups.get(claimed, frozenset())


def has_tables(claimed: str) -> bool:
    """Return whether all models of a family or group have a table."""
    return _tables().groups.get(claimed, frozenset({claimed})) <= families().keys()


@dataclass(frozen=True, slots=True)
class _Tables:
    """`claims.json` in compiled form. Patterns are tried in order."""

    groups: Mapping[str, frozenset[str]]
    derived: Mapping[str, str]
    labels: Sequence[tuple[re.Pattern[str], str]]
    modules: Mapping[str, str]
    checkpoints: Sequence[tuple[re.Pattern[str], str]]
    variants: Sequence[tuple[re.Pattern[str], str]]
    prefixes: Mapping[str, str]


@cache
def _tables() -> _Tables:
    raw = read_table("claims.json")
    prefixes = {
        squash(beginning): family.id
        for family in families().values()
        for beginnings in family.claims.values()
        for beginning in beginnings
    }
    return _Tables(
        groups={name: frozenset(members) for name, members in raw["groups"].items()},
        derived=raw["derived"],
        labels=[(re.compile(form), family) for form, family in raw["labels"]],
        modules=raw["network_modules"],
        checkpoints=[(re.compile(form), family) for form, family in raw["checkpoints"]],
        variants=[(re.compile(form), lineage) for form, lineage in raw["variants"]],
        prefixes=prefixes,
    )


_APART = re.compile(r"[^0-9a-z]+")
_LANGUAGE_MODEL = re.compile(
    r"(llama|qwen|gemma|mistral|mixtral|phi|falcon|bloom|pythia|smollm|olmo|deepseek|yi|opt)"
    r"(?:[-_]?v?([0-9](?:[._][0-9]{1,2})?))?(?:[-_][a-z]{1,20})?[-_](?:v[0-9][-_])?"
    r"([0-9]{1,3}(?:[._][0-9])?)([bm])(?![a-z0-9])"
)
_ENCODER_MODEL = re.compile(r"(?:^|-)(gpt-?2|distilbert|roberta|bert|t5|whisper)(?![a-z0-9])")


def squash(value: str) -> str:
    """Return lower case without separators, so that `FLUX_KLEIN_9B` resembles `Flux-klein-9b`."""
    return _APART.sub("", value.lower())


@lru_cache(maxsize=512)
def family_of_label(value: str) -> str | None:
    """Return the family of a trainer's label, by the longest known prefix."""
    text, tables = squash(value.partition("/")[0]), _tables()
    found = next(
        ((match.end(), family) for form, family in tables.labels if (match := form.match(text))),
        (0, None),
    )
    known = [part for part in tables.prefixes if part and text.startswith(part)]
    longest = max(known, key=len, default="")
    return tables.prefixes[longest] if len(longest) > found[0] else found[1]


@lru_cache(maxsize=512)
def family_of_checkpoint(value: str) -> str | None:
    """Return the family of a checkpoint by its name."""
    text = _APART.sub("-", value.lower())
    for form, family in _tables().checkpoints:
        if form.search(text):
            return family
    model = _LANGUAGE_MODEL.search(value.lower())
    if model:
        version = _APART.sub("", model[2] or "")
        return f"{model[1]}{version}_{_APART.sub('_', model[3])}{model[4]}"
    encoder = _ENCODER_MODEL.search(text)
    return encoder[1].replace("-", "") if encoder else None


def family_of_network(module: str) -> str | None:
    """Return the family or group of a trainer's network module, such as `networks.lora_wan`."""
    return _tables().modules.get(module)


@lru_cache(maxsize=512)
def lineage_of_label(label: str) -> str | None:
    """Return the lineage that a trainer's label names, such as FLUX.1 Kontext."""
    text = squash(label.partition("/")[0])
    return next((name for form, name in _tables().variants if form.match(text)), None)


def parent_of(family: str) -> str | None:
    """Return the architecture that a family is derived from, and is easily mistaken for."""
    return _tables().derived.get(family)


def parents() -> frozenset[str]:
    """Return all architectures that others are derived from."""
    return frozenset(_tables().derived.values())


def is_name_without_owner(name: str) -> bool:
    """Return whether this is one of the few model names without an owner, such as `gpt2`."""
    return "/" not in name and _ENCODER_MODEL.search(name.lower()) is not None
