"""The base models of a worker, from one TOML file.

```toml
[bases.sdxl]
title = "Stable Diffusion XL 1.0"
family = "sdxl"                     # as lorary.anatomy names it
path = "/models/sdxl"               # a diffusers folder, relative to this file; or
file = "/models/sdxl.safetensors"   # a checkpoint in a single file, with
config = "/models/sdxl"             # ... a diffusers folder that says how it is built; or
repo = "stabilityai/stable-diffusion-xl-base-1.0"   # a hub id, from the local cache only
download = true                     # ... unless this allows the network
dtype = "float16"
device = "cuda"
steps = 28
guidance = 6.0
width = 1024
height = 1024
```

What a table leaves out, the family's description says (``families/*.toml``). The whole list of
keys with their meanings is ``docs/previews.md``.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from previews.render.bases.model_paths import SUFFIX, absence
from previews.render.errors import BasesInvalid, BaseUnavailable
from previews.render.families import family_of
from previews.render.recipe import MAX_FPS, MAX_FRAMES, TriggerPlace

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["DEFAULT_FILE", "Base", "Bases", "base_told", "load_bases"]

#: The file that comes with Lorary: the miniature and nothing else.
DEFAULT_FILE = Path(__file__).resolve().parents[2] / "bases.toml"

_ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,47}\Z")
_DEVICE = re.compile(r"(auto|cpu|mps|cuda(:\d+)?)\Z")
_CHOICES = {
    "dtype": {"float32", "float16", "bfloat16"},
    "offload": {"none", "model", "sequential"},
    "trigger": set(get_args(TriggerPlace)),
}
#: Lowest and highest value, both allowed.
_RANGES: dict[str, tuple[float, float]] = {
    "steps": (1, 200),
    "guidance": (0, 50),
    "width": (16, 4096),
    "height": (16, 4096),
    "frames": (0, MAX_FRAMES),
    "fps": (0, MAX_FPS),
    "batch": (1, 256),
    "memory_gb": (0, 4096),
    "deadline_s": (1, 86_400),
}


@dataclass(frozen=True, slots=True)
class Base:
    """One base model and how it is used; ``location`` is a folder, a single file or a hub id.

    ``config`` is the folder that says how a single file is built, "" for the others.
    """

    id: str
    family: str
    location: str
    is_local: bool
    config: str = ""
    title: str = ""
    revision: str = ""
    variant: str = ""
    download: bool = False
    dtype: str = "float32"
    device: str = "auto"
    offload: str = "none"
    memory_gb: float = 0.0
    batch: int = 8
    vae_slicing: bool = True
    vae_tiling: bool = False
    deadline_s: float = 1800.0
    steps: int = 25
    guidance: float = 6.0
    width: int = 512
    height: int = 512
    frames: int = 0
    fps: int = 0
    negative: str = ""
    trigger: TriggerPlace = "front"
    sampler: str = ""
    sampler_options: Mapping[str, Any] = field(default_factory=dict)
    call: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_single_file(self) -> bool:
        """Whether it is a checkpoint in one file."""
        return bool(self.config)

    @property
    def is_present(self) -> bool:
        """Whether the files are here, or may be fetched: one can expect that it opens."""
        why, _hint = absence(self)
        return not why


@dataclass(frozen=True, slots=True)
class Bases:
    """All bases of a worker, in the order of the file."""

    by_id: Mapping[str, Base]

    def __iter__(self) -> Iterator[Base]:
        return iter(self.by_id.values())

    def get(self, base_id: str) -> Base:
        """Return a base.

        Raises:
            BaseUnavailable: no base of this id.
        """
        try:
            return self.by_id[base_id]
        except KeyError:
            msg = f"There is no base model “{base_id}” here."
            raise BaseUnavailable(msg) from None

    def serving(self, family: str) -> Base | None:
        """Return the first base of a family whose files are here, or None."""
        return next((base for base in self if base.family == family and base.is_present), None)

    @property
    def families(self) -> tuple[str, ...]:
        """Families that can be rendered here, sorted."""
        return tuple(sorted({base.family for base in self if base.is_present}))


def load_bases(path: Path | str | None = None) -> Bases:
    """Read and check a bases file; None means the one that comes with Lorary.

    Raises:
        BasesInvalid: absent, not TOML, or not fitting the schema; the text lists every fault.
    """
    file = Path(path) if path else DEFAULT_FILE
    try:
        document = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        msg = f"{file}: {error}"
        raise BasesInvalid(msg) from error
    faults = [f"unknown table “{name}”, expected “bases”" for name in document if name != "bases"]
    tables = document.get("bases", {})
    if not (isinstance(tables, dict) and all(isinstance(item, dict) for item in tables.values())):
        faults.append("bases are written as tables [bases.NAME]")
        tables = {}
    for name, table in tables.items():
        faults += [f"base “{name}”: {fault}" for fault in _faults(name, table)]
    if faults:
        raise BasesInvalid("; ".join(f"{file.name}: {fault}" for fault in faults))
    return Bases({name: _base(name, table, file.parent) for name, table in tables.items()})


def base_told(said: Mapping[str, Any]) -> Base | None:
    """Return a base that is elsewhere by what is told of it; None where that is not understood.

    A process of another release may know values that no recipe of this one has.
    """
    if not (isinstance(said.get("id"), str) and said.get("family")):
        return None
    if any(fault for key in said.keys() - {"id"} for fault in _value_faults(key, said[key])):
        return None
    return Base(location="", is_local=False, **said)


def _base(name: str, table: dict[str, Any], folder: Path) -> Base:
    family = family_of(table["family"])
    said = {**family.defaults, **table, "call": {**family.call, **table.get("call", {})}}
    is_local = "repo" not in said
    said["location"] = said.pop(next(key for key in _PLACES if key in said))
    for key in ("location", "config") if is_local else ():
        if key in said:
            said[key] = str((folder / said[key]).resolve())
    for key in _FLOATS & said.keys():
        said[key] = float(said[key])
    return Base(id=name, is_local=is_local, **said)


#: Keys that say where a base is; it has one of them.
_PLACES = ("path", "file", "repo")
_COMPUTED = {"id", "location", "is_local"}
_FIELDS = {item.name: str(item.type) for item in fields(Base) if item.name not in _COMPUTED}
_KNOWN = {**_FIELDS, **dict.fromkeys(_PLACES, "str")}
_FLOATS = {name for name, kind in _FIELDS.items() if kind == "float"}
_TYPES: dict[str, tuple[tuple[type, ...], str]] = {
    "str": ((str,), "text"),
    "TriggerPlace": ((str,), "text"),
    "bool": ((bool,), "true or false"),
    "int": ((int,), "a whole number"),
    "float": ((int, float), "a number"),
    "Mapping[str, Any]": ((dict,), "a table"),
}


def _faults(name: str, table: dict[str, Any]) -> Iterator[str]:
    if not _ID.match(name):
        yield "a name has lower-case letters, digits, “.”, “_” and “-”, at most 48"
    if not table.get("family"):
        yield "“family” is missing"
    yield from _place_faults(table)
    for key, value in {**family_of(str(table.get("family"))).defaults, **table}.items():
        if key in _KNOWN:
            yield from _value_faults(key, value)
        else:
            yield f"unknown key “{key}”; known are {', '.join(sorted(_KNOWN))}"


def _place_faults(table: dict[str, Any]) -> Iterator[str]:
    if sum(key in table for key in _PLACES) != 1:
        yield "give either “path” (a folder), “file” (a checkpoint) or “repo” (a hub id)"
        return
    is_file = any(str(table.get(key)).endswith(SUFFIX) for key in ("path", "file"))
    if "file" in table and not is_file:
        yield f"“file” ends in {SUFFIX}; other checkpoints are not opened"
    elif is_file and not table.get("config"):
        yield "a checkpoint needs “config”, a diffusers folder that says how it is built"
    elif "config" in table and not is_file:
        yield "“config” is only for a checkpoint in a single “file”"


def _value_faults(key: str, value: Any) -> Iterator[str]:  # noqa: ANN401 - TOML
    types, words = _TYPES[_KNOWN[key]]
    if type(value) not in types:
        yield f"“{key}” is {words}, not {value!r}"
    elif key in _RANGES and not _RANGES[key][0] <= value <= _RANGES[key][1]:
        low, high = _RANGES[key]
        yield f"“{key}” lies between {low:g} and {high:g}, not {value!r}"
    elif key in {"width", "height"} and value % 8:
        yield f"“{key}” is a multiple of 8, not {value!r}"
    elif key in _CHOICES and value not in _CHOICES[key]:
        yield f"“{key}” is one of {', '.join(sorted(_CHOICES[key]))}, not {value!r}"
    elif key == "device" and not _DEVICE.match(value):
        yield f"“device” is auto, cpu, mps, cuda or cuda:N, not {value!r}"
