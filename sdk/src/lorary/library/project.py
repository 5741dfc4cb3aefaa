"""``lorary.toml``: the adapters and packs that a folder should have.

layout = "comfyui"          # where files go below root, see `lorary.library.layouts`
root = "~/ComfyUI"          # relative to the folder of lorary.toml; LORARY_ROOT comes before it
hub = "https://…"           # optional; or a name (`lorary hub`); by default the hub in use
sidecars = ["a1111"]        # optional; tools whose files are written beside the weights

[adapters]
"studio/noir" = "^v2"       # v2, ^v2 (v2 or newer), * (the newest), an alias, or a revision

[packs]
"studio/dusk" = "*"
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lorary.client.config import Credentials, endpoint_of, from_environment, home_of
from lorary.client.errors import FileMissing, LoraryError, ProjectInvalid
from lorary.client.names import Reference, normal
from lorary.library.layouts import FLAT, LAYOUTS
from lorary.library.sidecars.formats import checked_tools

if sys.version_info >= (3, 11):
    import tomllib
else:  # the same parser, as a package
    import tomli as tomllib

PROJECT, LOCK = "lorary.toml", "lorary.lock"
_KEYS = ("layout", "root", "hub", "sidecars", "adapters", "packs")
_AT_LEAST = re.compile(r"\^v([0-9]{1,9})\Z")
_NUMBER = re.compile(r"v([0-9]{1,9})\Z")
_REVISION = re.compile(r"[0-9a-f]{40}\Z")
_MAX_BYTES = 64 * 1024 * 1024
_NEWEST = "*"
_OPERATORS = frozenset("^~<>=!*")

Kind = Literal["adapter", "pack"]


@dataclass(frozen=True, slots=True, order=True)
class Wish:
    """A line of ``[adapters]`` or ``[packs]``."""

    kind: Kind
    name: str  # ``owner/name``
    wanted: str  # ``v1``, ``^v1``, ``*``, an alias or a revision

    @property
    def label(self) -> str:
        """The name, with ``pack:`` for a pack."""
        return self.name if self.kind == "adapter" else f"pack:{self.name}"

    @property
    def least(self) -> int | None:
        """The smallest number of a version that satisfies a range; None if it is no range."""
        if self.wanted == _NEWEST:
            return 0
        match = _AT_LEAST.match(self.wanted)
        return int(match[1]) if match else None

    @property
    def is_fixed(self) -> bool:
        """Whether it always means the same version."""
        return bool(_NUMBER.match(self.wanted) or _REVISION.match(self.wanted))

    @property
    def reference(self) -> Reference:
        """The version to request; the latest for a range."""
        name = Reference.parse(self.name)
        return name if self.least is not None else Reference(name.owner, name.name, self.wanted)

    def is_satisfied_by(self, version: str, revision: str, wanted: str) -> bool:
        """Return whether a locked version satisfies this, as far as that is known without a hub.

        Args:
            version: Name of the locked version.
            revision: Its revision; empty for a pack.
            wanted: What was wanted when it was locked; for an alias, only that can be compared.
        """
        if self.least is not None:
            return number_of(version) >= self.least
        if self.is_fixed:
            return self.wanted in {version, revision}
        return self.wanted == wanted


def number_of(version: str) -> int:
    """Return the number of a version; -1 if the name has none."""
    match = _NUMBER.match(version)
    return int(match[1]) if match else -1


@dataclass(frozen=True, slots=True)
class Project:
    """A folder with a ``lorary.toml``."""

    folder: Path  # the folder of lorary.toml
    layout: str
    root: Path  # absolute
    hub: str  # address; empty for the hub in use
    wishes: tuple[Wish, ...]
    sidecars: tuple[str, ...] = ()  # tools

    @property
    def lock_path(self) -> Path:
        """Where the lock is."""
        return self.folder / LOCK

    @classmethod
    def load(cls, folder: Path) -> Project:
        """Read the project of a folder.

        Raises:
            FileMissing: the folder has no ``lorary.toml``.
            ProjectInvalid: it cannot be used.
        """
        place = folder / PROJECT
        try:
            table = read_toml(place)
        except FileNotFoundError as error:
            message = (
                f"{folder} has no {PROJECT}. Write one with `lorary lock --init`, "
                "or change to the folder that has it."
            )
            raise FileMissing(message) from error
        unknown = [key for key in table if key not in _KEYS]
        if unknown:
            raise _invalid(place, f"the key “{unknown[0]}” is unknown. Use {', '.join(_KEYS)}")
        layout = _text(place, table, "layout") or FLAT
        if layout not in LAYOUTS:
            raise _invalid(place, f"the layout “{layout}” is unknown. Use {', '.join(LAYOUTS)}")
        root = _root(place, _wanted_root(layout, _text(place, table, "root")))
        wishes, sidecars = _wishes(place, table), _sidecars(place, table)
        return cls(folder, layout, root, _hub(place, table), wishes, sidecars)


def read_toml(place: Path) -> dict[str, object]:
    """Read a TOML file.

    Raises:
        FileNotFoundError: it does not exist.
        ProjectInvalid: it is too large, cannot be read or is no TOML.
    """
    try:
        if place.stat().st_size > _MAX_BYTES:
            raise _invalid(place, f"it is larger than {_MAX_BYTES:,} bytes")
        return tomllib.loads(place.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise
    except OSError as error:
        raise _invalid(place, error.strerror or str(error)) from error
    except (ValueError, RecursionError) as error:  # no UTF-8, no TOML, or nested too deeply
        raise _invalid(place, str(error)) from error


def _invalid(place: Path, reason: str) -> ProjectInvalid:
    return ProjectInvalid(f"{place} cannot be used: {reason.rstrip('.')}.")


def _text(place: Path, table: Mapping[str, object], key: str) -> str:
    value = table.get(key, "")
    if not isinstance(value, str):
        raise _invalid(place, f"“{key}” must be text in quotes")
    return value.strip()


def _wanted_root(layout: str, text: str) -> str:
    """Return the root: a folder that is not of a program is its own."""
    remembered = "" if text or layout == FLAT else Credentials.load(home_of()).setting("root")
    return from_environment("root") or text or remembered or "."


def _root(place: Path, text: str) -> Path:
    try:
        return normal((place.parent / Path(text).expanduser()).absolute())
    except RuntimeError as error:
        raise _invalid(place, f"“root”: {error}") from error


def _hub(place: Path, table: Mapping[str, object]) -> str:
    text = _text(place, table, "hub")
    try:
        return endpoint_of(home_of(), text) if text else ""
    except LoraryError as error:
        raise _invalid(place, f"“hub”: {error.detail}") from error


def _sidecars(place: Path, table: Mapping[str, object]) -> tuple[str, ...]:
    tools = table.get("sidecars", [])
    if not isinstance(tools, list) or not all(isinstance(tool, str) for tool in tools):
        raise _invalid(place, '“sidecars” must be a list such as ["a1111"]')
    try:
        return checked_tools(tools)
    except ValueError as error:
        raise _invalid(place, f"“sidecars”: {error}") from error


def _wishes(place: Path, table: Mapping[str, object]) -> tuple[Wish, ...]:
    found = []
    kinds: tuple[tuple[str, Kind], ...] = (("adapters", "adapter"), ("packs", "pack"))
    for key, kind in kinds:
        rows = table.get(key, {})
        if not isinstance(rows, dict):
            raise _invalid(place, f"“{key}” must be a table: [{key}]")
        found += [_wish(place, kind, name, wanted) for name, wanted in rows.items()]
    return tuple(sorted(found))


def _wish(place: Path, kind: Kind, name: str, wanted: object) -> Wish:
    if not isinstance(wanted, str) or not wanted:
        reason = f'“{name}” needs a version in quotes: "v1", "^v1", "*", an alias or a revision'
        raise _invalid(place, reason)
    wish = Wish(kind, name, wanted)
    try:
        Reference.parse(name if wish.least is not None else f"{name}@{wanted}")
    except LoraryError as error:
        raise _invalid(place, error.detail) from error
    if "@" in name or (wanted[0] in _OPERATORS and wish.least is None):
        reason = f'“{name}” = “{wanted}”: write "^v2" for v2 and newer, "*" for the newest'
        raise _invalid(place, reason)
    if kind == "pack" and _REVISION.match(wanted):
        raise _invalid(place, f"“{name}” is a pack, which has no revisions. Use its version, v1")
    return wish
