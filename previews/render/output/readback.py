"""Reads the recipe of a picture made by Lorary; the file may have been changed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, NoReturn

from previews.render.bases.model_paths import installed
from previews.render.errors import PictureInvalid, RecipeInvalid
from previews.render.output.images import MAX_TEXT_BYTES
from previews.render.pictures import ALONE, Place
from previews.render.recipe import RENDERER, Recipe, Shot

if TYPE_CHECKING:
    from previews.render.output.png_parsing import Png

MAX_ADAPTERS = 16
#: Maximum number of pictures in a call.
MAX_CALL = 256
#: Maximum strength of an adapter times that of the recipe.
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
class UsedAdapter:
    """An adapter with its strength in this picture."""

    name: str
    sha256: str
    strength: float
    part: str = ""


@dataclass(frozen=True, slots=True)
class Original:
    """A picture with all data in its file about how it was made.

    ``place`` is its place in its call, known only at strength 0.
    """

    png: Png
    document: Mapping[str, Any]
    recipe: Recipe
    shot: Shot
    adapters: tuple[UsedAdapter, ...]
    made_with: Mapping[str, str]
    place: Place = ALONE

    def versions(self) -> dict[str, tuple[str, str]]:
        """Return name and both versions of libraries that differ here; empty if unknown."""
        theirs = {**dict.fromkeys(installed(), ""), **self.made_with}
        pairs = {"renderer": (self.recipe.renderer, RENDERER)}
        pairs |= {name: (theirs[name], here) for name, here in installed().items()}
        return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def read_back(png: Png) -> Original:
    """Read and check the recipe of a picture.

    Raises:
        PictureInvalid: no recipe of Lorary, or one that was changed.
    """
    if "lorary" not in png.texts:
        _refuse("This picture has no recipe of Lorary. Some sites and tools remove it.")
    text = png.texts["lorary"]
    if text is None or len(text) > MAX_TEXT_BYTES:
        _refuse("Its recipe is compressed, duplicated or too long.")
    document = _document(text)
    recipe = _recipe(document["recipe"])
    if recipe.digest != document["digest"]:
        _refuse("Its recipe was changed: its digest differs.")
    shot = _shot(document["image"], recipe)
    return Original(
        png=png,
        document=document,
        recipe=recipe,
        shot=shot,
        adapters=_adapters(document["adapters"], shot.strength),
        made_with=_made_with(document.get("made_with", {})),
        place=_place(document["image"]),
    )


def _document(text: bytes) -> dict[str, Any]:
    try:
        document = json.loads(
            text.decode("ascii"), object_pairs_hook=_unique, parse_constant=_no_constant
        )
    except (ValueError, RecursionError):
        _refuse("Its recipe is damaged: it is not valid JSON.")
    if not isinstance(document, dict) or not document.keys() >= _NEEDED:
        _refuse("Its recipe is damaged: parts of it are missing.")
    if not document.keys() <= _KNOWN:
        _refuse("Its recipe is from a newer version of Lorary.")
    return document


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) != len(pairs):
        msg = "duplicate key"
        raise ValueError(msg)
    return table


def _no_constant(name: str) -> float:
    raise ValueError(name)


_TYPES: dict[str, Callable[[Any], bool]] = {
    "str": lambda value: isinstance(value, str),
    "TriggerRule": lambda value: isinstance(value, str),
    "int": lambda value: type(value) is int,
    "float": lambda value: type(value) in {int, float},
}


def _recipe(document: Any) -> Recipe:  # noqa: ANN401 - JSON
    """Return a recipe; unlike ``Recipe.from_dict``, convert no values."""
    kinds = {item.name: str(item.type) for item in fields(Recipe)}
    if not isinstance(document, dict) or not document.keys() <= kinds.keys():
        _refuse("Its recipe is damaged, or from another version of Lorary.")
    for name, value in document.items():
        if not _fits(kinds[name], value):
            _refuse(f"Its recipe was changed: “{name}” has the wrong type.")
    try:
        recipe = Recipe.from_dict(document)
    except (RecipeInvalid, OverflowError) as error:
        _refuse(f"Its recipe was changed: {error}.")
    named = ((_BASE, recipe.base), (_SAMPLER, recipe.sampler), (_RENDERER, recipe.renderer))
    if not all(pattern.match(value) for pattern, value in named):
        _refuse("Its recipe was changed: base, sampler or renderer has an invalid name.")
    return recipe


def _fits(kind: str, value: Any) -> bool:  # noqa: ANN401 - JSON
    if kind.startswith("tuple["):
        inner = kind.removeprefix("tuple[").partition(",")[0]
        return isinstance(value, list) and all(_TYPES[inner](item) for item in value)
    return _TYPES[kind](value)


def _shot(value: Any, recipe: Recipe) -> Shot:  # noqa: ANN401 - JSON
    kinds = {"prompt": "str", "seed": "int", "strength": "float"}
    has_call = isinstance(value, dict) and "call" in value
    if not _is_table(value, kinds | ({"call": "tuple[int, ...]"} if has_call else {})):
        _refuse("Its recipe is damaged: prompt, seed or strength is missing.")
    if value["seed"] not in recipe.seeds or value["strength"] not in recipe.strengths:
        _refuse("Its recipe was changed: the picture's seed or strength is not in it.")
    return Shot(0, 0, value["prompt"], value["seed"], float(value["strength"]))


def _place(image: Mapping[str, Any]) -> Place:
    call = image.get("call", list(ALONE))
    if len(call) != 2 or not 0 <= call[1] < call[0] <= MAX_CALL:
        _refuse("Its recipe was changed: its position in the batch is invalid.")
    return call[0], call[1]


def _adapters(value: Any, strength: float) -> tuple[UsedAdapter, ...]:  # noqa: ANN401 - JSON
    if not isinstance(value, list) or len(value) > MAX_ADAPTERS:
        _refuse(f"Its recipe was changed: it must list at most {MAX_ADAPTERS} adapters.")
    if value and not strength:
        _refuse("Its recipe was changed: it names adapters at strength 0.")
    return tuple(_used(item) for item in value)


def _used(value: Any) -> UsedAdapter:  # noqa: ANN401 - JSON
    kinds = {"name": "str", "sha256": "str", "strength": "float"}
    has_part = isinstance(value, dict) and "part" in value
    if not _is_table(value, kinds | ({"part": "str"} if has_part else {})):
        _refuse("Its recipe was changed: the description of an adapter is invalid.")
    is_strong = 0 < abs(value["strength"]) <= MAX_STRENGTH  # before float, which may overflow
    is_known = _DIGEST.match(value["sha256"]) and (not has_part or _PART.match(value["part"]))
    if not (is_known and is_strong and len(value["name"]) <= 200):
        _refuse("Its recipe was changed: an adapter's digest or strength is invalid.")
    return UsedAdapter(
        value["name"], value["sha256"], float(value["strength"]), value.get("part", "")
    )


def _made_with(versions: Any) -> dict[str, str]:  # noqa: ANN401 - JSON
    is_valid = isinstance(versions, dict) and len(versions) <= 16
    if not is_valid or not all(
        _PART.match(name) and isinstance(value, str) and _VERSION.match(value)
        for name, value in versions.items()
    ):
        _refuse("Its recipe was changed: the versions of libraries are invalid.")
    return dict(versions)


def _is_table(value: Any, kinds: Mapping[str, str]) -> bool:  # noqa: ANN401 - JSON
    return (
        isinstance(value, dict)
        and value.keys() == kinds.keys()
        and all(_fits(kind, value[name]) for name, kind in kinds.items())
    )


def _refuse(text: str) -> NoReturn:
    raise PictureInvalid(text)
