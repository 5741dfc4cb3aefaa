"""The recipe of a picture that was made here, read from a file that anybody may have changed."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, NoReturn

from previews.render.bases.model_paths import installed
from previews.render.errors import PictureInvalid, RecipeInvalid
from previews.render.output.images import MAX_TEXT_BYTES
from previews.render.recipe import RENDERER, Recipe, Shot

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from previews.render.output.png_parsing import Png

__all__ = ["Original", "Used", "read_back"]

MAX_ADAPTERS = 16
#: Weight of an adapter times strength of the recipe.
MAX_STRENGTH = 100.0

_BASE = re.compile(r"[a-z0-9][a-z0-9._-]{0,47}\Z")
_SAMPLER = re.compile(r"\w{0,80}\Z", re.ASCII)
_RENDERER = re.compile(r"[a-z0-9.-]{1,40}\Z")
_DIGEST = re.compile(r"[0-9a-f]{64}\Z")
_PART = re.compile(r"[a-z0-9_]{1,40}\Z")
_VERSION = re.compile(r"[\w.+-]{0,64}\Z", re.ASCII)

_NEEDED = {"recipe", "digest", "image", "adapters"}
_KNOWN = _NEEDED | {"made_with"}


@dataclass(frozen=True, slots=True)
class Used:
    """An adapter that took part, with the strength it had in this picture."""

    name: str
    sha256: str
    strength: float
    part: str = ""


@dataclass(frozen=True, slots=True)
class Original:
    """A picture, and all that its file says of how it was made."""

    png: Png
    document: Mapping[str, Any]
    recipe: Recipe
    shot: Shot
    adapters: tuple[Used, ...]
    made_with: Mapping[str, str]

    def versions(self) -> dict[str, tuple[str, str]]:
        """Return what differs between there and here: name to both versions, "" if unknown."""
        there = {**dict.fromkeys(installed(), ""), **self.made_with}
        pairs = {"renderer": (self.recipe.renderer, RENDERER)}
        pairs |= {name: (there[name], here) for name, here in installed().items()}
        return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def read_back(png: Png) -> Original:
    """Read and check the recipe; what does not fit together is refused.

    Raises:
        PictureInvalid: no recipe of ours, or one that was changed.
    """
    if "lorary" not in png.texts:
        _refuse("This picture carries no recipe of Lorary. Some sites and tools remove it.")
    text = png.texts["lorary"]
    if text is None or len(text) > MAX_TEXT_BYTES:
        _refuse("Its recipe is not written as Lorary writes it: packed, twice, or too long.")
    document = _document(text)
    recipe = _recipe(document["recipe"])
    if recipe.digest != document["digest"]:
        _refuse("Its recipe was changed: it does not fit its digest.")
    shot = _shot(document["image"], recipe)
    return Original(
        png=png,
        document=document,
        recipe=recipe,
        shot=shot,
        adapters=_adapters(document["adapters"], shot.strength),
        made_with=_made_with(document.get("made_with", {})),
    )


def _document(text: bytes) -> dict[str, Any]:
    try:
        said = json.loads(
            text.decode("ascii"), object_pairs_hook=_once, parse_constant=_no_constant
        )
    except (ValueError, RecursionError):
        _refuse("Its recipe is damaged: no JSON as Lorary writes it.")
    if not isinstance(said, dict) or not said.keys() >= _NEEDED:
        _refuse("Its recipe is damaged: parts of it are missing.")
    if not said.keys() <= _KNOWN:
        _refuse("Its recipe says more than this version of Lorary knows.")
    return said


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    said = dict(pairs)
    if len(said) != len(pairs):
        msg = "a key twice"
        raise ValueError(msg)
    return said


def _no_constant(name: str) -> float:
    raise ValueError(name)


_TYPES: dict[str, Callable[[Any], bool]] = {
    "str": lambda value: isinstance(value, str),
    "TriggerPlace": lambda value: isinstance(value, str),
    "int": lambda value: type(value) is int,
    "float": lambda value: type(value) in {int, float},
}


def _recipe(said: Any) -> Recipe:  # noqa: ANN401 - JSON
    """Read a recipe more strictly than rows of the database are: no value is converted."""
    kinds = {item.name: str(item.type) for item in fields(Recipe)}
    if not isinstance(said, dict) or not said.keys() <= kinds.keys():
        _refuse("Its recipe is damaged, or from another version of Lorary.")
    for name, value in said.items():
        if not _fits(kinds[name], value):
            _refuse(f"Its recipe was changed: “{name}” is of the wrong kind.")
    try:
        recipe = Recipe.from_dict(said)
    except (RecipeInvalid, OverflowError) as error:
        _refuse(f"Its recipe was changed: {error}.")
    named = ((_BASE, recipe.base), (_SAMPLER, recipe.sampler), (_RENDERER, recipe.renderer))
    if not all(pattern.match(value) for pattern, value in named):
        _refuse("Its recipe was changed: base, sampler or renderer cannot be called so.")
    return recipe


def _fits(kind: str, value: Any) -> bool:  # noqa: ANN401 - JSON
    if kind.startswith("tuple["):
        inner = kind.removeprefix("tuple[").partition(",")[0]
        return isinstance(value, list) and all(_TYPES[inner](item) for item in value)
    return _TYPES[kind](value)


def _shot(said: Any, recipe: Recipe) -> Shot:  # noqa: ANN401 - JSON
    kinds = {"prompt": "str", "seed": "int", "strength": "float"}
    if not _is_table(said, kinds):
        _refuse("Its recipe is damaged: prompt, seed or strength is missing.")
    if said["seed"] not in recipe.seeds or said["strength"] not in recipe.strengths:
        _refuse("Its recipe was changed: it has no such seed or strength.")
    return Shot(0, 0, said["prompt"], said["seed"], float(said["strength"]))


def _adapters(said: Any, strength: float) -> tuple[Used, ...]:  # noqa: ANN401 - JSON
    if not isinstance(said, list) or len(said) > MAX_ADAPTERS:
        _refuse(f"Its recipe was changed: it has no list of at most {MAX_ADAPTERS} adapters.")
    if said and not strength:
        _refuse("Its recipe was changed: at strength 0 no adapter takes part.")
    return tuple(_used(item) for item in said)


def _used(said: Any) -> Used:  # noqa: ANN401 - JSON
    kinds = {"name": "str", "sha256": "str", "strength": "float"}
    has_part = isinstance(said, dict) and "part" in said
    if not _is_table(said, kinds | ({"part": "str"} if has_part else {})):
        _refuse("Its recipe was changed: an adapter is not described as Lorary does.")
    is_strong = 0 < abs(said["strength"]) <= MAX_STRENGTH  # before float, which may overflow
    is_known = _DIGEST.match(said["sha256"]) and (not has_part or _PART.match(said["part"]))
    if not (is_known and is_strong and len(said["name"]) <= 200):
        _refuse("Its recipe was changed: an adapter's digest or strength cannot be.")
    return Used(said["name"], said["sha256"], float(said["strength"]), said.get("part", ""))


def _made_with(said: Any) -> dict[str, str]:  # noqa: ANN401 - JSON
    if not isinstance(said, dict) or len(said) > 16:
        _refuse("Its recipe was changed: it names no versions.")
    for name, value in said.items():
        if not (_PART.match(name) and isinstance(value, str) and _VERSION.match(value)):
            _refuse("Its recipe was changed: it names versions that cannot be.")
    return said


def _is_table(said: Any, kinds: Mapping[str, str]) -> bool:  # noqa: ANN401 - JSON
    return (
        isinstance(said, dict)
        and said.keys() == kinds.keys()
        and all(_TYPES[kind](said[name]) for name, kind in kinds.items())
    )


def _refuse(text: str) -> NoReturn:
    raise PictureInvalid(text)
