"""Base-model families: their tables, and the indexes of their modules.

A table (`families/<id>.json`) lists the weights of a base model as templates with their shapes:

    "double_blocks.{0-18}.{img,txt}_attn.qkv": [9216, 3072]

`docs/families.md` explains every key of a table. To add a family, add a table, and a test vector in
`tests/builders/models.py`.
"""

from __future__ import annotations

import difflib
import fnmatch
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import resources
from typing import Any

from lorary.anatomy.base_models.module_index import Index, Place, Row, block_name, expand, rows_of
from lorary.anatomy.tables import read_table

__all__ = [
    "FAMILIES",
    "Encoder",
    "Family",
    "Index",
    "Place",
    "block_name",
    "build_family",
    "encoder_index",
    "encoders",
    "expand",
    "families",
    "family_index",
    "family_title",
]


# Not slotted, because of the cached properties.
@dataclass(frozen=True)
class Family:
    """A base-model architecture.

    Attributes:
        claims: Metadata key to prefixes of values that claim this family, beside `claims.json`.
        left_out: Sets of modules that trainers exclude by default, as shell patterns.
    """

    id: str  # stable id, such as `sdxl`
    title: str  # display name
    order: int  # position in lists
    kohya: str  # naming that kohya-style trainers flatten for this family
    text_encoders: Mapping[str, tuple[str, ...]]  # part to the encoders that it may be
    claims: Mapping[str, tuple[str, ...]]
    conventions: frozenset[str]  # file conventions that only trainers of this family write
    adapts_all: frozenset[str]  # trainers' networks that adapt every linear layer of the blocks
    left_out: tuple[tuple[str, ...], ...]
    use: int  # number of published adapters as a power of ten; see `docs/families.md`
    parents: frozenset[str]  # families whose tables it extends
    rows: Mapping[str, tuple[Row, ...]]  # naming to the weights in the table

    @cached_property
    def namings(self) -> Mapping[str, Mapping[str, tuple[int, ...]]]:
        """Naming to module name to weight shape."""
        return {
            naming: {name: row.shape for row in rows for name in row.names()}
            for naming, rows in self.rows.items()
        }

    @cached_property
    def depths(self) -> Mapping[str, int]:
        """Stack of blocks to its number of blocks, the largest of all namings."""
        depths: dict[str, int] = {}
        for rows in self.rows.values():
            for row in rows:
                stack, is_stack, _ = row.pattern.partition(".#")
                if is_stack and "#" not in stack:
                    depth = max(map(int, row.numbers[0])) + 1
                    depths[stack] = max(depths.get(stack, 0), depth)
        return depths

    @cached_property
    def targets(self) -> Mapping[str, Mapping[str, int]]:
        """Naming to pattern inside a block to the number of modules with it."""
        found: dict[str, dict[str, int]] = {}
        for naming, rows in self.rows.items():
            counts = found[naming] = {}
            for row in rows:
                counts[row.target] = counts.get(row.target, 0) + row.size
        return found

    @cached_property
    def linear(self) -> Mapping[str, int]:
        """Naming to number of linear layers."""
        return {
            naming: sum(row.size for row in rows if len(row.shape) == 2)
            for naming, rows in self.rows.items()
        }

    def left_out_sets(self, pattern: str) -> frozenset[int]:
        """Return numbers of the sets of `left_out` that contain a pattern."""
        found = self._left_out_sets.get(pattern)
        if found is None:
            numbers = (number for number, form in enumerate(self._left_out) if form.match(pattern))
            found = self._left_out_sets[pattern] = frozenset(numbers)
        return found

    @cached_property
    def _left_out(self) -> tuple[re.Pattern[str], ...]:
        """Compiled on first use: a file asks only for a few families."""
        return tuple(re.compile("|".join(map(fnmatch.translate, group))) for group in self.left_out)

    @cached_property
    def _left_out_sets(self) -> dict[str, frozenset[int]]:
        return {}

    @cached_property
    def usual(self) -> Mapping[str, Mapping[frozenset[int], int]]:
        """Naming to sets of `left_out` to number of modules in these sets."""
        found: dict[str, dict[frozenset[int], int]] = {}
        for naming, rows in self.rows.items():
            counts = found[naming] = {}
            for row in rows:
                sets = self.left_out_sets(row.pattern)
                counts[sets] = counts.get(sets, 0) + row.size
        return found


@dataclass(frozen=True, slots=True)
class Encoder:
    """A text encoder."""

    id: str  # stable id, such as `clip_l`
    title: str  # display name
    is_llm: bool  # a language model that adapters are also made for by itself
    modules: int  # number of linear layers


_Table = Mapping[str, Any]


@cache
def _tables() -> Mapping[str, _Table]:
    """Return raw tables by family id, in display order."""
    folder = resources.files("lorary.anatomy") / "families"
    loaded = [
        json.loads(file.read_text("utf-8"))
        for file in folder.iterdir()
        if file.name.endswith(".json")
    ]
    return {table["id"]: table for table in sorted(loaded, key=lambda table: table["order"])}


def _rows(table: _Table, tables: Mapping[str, _Table]) -> _Rows:
    extends, without, family = table.get("extends", {}), table.get("without", {}), table["id"]
    found: _Rows = {}
    for naming, templates in table["namings"].items():
        rows = [
            row for text, shape in templates.items() for row in rows_of(family, naming, text, shape)
        ]
        if naming in extends:
            parent = tables[extends[naming]]["namings"][naming]
            rows = _inherited(parent, rows, without.get(naming, []), family, naming) + rows
        found[naming] = tuple(rows)
    return found


_Rows = dict[str, tuple[Row, ...]]


def _inherited(
    parent: Mapping[str, list[int]], own: list[Row], without: list[str], family: str, naming: str
) -> list[Row]:
    """Return the parent's rows without those that the table replaces or removes."""
    replaced: dict[str, list[Row]] = {}
    for row in own:
        replaced.setdefault(row.pattern, []).append(row)
    for text in without:
        for row in rows_of(family, naming, text, ()):
            replaced.setdefault(row.pattern, []).append(row)
    rows = []
    for text, shape in parent.items():
        for row in rows_of(family, naming, text, shape):
            rest = [row]
            for other in replaced.get(row.pattern, ()):
                rest = [piece for part in rest for piece in part.minus(other)]
            rows += rest
    return rows


def build_family(table: _Table, tables: Mapping[str, _Table]) -> Family:
    """Return the family of a table.

    Args:
        tables: All tables by id, including those that it extends.
    """
    return Family(
        id=table["id"],
        title=table["title"],
        order=table["order"],
        kohya=table["kohya"],
        text_encoders={part: tuple(ids) for part, ids in table.get("text_encoders", {}).items()},
        claims={key: tuple(values) for key, values in table.get("claims", {}).items()},
        conventions=frozenset(table.get("conventions", ())),
        adapts_all=frozenset(table.get("adapts_all", ())),
        left_out=tuple(map(tuple, table.get("left_out", ()))),
        use=table.get("use", 0),
        parents=frozenset(table.get("extends", {}).values()),
        rows=_rows(table, tables),
    )


@cache
def families() -> Mapping[str, Family]:
    """Return all families by id, in display order."""
    tables = _tables()
    return {name: build_family(table, tables) for name, table in tables.items()}


@cache
def family_index() -> Index:
    """Return the index of the denoiser modules of all families."""
    known = families()
    return Index(
        known, (row for family in known.values() for rows in family.rows.values() for row in rows)
    )


@cache
def _encoder_tables() -> Mapping[str, _Table]:
    loaded: dict[str, _Table] = read_table("encoders.json")
    return loaded


def _encoder_rows(encoder: str) -> Iterator[Row]:
    for template, shape in _encoder_tables()[encoder]["modules"].items():
        yield from rows_of(encoder, "transformers", template, shape)


@cache
def encoders() -> Mapping[str, Encoder]:
    """Return all text encoders by id."""
    return {
        name: Encoder(
            name,
            table["title"],
            table.get("is_llm", False),
            sum(row.size for row in _encoder_rows(name)),
        )
        for name, table in _encoder_tables().items()
    }


@cache
def encoder_index() -> Index:
    """Return the index of the modules of all text encoders, with and without the outer level.

    Source: transformers 5 dropped the level `text_model` from `CLIPTextModel`; language models have
    the level `model` only with their head.
    """
    rows = []
    for name in _encoder_tables():
        for row in _encoder_rows(name):
            rows.append(row)
            inner = row.pattern.removeprefix("text_model.")
            if inner != row.pattern:
                rows.append(row._replace(pattern=inner))
    return Index(_encoder_tables(), rows)


class _Titles(Mapping[str, str]):
    """Family id to title; reads the tables on first access."""

    def __getitem__(self, key: str) -> str:
        title: str = _tables()[key]["title"]
        return title

    def __iter__(self) -> Iterator[str]:
        return iter(_tables())

    def __len__(self) -> int:
        return len(_tables())


FAMILIES: Mapping[str, str] = _Titles()
"""Family id to title, in display order."""

_MOST_SIMILAR = 5


def similar_families(text: str) -> list[str]:
    """Return the ids of the families whose id or title is most like a text, the best first."""
    known = {name: name for name in FAMILIES}
    known |= {title.casefold(): name for name, title in FAMILIES.items()}
    close = difflib.get_close_matches(text.strip().casefold(), known, 2 * _MOST_SIMILAR)
    return list(dict.fromkeys(known[one] for one in close))[:_MOST_SIMILAR]


@cache
def _other_titles() -> Mapping[str, str]:
    """Return titles of groups of families and of models without a table."""
    titles: dict[str, str] = read_table("claims.json")["titles"]
    return titles


# Ids of claimed language models, such as `llama31_8b`.
_LANGUAGE_MODEL = re.compile(r"([a-z]{1,64})([0-9]{0,9})_([0-9]{1,9}(?:_[0-9]{1,9})?)([bm])")


def family_title(family: str | None) -> str:
    """Return the display name of a family, a group or a claimed model; "Unknown" for None."""
    if family is None:
        return "Unknown"
    found = FAMILIES.get(family) or _other_titles().get(family)
    if found:
        return found
    model = _LANGUAGE_MODEL.fullmatch(family)
    if model is None:
        words = family.replace("_", " ")
        return words[:1].upper() + words[1:]
    name, version, size, unit = model.groups()
    title = _other_titles().get(name, name.capitalize())
    size = size.replace("_", ".") + unit.upper()
    return " ".join(filter(None, (title, ".".join(version), size)))
