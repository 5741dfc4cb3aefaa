"""Chooses the value of each field from what header, sidecars and names say."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lorary.anatomy.claims.base_models import FILE_NAME, claims_of, covers
from lorary.anatomy.claims.lineages import lineages
from lorary.anatomy.claims.metadata import clean
from lorary.anatomy.display_names import title_of
from lorary.client.errors import LoraryError
from lorary.library.index.listing import Row
from lorary.library.sidecars.reading import Confidence, Value, read_sidecar
from lorary.library.variants import checkpoint_of, is_generic

#: Confidence of a value to its place; lower ones come first.
RANK = {"proven": 0, "declared": 1, "likely": 2, "claimed": 3, "guessed": 4}
#: Sources of values that a hub reads from the file itself.
_OF_FILE = frozenset({"tensors", "header", "file name"})
#: Tag of a site to the kind of an adapter.
_KINDS = {
    "celebrity": "character", "character": "character", "clothing": "clothing",
    "concept": "concept", "lighting": "lighting", "object": "object", "objects": "object",
    "pose": "pose", "poses": "pose", "style": "style", "tool": "tool",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Field:
    """The value of a field.

    Attributes:
        best: The value that is used.
        others: Different values of other sources.
    """

    best: Value
    others: tuple[Value, ...] = ()

    def to_dict(self) -> dict[str, object]:
        """Return plain JSON values."""
        return {**self.best.to_dict(), "others": [one.to_dict() for one in self.others]}


Fields = Mapping[str, Field]


def values_of(row: Row) -> tuple[tuple[Value, ...], tuple[LoraryError, ...]]:
    """Return what is said about a file, and why some sidecars could not be read."""
    sidecars = [_read(row.path.with_name(name)) for name in row.companions.sidecars]
    errors = tuple(one for one in sidecars if isinstance(one, LoraryError))
    found = [value for one in sidecars if not isinstance(one, LoraryError) for value in one]
    found += _header(row)
    found += [derived for value in found for derived in _derived(row, value)]
    found.append(Value("title", clean(title_of(name_of(row))), "file name", "guessed"))
    return tuple(found), errors


def _read(sidecar: Path) -> tuple[Value, ...] | LoraryError:
    try:
        return read_sidecar(sidecar)
    except LoraryError as error:
        return error


def name_of(row: Row) -> str:
    """Return a file's name without epoch, step and half; that of its folder if it is generic."""
    common = row.series.rpartition(os.sep)[2]
    if is_generic(common.partition("(")[0]):
        return row.path.parent.name
    return common if row.half else checkpoint_of(row.path.name).run.strip()


def chosen(values: Iterable[Value]) -> Fields:
    """Return the most trusted value of each field; among equals, the first.

    Lineages of another base model than the chosen one do not count.
    """
    ranked = sorted(values, key=lambda value: RANK[value.confidence])
    by_field: dict[str, list[Value]] = {}
    for value in ranked:
        by_field.setdefault(value.field, []).append(value)
    family = next((one.value for one in by_field.get("family", ())), "")
    fitting = [one for one in by_field.pop("lineage", ()) if _fits(one, family)]
    by_field |= {"lineage": fitting} if fitting else {}
    return {
        name: Field(
            listed[0], tuple(one for one in listed[1:] if _key(one.value) != _key(listed[0].value))
        )
        for name, listed in by_field.items()
    }


def _key(value: object) -> object:
    """Return a value to compare: sites write ``Apache-2.0`` and ``apache-2.0``."""
    return value.casefold() if isinstance(value, str) else value


def _fits(lineage: Value, family: object) -> bool:
    """Return whether a checkpoint may be one of a base model; True if either is not known."""
    known = lineages().family_of(str(lineage.value))
    return not known or not family or covers(known, str(family))


def combined(fields: Fields, others: Fields) -> Fields:
    """Return fields with others, which come first, and no lineage of another base model."""
    family = text_of({**fields, **others}, "family")

    def fitting(some: Fields) -> Fields:
        return {
            name: field
            for name, field in some.items()
            if name != "lineage" or _fits(field.best, family)
        }

    return {**fitting(fields), **fitting(others)}


def with_given(fields: Fields, given: Fields) -> Fields:
    """Return fields with those that a person gave, which all count."""
    return {**combined(fields, given), **given}


def _header(row: Row) -> Iterator[Value]:
    """Yield what the header says; guessed trigger words are left out."""
    if row.family:
        yield Value("family", row.family, *_origin_of_family(row))
    words = tuple(word["text"] for word in row.words if word["confidence"] != "low")
    if words:
        yield Value("trigger_words", words, row.words[0]["source"], "claimed")
    for name, value in (
        ("title", title_of("", row.title) if row.title else ""),
        ("card", row.description),
        ("licence", row.license),
        ("author", row.author),
        ("strength", row.strength),
        ("lineage", row.lineage),
    ):
        if value:
            yield Value(name, value, "header", "claimed")


def _origin_of_family(row: Row) -> tuple[str, Confidence]:
    """Return source and confidence of a file's family, as its anatomy has them."""
    claim = row.base["deciding_claim"]
    if claim is not None:
        return ("file name", "guessed") if claim == FILE_NAME else ("header", "claimed")
    return "tensors", "proven" if row.base["confidence"] == "proven" else "likely"


def _derived(row: Row, value: Value) -> Iterator[Value]:
    """Yield base model and kind as the hub names them."""
    if value.field == "base" and isinstance(value.value, str):
        claims = claims_of({"modelspec.architecture": value.value})
        family = claims.first.family if claims.first else None
        allowed = row.base.get("allowed")
        is_possible = family is not None and (not allowed or family in allowed)
        # Tools copy the claim of a header into their sidecars: it stays a claim.
        if family and family != row.family and is_possible:
            yield Value("family", family, value.source, value.confidence)
        if claims.lineage and (is_possible or family == row.family):
            yield Value("lineage", claims.lineage, value.source, value.confidence)
    if value.field == "tags" and isinstance(value.value, tuple):
        kind = next((_KINDS[tag] for tag in value.value if tag in _KINDS), None)
        if kind is not None:
            yield Value("kind", kind, value.source, "guessed")


def declared_family(fields: Fields) -> str:
    """Return the base model that options or sidecars name; "" if the file itself is trusted."""
    is_declared = "family" in fields and fields["family"].best.source not in _OF_FILE
    return text_of(fields, "family") if is_declared else ""


def text_of(fields: Fields, name: str) -> str:
    """Return the text of a field; empty if there is none."""
    value = fields[name].best.value if name in fields else ""
    return value if isinstance(value, str) else ""


def texts_of(fields: Fields, name: str) -> tuple[str, ...]:
    """Return the texts of a field."""
    value = fields[name].best.value if name in fields else ()
    return tuple(str(text) for text in value) if isinstance(value, tuple) else ()


def number_of(fields: Fields, name: str) -> float | None:
    """Return the number of a field."""
    value = fields[name].best.value if name in fields else None
    return float(value) if isinstance(value, int | float) else None


def sources_line(fields: Fields, names: Sequence[str]) -> str:
    """Return where fields come from: ``title: noir.civitai.info (claimed)``, and so on."""
    listed = [
        f"{name.replace('_', ' ')}: {fields[name].best.source} ({fields[name].best.confidence})"
        for name in names
        if name in fields
    ]
    return f"Imported. {'; '.join(listed)}." if listed else "Imported."
