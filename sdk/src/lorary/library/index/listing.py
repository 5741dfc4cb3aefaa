"""Reads what the index knows about files."""

from __future__ import annotations

import json
import os
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

from lorary.client.finding.by_hash import AUTOV2_DIGITS, AUTOV3_DIGITS
from lorary.client.transfers.folders import Entry
from lorary.library.index.database import BELOW, Index, below
from lorary.library.index.records import Records
from lorary.library.index.walking import companions_from
from lorary.library.layouts import LAYOUTS
from lorary.library.sidecars.beside import Companions

_TEXTS = (
    "key", "series", "half", "sha256", "data_sha256", "autov1", "kind", "family", "lineage",
    "algorithm", "trainer", "session", "title", "description",
    "author", "license",
)  # fmt: skip
_NUMBERS = ("size", "number", "rank", "alpha", "epochs", "steps", "strength")
_LISTS = ("candidates", "words")
_OTHERS = ("path", "base", "companions", "beside", "matches", "fault_code", "fault")
_NAMES = (*_TEXTS, *_NUMBERS, *_LISTS, *_OTHERS)
#: Columns that more than one table has, or that have another name in the index.
_COLUMNS = {"key": "f.key", "beside": "f.words", "words": "c.words", "sha256": "c.sha256",
            "fault_code": "COALESCE(f.fault_code, c.refusal_code)",
            "fault": "COALESCE(f.fault, c.refusal)"}  # fmt: skip
_FROM = (
    "FROM files f LEFT JOIN contents c ON c.key = f.key"
    " LEFT JOIN answers a ON a.hub = ? AND a.sha256 = c.sha256"
)
_SAME_BYTES = (
    "EXISTS (SELECT 1 FROM contents o JOIN files p ON p.key = o.key"
    " WHERE o.sha256 = c.sha256 AND o.key <> c.key)"
)
_SAME_TENSORS = (
    "(c.data_sha256 <> '' AND EXISTS (SELECT 1 FROM contents o JOIN files p ON p.key = o.key"
    " WHERE o.data_sha256 = c.data_sha256 AND o.sha256 <> c.sha256))"
)
_BROKEN = "(f.fault_code IS NOT NULL OR c.refusal_code IS NOT NULL)"
_CONDITIONS: Mapping[str, str] = {
    "missing_triggers": "c.kind = 'adapter' AND c.has_words = 0 AND COALESCE(f.words, '[]') = '[]'"
    " AND COALESCE(a.has_words, 0) = 0",
    "duplicates": f"({_SAME_BYTES} OR {_SAME_TENSORS})",
    "not_on_hub": f"a.matches = '[]' AND NOT {_BROKEN}",
    "broken": _BROKEN,
}


@dataclass(frozen=True, slots=True)
class Filters:
    """Which files to list; all filters that are set must apply.

    Attributes:
        roots: Only files in these folders.
        family: Only files for this base model, or that may be for it.
        missing_triggers: Only adapters without a known trigger word.
        duplicates: Only files whose bytes or tensors another file has too.
        not_on_hub: Only files that can be read and that the hub does not have.
        broken: Only files that cannot be read.
        run: Only files that were new or changed in this scan.
    """

    roots: Sequence[Path] = ()
    family: str = ""
    missing_triggers: bool = False
    duplicates: bool = False
    not_on_hub: bool = False
    broken: bool = False
    run: int = 0


@dataclass(frozen=True, slots=True)
class Row:
    """A file of the index.

    Attributes:
        base: How certain the base model is: ``confidence``, ``allowed``, ``likely``, ``claimed``,
            ``agreement`` and ``deciding_claim`` of the anatomy; empty if it was not read.
        words: Trigger words of the header with source and confidence.
        beside: Trigger words in its sidecars.
        matches: What the hub has of it, first what it was pulled from; None if it was not asked.
        same_bytes: Other files with the same bytes.
        same_tensors: Files with the same tensors and another header.
        run: Other checkpoints of the same training run, in their order; of copies, one.
        pair: The other half, of a file for one half of a base model.
        is_pulled: Whether it was pulled from the first of ``matches``.
    """

    path: Path
    key: str
    size: int
    companions: Companions
    beside: tuple[str, ...]
    series: str
    half: str
    number: int | None
    error: tuple[str, str] | None
    sha256: str
    data_sha256: str
    autov1: str
    kind: str
    family: str
    candidates: tuple[str, ...]
    base: Mapping[str, Any]
    lineage: str
    algorithm: str
    rank: int | None
    alpha: float | None
    trainer: str
    session: str
    epochs: int | None
    steps: int | None
    title: str
    description: str
    author: str
    license: str
    strength: float | None
    words: tuple[Mapping[str, str], ...]
    matches: tuple[Mapping[str, Any], ...] | None
    same_bytes: tuple[Path, ...] = ()
    same_tensors: tuple[Path, ...] = ()
    run: tuple[Path, ...] = ()
    pair: Path | None = None
    is_pulled: bool = False

    def copy_order(self, *, is_placed: bool = False) -> tuple[int, bool, bool, int, int, Path]:
        """Return a sort key: of copies, the first is used.

        Args:
            is_placed: Whether it is where a chosen tool looks for it.
        """
        folder = f"{self.path.parent.as_posix()}/"
        return (
            -len(self.companions.names),
            not is_placed,
            not any(f"/{name}/" in folder for name in LAYOUTS.values() if name),
            len(self.path.parts),
            len(self.path.name),  # browsers add “ (1)”
            self.path,
        )

    @property
    def order(self) -> tuple[float, float, float]:
        """Its place in a training run; a file without any number is the last."""
        number = float("inf") if self.number is None else self.number
        unknown = 0 if self.steps or self.epochs or self.number is not None else number
        return self.steps or unknown, self.epochs or unknown, number

    def to_dict(self) -> dict[str, object]:
        """Return plain JSON values."""
        document: dict[str, object] = {
            "path": os.fspath(self.path),
            "size": self.size,
            "sha256": self.sha256 or None,
            "autov1": self.autov1 or None,
            "autov2": self.sha256[:AUTOV2_DIGITS] or None,
            "autov3": self.data_sha256[:AUTOV3_DIGITS] or None,
            "kind": self.kind or None,
            "title": self.title or None,
            "family": self.family or None,
            "candidates": list(self.candidates),
            "confidence": self.base.get("confidence"),
            "lineage": self.lineage or None,
            "algorithm": self.algorithm or None,
            "rank": self.rank,
            "alpha": self.alpha,
            "trainer": self.trainer or None,
            "session": self.session or None,
            "epochs": self.epochs,
            "steps": self.steps,
            "half": self.half or None,
            "trigger_words": self.all_words,
            "companions": list(self.companions.names),
            "hub": None if self.matches is None else list(self.matches),
            "same_bytes": list(map(os.fspath, self.same_bytes)),
            "same_tensors": list(map(os.fspath, self.same_tensors)),
            "run": list(map(os.fspath, self.run)),
            "pair": None if self.pair is None else os.fspath(self.pair),
        }
        if self.error is not None:
            document["error"] = {"code": self.error[0], "message": self.error[1]}
        return document

    @property
    def all_words(self) -> list[Mapping[str, str]]:
        """Trigger words with source and confidence, each once; guesses come last.

        Those of the version that it was pulled from come first, then those of header, sidecars
        and other versions on the hub.
        """
        by_match = [
            [
                _word(text, f"{match['adapter']}@{match['version']}")
                for text in match["trigger_words"]
            ]
            for match in self.matches or ()
        ]
        own = by_match[:1] if self.is_pulled else []
        beside = [_word(text, "sidecar") for text in self.beside]
        found = chain(*own, self.words, beside, *by_match[len(own) :])
        words: dict[str, Mapping[str, str]] = {}
        for word in sorted(found, key=lambda word: word["confidence"] == "low"):
            words.setdefault(word["text"].casefold(), word)
        return [*words.values()]


def _word(text: str, source: str) -> Mapping[str, str]:
    return {"text": text, "source": source, "confidence": "high"}


def count(index: Index, hub: str, filters: Filters) -> dict[str, int]:
    """Return how many files there are, and how many of them each filter would list.

    Args:
        hub: Address of the hub whose answers count.
    """
    where, values = _where(filters)
    names = ["files", "on_hub", *_CONDITIONS]
    sums = ["COUNT(*)", *(f"TOTAL({one})" for one in ("a.matches <> '[]'", *_CONDITIONS.values()))]
    query = f"SELECT {', '.join(sums)} {_FROM} {where}"
    return dict(zip(names, map(int, next(index.rows(query, (hub, *values)))), strict=True))


def rows(index: Index, hub: str, filters: Filters) -> Generator[Row, None, None]:
    """Yield the files of the index in the order of their paths.

    Args:
        hub: Address of the hub whose answers count.
    """
    where, values = _where(filters)
    columns = ", ".join(_COLUMNS.get(name, name) for name in _NAMES)
    query = f"SELECT {columns} {_FROM} {where} ORDER BY f.path"
    records = Records()
    for one in index.rows(query, (hub, *values)):
        row = _row(index, one)
        yield _pulled_first(row, records.entry_of(row.path), hub) if row.matches else row


def _pulled_first(row: Row, entry: Entry | None, hub: str) -> Row:
    """Return a file with what it was pulled from as its first match, if that is one of the hub."""
    if entry is None or entry.hub != hub or not row.matches:
        return row

    def order(match: Mapping[str, Any]) -> tuple[bool, bool]:
        is_own = match["adapter"] == entry.adapter
        return not is_own, is_own and match["version"] != entry.version

    matches = tuple(sorted(row.matches, key=order))
    return replace(row, matches=matches, is_pulled=matches[0]["adapter"] == entry.adapter)


def _where(filters: Filters) -> tuple[str, list[object]]:
    """Return the condition of a query, and its values."""
    conditions: list[str] = []
    values: list[object] = []
    for name, condition in _CONDITIONS.items():
        if getattr(filters, name):
            conditions.append(condition)
    if filters.family:
        conditions.append("(c.family = ? OR c.candidates LIKE ?)")
        values += [filters.family, f'%"{filters.family}"%']
    if filters.run:
        conditions.append("f.touched = ?")
        values.append(filters.run)
    if filters.roots:
        conditions.append(f"({' OR '.join([BELOW] * len(filters.roots))})")
        values += [value for root in filters.roots for value in below(os.fsencode(root))]
    return f"WHERE {' AND '.join(conditions)}" if conditions else "", values


def _row(index: Index, one: Sequence[Any]) -> Row:
    facts = dict(zip(_NAMES, one, strict=True))
    code, matches = facts["fault_code"], facts["matches"]
    given: dict[str, Any] = {name: facts[name] or "" for name in _TEXTS}
    given |= {name: facts[name] for name in _NUMBERS}
    given |= {name: tuple(json.loads(facts[name] or "[]")) for name in (*_LISTS, "beside")}
    bare = Row(
        path=Path(os.fsdecode(facts["path"])),
        base=json.loads(facts["base"] or "{}"),
        companions=companions_from(facts["companions"]),
        error=(code, facts["fault"]) if code else None,
        matches=None if matches is None else tuple(json.loads(matches)),
        **given,
    )
    return _with_relatives(index, bare) if bare.sha256 else bare


def _with_relatives(index: Index, row: Row) -> Row:
    """Return a file with its duplicates and relatives."""
    same_bytes = "c.sha256 = ? AND c.key <> ?"
    same_tensors = "c.data_sha256 = ? AND c.sha256 <> ? AND c.data_sha256 <> ''"
    pair = None
    if row.half:
        series = "f.series = ? AND f.half = ? AND c.sha256 <> ?"
        relatives = _checkpoints(index, row, series, (row.series, row.half, row.sha256))
        other = "f.series = ? AND f.half NOT IN ('', ?) AND f.number IS ?"
        pair = next(iter(_paths(index, other, (row.series, row.half, row.number))), None)
    elif row.session:
        run = "c.session = ? AND c.sha256 <> ? AND f.half = ''"
        relatives = _checkpoints(index, row, run, (row.session, row.sha256))
    else:
        series = "f.series = ? AND f.number IS NOT ? AND c.session IS NULL AND f.half = ''"
        relatives = _checkpoints(index, row, series, (row.series, row.number))
    return replace(
        row,
        same_bytes=_paths(index, same_bytes, (row.sha256, row.key)),
        same_tensors=_paths(index, same_tensors, (row.data_sha256, row.sha256)),
        run=relatives,
        pair=pair,
    )


def _paths(index: Index, condition: str, values: Sequence[object]) -> tuple[Path, ...]:
    return tuple(path for path, _ in _found(index, condition, values))


def _checkpoints(
    index: Index, row: Row, condition: str, values: Sequence[object]
) -> tuple[Path, ...]:
    """Return the other files of a run: one with the same tensors is a copy, and not another one.

    Of copies, the one in the folder of the file counts.
    """
    found: dict[str, Path] = {}
    for path, tensors in _found(index, condition, values):
        if tensors not in found or found[tensors].parent != row.path.parent == path.parent:
            found[tensors] = path
    found.pop(row.data_sha256 or row.sha256, None)
    return tuple(found.values())


def _found(index: Index, condition: str, values: Sequence[object]) -> Iterator[tuple[Path, str]]:
    """Yield paths with the digests of their tensors, in the order of the training."""
    query = (
        "SELECT f.path, COALESCE(NULLIF(c.data_sha256, ''), c.sha256)"  # noqa: S608 - constants of this module
        f" FROM files f JOIN contents c ON c.key = f.key WHERE {condition}"
        " ORDER BY c.steps, c.epochs, f.number IS NULL, f.number, f.path LIMIT 500"
    )
    for path, tensors in index.rows(query, values):
        yield Path(os.fsdecode(path)), tensors
