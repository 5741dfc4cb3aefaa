"""Mapping of family and lineage to Civitai's ``baseModel``, and of its names to conditions.

The table is ``basemodels.toml``. The first lineage of a family whose words are in the version's
lineage gives the name, so a condition excludes the lineages before it.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

from django.db.models import Q

from lorary.anatomy import FAMILIES

OTHER = "Other"
_UNKNOWN = "unknown"

#: Valid names that no adapter of a hub can have, besides those of the table.
_ELSEWHERE = (
    "ACE Audio", "Boogu", "Flux.1 Krea", "Grok", "HappyHorse", "HiDream-O1", "Imagen4", "Kling",
    "Lens", "MageFlow", "MiniMax H3", "Nano Banana", "ODOR", "OpenAI", "Qwen 2", "Qwen 3",
    "SD 2.0 768", "SD 2.1 Unclip", "SD 3.5", "SVD", "SVD XT", "Seedance", "Seedream", "Sora 2",
    "Stable Cascade", "Upscaler", "Veo 3", "Vidu Q1", "Wan Image 2.7", "Wan Video", "Wan Video 2.7",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Family:
    """Names of a family: (words, name) of its lineages, and its own name."""

    name: str
    lineages: tuple[tuple[str, str], ...] = ()

    def of(self, lineage: str) -> str:
        """Return the name of a lineage."""
        folded = lineage.casefold()
        return next(
            (name for words, name in self.lineages if words.casefold() in folded), self.name
        )

    @property
    def names(self) -> frozenset[str]:
        """Return all names of its adapters."""
        return frozenset({self.name, *(name for _words, name in self.lineages)})

    def ways_to(self, wanted: frozenset[str], lineage: str) -> Q:
        """Return the condition on the lineage column for some names."""
        found, before = Q(pk__in=[]), Q()
        for words, name in self.lineages:
            has = Q(**{f"{lineage}__icontains": words})
            if name in wanted:
                found |= has & before
            before &= ~has
        if self.name not in wanted:
            return found
        return found | before if self.lineages else before


@cache
def _table() -> Mapping[str, Family]:
    text = resources.files(__package__).joinpath("basemodels.toml").read_text(encoding="utf-8")
    return {
        family: Family(row["name"], tuple((words, name) for words, name in row.get("lineages", ())))
        for family, row in tomllib.loads(text).items()
    }


def _names() -> Iterable[str]:
    for family in _table().values():
        yield from family.names


#: All valid names.
NAMES: tuple[str, ...] = tuple(sorted({*_names(), *_ELSEWHERE}, key=str.casefold))


def name_of(family: str, lineage: str) -> str:
    """Return Civitai's name of a base model; “Other” if it has none."""
    table = _table()
    if family in table and family != _UNKNOWN:
        return table[family].of(lineage)
    return OTHER if family in FAMILIES else table[_UNKNOWN].of(lineage)


def condition(names: Iterable[str], *, family: str = "family", lineage: str = "lineage") -> Q:
    """Return the condition for rows whose base model has one of the names.

    Args:
        names: Some of ``NAMES``.
    """
    wanted, table = frozenset(names), _table()
    known = [one for one in table if one != _UNKNOWN]
    found = Q(pk__in=[])
    for one in (one for one in known if table[one].names & wanted):
        found |= Q(**{family: one}) & table[one].ways_to(wanted, lineage)
    nameless = sorted(set(FAMILIES) - set(known))
    if OTHER in wanted:
        found |= Q(**{f"{family}__in": nameless})
    rest = ~Q(**{f"{family}__in": [*known, *nameless]})
    return found | (rest & table[_UNKNOWN].ways_to(wanted, lineage))
