"""Reads an operator's table of known checkpoints, CSV or JSON.

    sha256,autov2,autov1,number,lineage,name,source
    67ab2fd8ec…,,,290640,Pony,Pony Diffusion V6 XL,https://civitai.com/models/257749

A row needs a lineage, a source and at least one id. JSON is a list of objects with these keys.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from registry.models import KnownCheckpoint

MOST_BYTES = 16 * 1024 * 1024
MOST_ROWS = 100_000
_Kind = KnownCheckpoint.IdKind
_FORMS: Mapping[str, re.Pattern[str]] = {
    _Kind.SHA256: re.compile(r"[0-9a-f]{64}"),
    _Kind.AUTOV2: re.compile(r"[0-9a-f]{10}"),
    _Kind.AUTOV1: re.compile(r"[0-9a-f]{8}"),
    _Kind.NUMBER: re.compile(r"[0-9]{1,12}"),
}
_TEXTS = {"lineage": 120, "name": 200, "source": 300}
COLUMNS = (*_FORMS, *_TEXTS)
_EMPTY = "e3b0c442"  # sha256 of no bytes, which trainers write for a file that they cannot read


class TableInvalid(ValueError):
    """Raised if a table cannot be read, or one of its rows is not valid."""


class Entry(NamedTuple):
    """An id with its lineage, and the row that it is from."""

    kind: str
    value: str
    lineage: str
    name: str
    source: str
    line: int


def read(path: Path) -> list[Entry]:
    """Return the entries of a file.

    Raises:
        TableInvalid: It cannot be read, is too large, or a row is not valid; the message names the
            line (of CSV) or the number of the entry (of JSON).
    """
    entries: dict[tuple[str, str], Entry] = {}
    for number, row in enumerate(_rows(path), 1):
        if number > MOST_ROWS:
            message = f"{path} has more than {MOST_ROWS:,} rows."
            raise TableInvalid(message)
        for entry in _entries(*row):
            before = entries.setdefault((entry.kind, entry.value), entry)
            if before.lineage != entry.lineage:
                other = f"{entry.value} has another lineage in line {before.line}"
                _refuse(entry.line, f"{other}: {before.lineage}")
    if not entries:
        message = f"{path} has no rows."
        raise TableInvalid(message)
    return list(entries.values())


def _refuse(line: int, why: str) -> NoReturn:
    message = f"Line {line}: {why}."
    raise TableInvalid(message)


def _rows(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    text = _text(path)
    return _json_rows(text) if path.suffix.lower() == ".json" else _csv_rows(text)


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(MOST_BYTES + 1)
        if len(raw) > MOST_BYTES:
            message = f"{path} is larger than {MOST_BYTES:,} bytes."
            raise TableInvalid(message)
        return raw.decode("utf-8-sig")
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror or error}."
        raise TableInvalid(message) from error
    except UnicodeDecodeError as error:
        message = f"{path} is not UTF-8 text."
        raise TableInvalid(message) from error


def _csv_rows(text: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    reader = csv.DictReader(io.StringIO(text), strict=True)
    try:
        unknown = sorted(set(reader.fieldnames or ()) - set(COLUMNS))
        if unknown or not reader.fieldnames:
            given = "the line with the names of the columns is missing"
            if unknown:
                given = f"{unknown[0][:40]!r} is not a column"
            _refuse(1, f"{given}; the columns are {', '.join(COLUMNS)}")
        for row in reader:
            if None in row:
                _refuse(reader.line_num, "more cells than columns")
            yield reader.line_num, row
    except csv.Error as error:
        message = f"Line {reader.line_num}: {error}."
        raise TableInvalid(message) from error


def _json_rows(text: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    try:
        rows = json.loads(text)
    except (ValueError, RecursionError) as error:
        message = f"The file is not JSON: {error}."
        raise TableInvalid(message) from error
    if not isinstance(rows, list):
        message = "The file is not a list of entries."
        raise TableInvalid(message)
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            _refuse(number, "not an object")
        unknown = sorted(set(row) - set(COLUMNS))
        if unknown:
            _refuse(number, f"{unknown[0][:40]!r} is not a key; the keys are {', '.join(COLUMNS)}")
        yield number, row


def _entries(line: int, row: Mapping[str, Any]) -> Iterator[Entry]:
    texts = {key: _cell(row, key) for key in _TEXTS}
    for key, most in _TEXTS.items():
        if len(texts[key]) > most or not texts[key].isprintable():
            _refuse(line, f"{key} is longer than {most} characters or not printable")
        if key != "name" and not texts[key]:
            _refuse(line, f"{key} is missing")
    ids = {kind: _cell(row, kind).lower().removeprefix("0x") for kind in _FORMS}
    if not any(ids.values()):
        _refuse(line, f"one of {', '.join(_FORMS)} is needed")
    for kind, value in ids.items():
        if not value:
            continue
        if not _FORMS[kind].fullmatch(value):
            _refuse(line, f"{value[:80]!r} is not a valid {kind}")
        if value.startswith(_EMPTY) or not value.strip("0"):
            _refuse(line, f"{value[:10]} is the hash of an empty file, or of none")
        yield Entry(kind, value, **texts, line=line)


def _cell(row: Mapping[str, Any], key: str) -> str:
    value = row.get(key)
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return str(value).strip() if isinstance(value, str) or is_number else ""
