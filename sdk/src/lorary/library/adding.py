"""Adds adapters to a ``lorary.toml`` and leaves the rest of its text as it is."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Mapping
from pathlib import Path

from lorary.client.errors import ProjectInvalid
from lorary.client.names import Reference
from lorary.library.project import PROJECT, Project

_TABLE = re.compile(
    r"^[ \t]{0,64}\[[ \t]{0,64}adapters[ \t]{0,64}\][ \t]{0,64}(?:#[^\r\n]{0,1000})?\r?$",
    re.MULTILINE,
)


def add_adapters(folder: Path, versions: Mapping[str, str]) -> tuple[str, ...]:
    """Add adapters to the project of a folder; those that it has already stay as they are.

    Args:
        versions: ``owner/name`` → what is wanted, such as ``v1``.

    Returns:
        The names that were added.

    Raises:
        ReferenceInvalid: a name is none.
        FileMissing: the folder has no ``lorary.toml``.
        ProjectInvalid: it cannot be used or written.
    """
    for name, wanted in versions.items():
        Reference.parse(f"{name}@{wanted}")
    project = Project.load(folder)
    known = {wish.name for wish in project.wishes if wish.kind == "adapter"}
    new = {name: wanted for name, wanted in versions.items() if name not in known}
    if new:
        place = folder / PROJECT
        if place.is_symlink():
            msg = (
                f"{place} is a link and was not changed. Add the adapters to the file that it "
                "points to."
            )
            raise ProjectInvalid(msg)
        _write(folder, _with(new, place.read_bytes().decode()), new)
    return tuple(new)


def _with(new: Mapping[str, str], text: str) -> str:
    """Return a text with lines after ``[adapters]``, or with this table at its end.

    Lines end as in the text.
    """
    end = "\r\n" if "\r\n" in text else "\n"
    lines = "".join(f'"{name}" = "{wanted}"{end}' for name, wanted in sorted(new.items()))
    table = _TABLE.search(text)
    if table is None:
        return f"{text.rstrip()}{end}{end}[adapters]{end}{lines}"
    head, rest = text[: table.end()].removesuffix("\r"), text[table.end() :]
    return f"{head}{end}{lines}{rest.removeprefix(chr(10))}"


def _write(folder: Path, text: str, new: Mapping[str, str]) -> None:
    """Replace the file, after a check that the text means what it should."""
    part = folder / f".lorary-{secrets.token_hex(6)}"
    try:
        part.mkdir()
        try:
            (part / PROJECT).write_bytes(text.encode())
            found = {wish.name for wish in Project.load(part).wishes if wish.kind == "adapter"}
            if not new.keys() <= found:
                msg = f"{folder / PROJECT} has no table [adapters] to add lines to."
                raise ProjectInvalid(msg)
            (part / PROJECT).replace(folder / PROJECT)
        finally:
            (part / PROJECT).unlink(missing_ok=True)
            part.rmdir()
    except OSError as error:
        msg = f"{folder / PROJECT} cannot be written: {error.strerror or os.fspath(folder)}."
        raise ProjectInvalid(msg) from error
