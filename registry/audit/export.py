"""Writes events as JSON Lines and CSV, line by line."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields

from registry.audit.selectors import Entry

#: First characters of cells that spreadsheets read as formulas.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def as_json_lines(entries: Iterable[Entry]) -> Iterator[str]:
    """Yield a JSON object and a line feed for each event."""
    for entry in entries:
        yield json.dumps(entry.document(), ensure_ascii=False) + "\n"


def as_csv(entries: Iterable[Entry]) -> Iterator[str]:
    """Yield the header and a row for each event (RFC 4180).

    An apostrophe is put before texts that spreadsheets would run as formulas.
    """
    line = io.StringIO()
    writer = csv.writer(line)
    writer.writerow([field.name for field in fields(Entry)])
    for entry in entries:
        document = entry.document()
        document["facts"] = json.dumps(entry.facts, ensure_ascii=False) if entry.facts else ""
        writer.writerow([_cell(value) for value in document.values()])
        yield line.getvalue()
        line.seek(0)
        line.truncate()
    yield line.getvalue()  # the header, if there was no event


def _cell(value: object) -> str:
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


#: Formats by the ending of their files, with their media types.
FORMATS: dict[str, tuple[str, Callable[[Iterable[Entry]], Iterator[str]]]] = {
    "jsonl": ("application/jsonl", as_json_lines),
    "csv": ("text/csv; charset=utf-8", as_csv),
}
