"""``lorary.lock``: exactly which files a folder has. Written by programs, read by people.

schema = 1
layout = "comfyui"

[[pack]]
name = "studio/dusk"
wanted = "*"                              # the value in lorary.toml
version = "v2"
manifest_sha256 = "…"
hub = "https://…"

[[file]]
name = "studio/noir"
wanted = "^v2"                            # empty for a file that only packs need
version = "v3"
revision = "…"                            # 40 hex digits
file = "noir.safetensors"                 # its path in the version
path = "models/loras/noir.safetensors"    # its path below root
size = 151060480
sha256 = "…"
hub = "https://…"
packs = ["studio/dusk"]                   # left out if no pack needs it

Rows are sorted, and equal content has equal bytes. A lock may come from a stranger: it cannot name
a path outside the folder of the layout, nor a file that is not ``.safetensors``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from lorary.client.errors import BadAnswer, LoraryError, ProjectInvalid
from lorary.client.http.json_answers import Record
from lorary.client.names import Reference, check_endpoint, check_paths
from lorary.library.layouts import FLAT, LAYOUTS
from lorary.library.project import Project, Wish, read_toml
from lorary.replacing import replacement

SCHEMA = 1
SUFFIX = ".safetensors"
_HEAD = "# Written by `lorary lock` and `lorary sync`. Change lorary.toml instead.\n"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class LockedPack:
    """A locked version of a pack; its parts are files."""

    name: str
    wanted: str
    version: str
    manifest_sha256: str
    hub: str

    @classmethod
    def read(cls, value: object) -> LockedPack:
        """Read a ``[[pack]]``."""
        record = Record(value, "[[pack]]")
        return record.into(cls, manifest_sha256=record.hexadecimal("manifest_sha256", 64))


@dataclass(frozen=True, slots=True)
class LockedFile:
    """A locked file."""

    name: str  # ``owner/name`` of its adapter
    wanted: str  # the value in lorary.toml; empty if only packs need it
    version: str
    revision: str
    file: str  # its path in the version
    path: str  # its path below root
    size: int
    sha256: str
    hub: str
    packs: tuple[str, ...] = ()  # packs that need it

    @classmethod
    def read(cls, value: object) -> LockedFile:
        """Read a ``[[file]]``."""
        record = Record(value, "[[file]]")
        return record.into(
            cls,
            revision=record.hexadecimal("revision", 40),
            sha256=record.hexadecimal("sha256", 64),
        )

    @property
    def reference(self) -> Reference:
        """Its exact version."""
        name = Reference.parse(self.name)
        return Reference(name.owner, name.name, self.revision)


@dataclass(frozen=True)
class Lock:
    """The content of a ``lorary.lock``."""

    layout: str = FLAT
    packs: tuple[LockedPack, ...] = ()
    files: tuple[LockedFile, ...] = ()

    @classmethod
    def load(cls, place: Path) -> Lock | None:
        """Read a lock; None if there is none.

        Raises:
            ProjectInvalid: it cannot be used.
        """
        try:
            table = read_toml(place)
        except FileNotFoundError:
            return None
        if table.get("schema") != SCHEMA:
            msg = f"{place} is from another release (schema {table.get('schema')}): update lorary."
            raise ProjectInvalid(msg)
        try:
            return _checked(table)
        except LoraryError as error:
            reason = error.detail.replace("The hub's response", "It").replace("The hub", "It")
            msg = f"{place} cannot be used: {reason} Delete it and run `lorary lock`."
            raise ProjectInvalid(msg) from error

    @property
    def text(self) -> str:
        """The text of the file."""
        tables = [_table("pack", one) for one in sorted(self.packs, key=lambda one: one.name)]
        tables += [_table("file", one) for one in sorted(self.files, key=_order)]
        top = f"{_HEAD}schema = {SCHEMA}\nlayout = {_value(self.layout)}\n"
        return "\n".join([top, *tables])

    def save(self, place: Path) -> bool:
        """Write the lock in one step if its text changes; return whether it did.

        Raises:
            ProjectInvalid: it cannot be written.
        """
        text = self.text.encode()
        try:
            if place.exists() and place.read_bytes() == text:
                return False
            with replacement(place) as part:
                part.write_bytes(text)
        except OSError as error:
            msg = f"{place} cannot be written: {error.strerror or error}."
            raise ProjectInvalid(msg) from error
        return True

    @cached_property
    def _index(self) -> Mapping[tuple[str, str], list[LockedFile | LockedPack]]:
        found: dict[tuple[str, str], list[LockedFile | LockedPack]] = {}
        for pack in self.packs:
            found.setdefault(("pack", pack.name), []).append(pack)
        for file in self.files:
            if file.wanted:
                found.setdefault(("adapter", file.name), []).append(file)
            for name in file.packs:
                found.setdefault(("part", name), []).append(file)
        return found

    @property
    def wishes(self) -> dict[Wish, LockedFile | LockedPack]:
        """What was wanted when the lock was written, with a row of each."""
        adapters = {Wish("adapter", row.name, row.wanted): row for row in self.files if row.wanted}
        return adapters | {Wish("pack", row.name, row.wanted): row for row in self.packs}

    def rows_of(self, wish: Wish) -> Sequence[LockedFile | LockedPack]:
        """Return the rows that were locked for a wish of this name."""
        return self._index.get((wish.kind, wish.name), [])

    def files_of(self, wish: Wish) -> Sequence[LockedFile]:
        """Return the files that were locked for a wish of this name."""
        kind = "part" if wish.kind == "pack" else "adapter"
        rows = self._index.get((kind, wish.name), [])
        return [row for row in rows if isinstance(row, LockedFile)]

    def satisfies(self, wish: Wish, hub: str) -> bool:
        """Return whether a wish is locked; an empty hub stands for any."""
        rows = self.rows_of(wish)
        return bool(rows) and all(
            (not hub or row.hub == hub)
            and wish.is_satisfied_by(row.version, getattr(row, "revision", ""), row.wanted)
            for row in rows
        )

    def faults(self, project: Project) -> Iterator[str]:
        """Yield why this lock does not satisfy a project, as sentences."""
        if self.layout != project.layout:
            yield f"The layout is “{project.layout}” now; “{self.layout}” is locked."
        for wish in project.wishes:
            if not self.satisfies(wish, project.hub):
                locked = ", ".join(sorted({row.version for row in self.rows_of(wish)}))
                what = f"{locked} is locked" if locked else "it is not locked"
                yield f"{wish.label} = “{wish.wanted}” is wanted; {what}."
        wished = {(wish.kind, wish.name) for wish in project.wishes}
        names = {(wish.kind, wish.name) for wish in self.wishes}
        for kind, name in sorted(names - wished):
            label = name if kind == "adapter" else f"pack:{name}"
            yield f"{label} is locked, but no longer wanted."


def _checked(table: Mapping[str, object]) -> Lock:
    record = Record(dict(table), "lock")
    layout = record.text("layout")
    if layout not in LAYOUTS:
        msg = f"The layout “{layout[:100]}” is unknown."
        raise BadAnswer(msg)
    packs = tuple(LockedPack.read(row) for row in record.items("pack"))
    files = tuple(LockedFile.read(row) for row in record.items("file"))
    check_paths(row.path for row in files)
    folder = f"{LAYOUTS[layout]}/".lstrip("/")
    rows: tuple[LockedPack | LockedFile, ...] = (*packs, *files)
    for row in rows:
        Reference.parse(row.name)
        check_endpoint(row.hub)
    for file in files:
        check_paths([file.file])
        if not file.path.startswith(folder) or not file.path.endswith(SUFFIX):
            msg = f"The path “{file.path[:200]}” does not belong to the layout “{layout}”."
            raise BadAnswer(msg)
    return Lock(layout, packs, files)


def _order(row: LockedFile) -> tuple[str, str, str]:
    return row.name, row.path, row.revision


def _table(name: str, row: LockedFile | LockedPack) -> str:
    values = {one.name: getattr(row, one.name) for one in fields(row)}
    lines = [f"{key} = {_value(value)}\n" for key, value in values.items() if value != ()]
    return f"[[{name}]]\n{''.join(lines)}"


def _value(value: object) -> str:
    """Return a value as TOML. Its basic strings are those of JSON, but that DEL is escaped."""
    if isinstance(value, tuple):
        return f"[{', '.join(map(_value, value))}]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
