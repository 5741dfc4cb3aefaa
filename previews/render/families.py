"""What the renderer knows of a family of base models, from ``families/*.toml``.

```toml
families = ["qwen_image"]                 # ids of lorary.anatomy that this file describes
pipelines = ["QwenImagePipeline"]         # classes of diffusers that can be called like this
medium = "image"                          # or “video”: frames come out
parts = ["transformer"]                   # what adapters may change
guidance_as = "true_cfg_scale"            # the argument that the recipe's guidance is given as
negative_as = "negative_prompt"           # "" where the pipeline takes none
negative = " "                            # what is said when the recipe says nothing
[defaults]                                # of a [bases.NAME] table that does not say otherwise
steps = 50
[call]                                    # further arguments of the pipeline's call
max_sequence_length = 512
[native]                                  # names of the original code → diffusers' modules
"blocks.*.attn.qkv" = ["blocks.*.attn.to_q", "blocks.*.attn.to_k", "blocks.*.attn.to_v"]
[only.ID.defaults]                        # what differs for one id
```

A family without a file is called as Stable Diffusion is.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from lorary.anatomy import FAMILIES
from previews.render.errors import FamilyInvalid

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["FOLDER", "Family", "described", "family_of", "load_families"]

FOLDER = Path(__file__).with_name("families")

Medium = Literal["image", "video"]

#: Keys of ``[defaults]``; ``bases.bases_file`` checks their values like a base's own.
DEFAULTS = frozenset((
    "steps", "guidance", "width", "height", "frames", "fps", "sampler", "sampler_options",
    "negative", "trigger", "dtype", "batch", "deadline_s", "vae_tiling",
))  # fmt: skip
_LISTS = ("families", "pipelines", "parts")
_TEXTS = ("medium", "guidance_as", "negative_as", "negative")
_TABLES = ("defaults", "call", "native", "only")
_OWN = ("defaults", "call", "negative")


@dataclass(frozen=True, slots=True)
class Family:
    """How pipelines of a family are called; the fields are those of the file."""

    id: str
    pipelines: tuple[str, ...] = ()
    medium: Medium = "image"
    parts: tuple[str, ...] = ()
    guidance_as: str = "guidance_scale"
    negative_as: str = "negative_prompt"
    negative: str = ""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    call: Mapping[str, Any] = field(default_factory=dict)
    native: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def family_of(family: str) -> Family:
    """Return the description of a family, the plain one where there is none."""
    return described().get(family) or Family(family)


@cache
def described() -> Mapping[str, Family]:
    """Return every description that comes with Lorary, by family id."""
    return load_families(FOLDER)


def load_families(folder: Path) -> Mapping[str, Family]:
    """Read and check all files of a folder.

    Raises:
        FamilyInvalid: no TOML, not fitting the schema, or a family that two files describe.
    """
    found: dict[str, Family] = {}
    for file in sorted(folder.glob("*.toml")):
        for family in _read(file):
            if family.id in found:
                msg = f"{file.name}: “{family.id}” is described twice"
                raise FamilyInvalid(msg)
            found[family.id] = family
    return found


def _read(file: Path) -> Iterator[Family]:
    try:
        said = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        msg = f"{file.name}: {error}"
        raise FamilyInvalid(msg) from error
    faults = list(_faults(said))
    if faults:
        raise FamilyInvalid("; ".join(f"{file.name}: {fault}" for fault in faults))
    for family in said["families"]:
        yield _family(family, said)


def _family(family: str, said: Mapping[str, Any]) -> Family:
    own = said.get("only", {}).get(family, {})
    native = said.get("native", {})
    return Family(
        id=family,
        pipelines=tuple(said["pipelines"]),
        parts=tuple(said["parts"]),
        negative=own.get("negative", said.get("negative", "")),
        defaults={**said.get("defaults", {}), **own.get("defaults", {})},
        call={**said.get("call", {}), **own.get("call", {})},
        native={key: (to,) if isinstance(to, str) else tuple(to) for key, to in native.items()},
        **{key: said[key] for key in ("medium", "guidance_as", "negative_as") if key in said},
    )


def _faults(said: Mapping[str, Any]) -> Iterator[str]:
    for key, value in said.items():
        if key in _LISTS:
            if not _is_list(value):
                yield f"“{key}” is a list of texts, not {value!r}"
        elif key in _TEXTS:
            if not isinstance(value, str):
                yield f"“{key}” is text, not {value!r}"
        elif key not in _TABLES:
            yield f"unknown key “{key}”; known are {', '.join((*_LISTS, *_TEXTS, *_TABLES))}"
        elif not isinstance(value, dict):
            yield f"“{key}” is a table, not {value!r}"
    yield from (f"“{key}” is missing" for key in _LISTS if not said.get(key))
    if said.get("medium", "image") not in get_args(Medium):
        yield f"“medium” is one of {', '.join(get_args(Medium))}, not {said['medium']!r}"
    yield from _family_faults(said)


def _family_faults(said: Mapping[str, Any]) -> Iterator[str]:
    families = said.get("families")
    named: list[str] = families if isinstance(families, list) else []
    for family in named:
        if family not in FAMILIES:
            yield f"there is no family “{family}”"
    yield from _default_faults("defaults", said.get("defaults"))
    for pattern, targets in _items(said.get("native")):
        if not (_is_list(targets) or isinstance(targets, str)):
            yield f"“native.{pattern}” is a name or a list of names, not {targets!r}"
    for family, own in _items(said.get("only")):
        if family not in named:
            yield f"“only.{family}” is of no family of this file"
        for key, value in _items(own):
            if key not in _OWN:
                yield f"unknown key “only.{family}.{key}”; known are {', '.join(_OWN)}"
            elif key == "defaults":
                yield from _default_faults(f"only.{family}.defaults", value)


def _default_faults(where: str, table: Any) -> Iterator[str]:  # noqa: ANN401 - TOML
    for key, _ in _items(table):
        if key not in DEFAULTS:
            yield f"unknown key “{where}.{key}”; known are {', '.join(sorted(DEFAULTS))}"


def _items(table: Any) -> list[tuple[str, Any]]:  # noqa: ANN401 - TOML
    return list(table.items()) if isinstance(table, dict) else []


def _is_list(value: Any) -> bool:  # noqa: ANN401 - TOML
    return isinstance(value, list) and all(isinstance(item, str) for item in value)
