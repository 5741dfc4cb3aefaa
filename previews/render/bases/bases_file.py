"""Reads the bases file: the base models of a worker, as TOML.

```toml
[bases.sdxl]
title = "Stable Diffusion XL 1.0"
family = "sdxl"                     # as lorary.anatomy names it
path = "/models/sdxl"               # a diffusers folder, relative to this file; or
file = "/models/sdxl.safetensors"   # a checkpoint, or a denoiser as .gguf, with
config = "/models/sdxl"             # ... a diffusers folder with its configuration; or
repo = "stabilityai/stable-diffusion-xl-base-1.0"   # a hub id, from the local cache
download = true                     # ... or, with this, from the network
lineage = "SDXL 1.0"                # the checkpoint, to tell it from others; default: the title
encoder = "/models/dinov2-small"    # measures look reports; without it there are none
dtype = "float16"
device = "cuda"
steps = 28
guidance = 6.0
width = 1024
height = 1024

[bases.sd15-motion]                 # a base of still pictures that makes videos
family = "sd1"
path = "/models/sd15"
output = "video"
motion = "/models/motion-adapter"   # ... with a MotionAdapter of diffusers
frames = 16
fps = 8
```

Defaults are those of the family (``families/*.toml``). ``docs/previews.md`` lists all keys.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args

from previews.render.bases.model_paths import GGUF, SUFFIX, absence
from previews.render.errors import BasesInvalid, BaseUnavailable
from previews.render.families import family_of
from previews.render.recipe import MAX_FPS, MAX_FRAMES, TriggerPlace

#: The bases file that is part of Lorary; it only has the miniature, for pictures and for videos.
DEFAULT_FILE = Path(__file__).resolve().parents[2] / "bases.toml"

_ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,47}\Z")
_DEVICE = re.compile(r"(auto|cpu|mps|cuda(:\d+)?)\Z")
Output = Literal["image", "video"]
_CHOICES = {
    "output": set(get_args(Output)),
    "dtype": {"float32", "float16", "bfloat16"},
    "offload": {"none", "model", "sequential"},
    "trigger": set(get_args(TriggerPlace)),
    "quantization": {
        "bitsandbytes-4bit", "bitsandbytes-8bit", "torchao-float8", "torchao-int8",
    },
}  # fmt: skip
#: Minimum and maximum value, both allowed.
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
    """One base model with its settings.

    ``location`` is a folder, a single file or a hub id; ``config`` is the folder with the
    configuration of a single file. ``motion`` is the folder of a ``MotionAdapter``, with which a
    base of still pictures makes videos; ``encoder`` is the folder of the image encoder that
    measures look reports, only its name for a base that another worker announced. Both are empty if
    there is none.
    """

    id: str
    family: str
    location: str
    is_local: bool
    config: str = ""
    output: Output = "image"
    motion: str = ""
    title: str = ""
    lineage: str = ""
    revision: str = ""
    variant: str = ""
    download: bool = False
    dtype: str = "float32"
    device: str = "auto"
    offload: str = "none"
    quantization: str = ""
    quantized_parts: tuple[str, ...] = ()
    compile: bool = False
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
    encoder: str = ""

    @property
    def lineage_name(self) -> str:
        """The lineage that it stands for; bases of the same one are not told apart."""
        return self.lineage or self.title or self.id

    @property
    def is_single_file(self) -> bool:
        """Whether it is a checkpoint in a single file."""
        return bool(self.config)

    @property
    def is_gguf(self) -> bool:
        """Whether the denoiser is a quantised single file."""
        return self.is_single_file and self.location.endswith(GGUF)

    @property
    def is_present(self) -> bool:
        """Whether its files exist or may be downloaded."""
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
            msg = f"There is no base model “{base_id}”."
            raise BaseUnavailable(msg) from None

    def serving(self, family: str) -> list[Base]:
        """Return the bases of a family that are present, in the order of the file."""
        return [base for base in self if base.family == family and base.is_present]

    @property
    def families(self) -> tuple[str, ...]:
        """Families with an available base, sorted."""
        return tuple(sorted({base.family for base in self if base.is_present}))


def load_bases(path: Path | str | None = None) -> Bases:
    """Read and check a bases file, by default the one that is part of Lorary.

    Raises:
        BasesInvalid: missing, not TOML, or invalid; the text lists all errors.
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
        faults.append("bases must be tables [bases.NAME]")
        tables = {}
    for name, table in tables.items():
        faults += [f"base “{name}”: {fault}" for fault in _faults(name, table)]
    if faults:
        raise BasesInvalid("; ".join(f"{file.name}: {fault}" for fault in faults))
    return Bases({name: _base(name, table, file.parent) for name, table in tables.items()})


def announced_base(announced: Mapping[str, Any]) -> Base | None:
    """Return a base that another worker announced; None if it is invalid.

    A worker of another release may announce unknown values, and does not announce all.
    """
    if not (isinstance(announced.get("id"), str) and isinstance(announced.get("family"), str)):
        return None
    announced = {"output": family_of(announced["family"]).medium, **announced}
    if any(
        fault for key in announced.keys() - {"id"} for fault in _value_faults(key, announced[key])
    ):
        return None
    return Base(location="", is_local=False, **announced)


def _base(name: str, table: dict[str, Any], folder: Path) -> Base:
    family = family_of(table["family"])
    settings = {
        "output": family.medium,
        **family.defaults,
        **table,
        "call": {**family.call, **table.get("call", {})},
    }
    if settings["output"] == "video":
        settings.setdefault("batch", 1)  # a video has as many pictures as frames
    is_local = "repo" not in settings
    settings["location"] = settings.pop(next(key for key in _PLACES if key in settings))
    for key in ("location", "config", "motion", "encoder") if is_local else ("motion", "encoder"):
        if settings.get(key):
            settings[key] = str((folder / settings[key]).resolve())
    if "quantized_parts" in settings:
        settings["quantized_parts"] = tuple(settings["quantized_parts"])
    for key in _FLOATS & settings.keys():
        settings[key] = float(settings[key])
    return Base(id=name, is_local=is_local, **settings)


#: Keys for the location; a base has exactly one of them.
_PLACES = ("path", "file", "repo")
_COMPUTED = {"id", "location", "is_local"}
_FIELDS = {item.name: str(item.type) for item in fields(Base) if item.name not in _COMPUTED}
_KNOWN = {**_FIELDS, **dict.fromkeys(_PLACES, "str")}
_FLOATS = {name for name, kind in _FIELDS.items() if kind == "float"}
_TYPES: dict[str, tuple[tuple[type, ...], str]] = {
    "str": ((str,), "text"),
    "TriggerPlace": ((str,), "text"),
    "Output": ((str,), "text"),
    "bool": ((bool,), "true or false"),
    "int": ((int,), "a whole number"),
    "float": ((int, float), "a number"),
    "tuple[str, ...]": ((list,), "a list of names"),
    "Mapping[str, Any]": ((dict,), "a table"),
}


def _faults(name: str, table: dict[str, Any]) -> Iterator[str]:
    if not _ID.match(name):
        yield "the name must have at most 48 lower-case letters, digits, “.”, “_” or “-”"
    if not table.get("family"):
        yield "“family” is missing"
    yield from _place_faults(table)
    yield from _output_faults(table)
    yield from _quantization_faults(table)
    for key, value in {**family_of(str(table.get("family"))).defaults, **table}.items():
        if key in _KNOWN:
            yield from _value_faults(key, value)
        else:
            yield f"unknown key “{key}”; known are {', '.join(sorted(_KNOWN))}"


def _place_faults(table: dict[str, Any]) -> Iterator[str]:
    if sum(key in table for key in _PLACES) != 1:
        yield "set one of “path” (a folder), “file” (a checkpoint) or “repo” (a hub id)"
        return
    is_file = any(str(table.get(key)).endswith((SUFFIX, GGUF)) for key in ("path", "file"))
    if "file" in table and not is_file:
        yield f"“file” must end in {SUFFIX} or {GGUF}"
    elif is_file and not table.get("config"):
        yield "a checkpoint needs “config”, a diffusers folder with its configuration"
    elif "config" in table and not is_file:
        yield "“config” is only for a checkpoint in a single “file”"


def _output_faults(table: dict[str, Any]) -> Iterator[str]:
    family = family_of(str(table.get("family")))
    output = table.get("output", family.medium)
    frames = table.get("frames", family.defaults.get("frames", 0))
    if output == "image" and family.medium == "video":
        yield f"{family.id} makes videos: “output” cannot be image"
    elif table.get("motion") and (output == "image" or family.medium == "video"):
        yield "“motion” is for image base models with output = “video”"
    elif output == "video" and family.medium == "image" and not frames:
        yield "a video needs “frames”, the number of its frames"


def _quantization_faults(table: dict[str, Any]) -> Iterator[str]:
    """Yield settings that exclude each other."""
    kind = table.get("quantization", "")
    is_gguf = any(str(table.get(key)).endswith(GGUF) for key in ("path", "file"))
    if "quantized_parts" in table and not kind:
        yield "“quantized_parts” needs “quantization”"
    if kind and is_gguf:
        yield f"a {GGUF} file is quantised already; leave out “quantization”"
    elif kind and ("file" in table or "config" in table):
        yield "“quantization” needs a folder or “repo”"
    if str(kind).startswith("bitsandbytes") and table.get("device") in {"cpu", "mps"}:
        yield "bitsandbytes needs an NVIDIA card, not the “device” of this base"
    if (kind or is_gguf) and table.get("offload") == "sequential":
        yield "“offload” must be none or model for a quantised base"
    if table.get("compile") and (kind or is_gguf or table.get("offload", "none") != "none"):
        yield "“compile” is for bases that are neither quantised nor offloaded"


def _value_faults(key: str, value: Any) -> Iterator[str]:  # noqa: ANN401 - TOML
    types, words = _TYPES[_KNOWN[key]]
    if type(value) not in types:
        yield f"“{key}” must be {words}, not {value!r}"
    elif key in _RANGES and not _RANGES[key][0] <= value <= _RANGES[key][1]:
        low, high = _RANGES[key]
        yield f"“{key}” must be between {low:g} and {high:g}, not {value!r}"
    elif key in {"width", "height"} and value % 8:
        yield f"“{key}” must be a multiple of 8, not {value!r}"
    elif key in _CHOICES and value not in _CHOICES[key]:
        yield f"“{key}” must be one of {', '.join(sorted(_CHOICES[key]))}, not {value!r}"
    elif key == "quantized_parts" and not (value and all(type(name) is str for name in value)):
        yield f"“{key}” must be a list of names, not {value!r}"
    elif key == "device" and not _DEVICE.match(value):
        yield f"“device” must be auto, cpu, mps, cuda or cuda:N, not {value!r}"
