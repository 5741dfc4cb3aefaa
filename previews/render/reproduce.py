"""Renders a picture again from its own recipe, and compares the two."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from PIL import Image, ImageChops

from previews.render.bases.bases_file import Base, Bases
from previews.render.bases.libraries import as_unavailable
from previews.render.bases.model_paths import installed
from previews.render.engine import Callbacks, Engine
from previews.render.output import images
from previews.render.output.png_parsing import parse_png
from previews.render.output.readback import Original, UsedAdapter
from previews.render.recipe import SLOT, Layer, Recipe

#: Difference, out of 255, that another processor may cause.
TOLERANCE = 1

#: Maximum batch size; a picture from a larger batch is rendered alone.
MAX_BATCH = 16

Equality = Literal["bytes", "pixels", "near", "different"]


@dataclass(frozen=True, slots=True)
class Reproduction:
    """The new picture and how it compares; ``difference`` is the maximum, out of 255."""

    png: bytes
    equality: Equality
    difference: int

    @property
    def is_match(self) -> bool:
        """Whether the pictures are equal, except for rounding."""
        return self.equality != "different"


def layer_of(used: UsedAdapter, path: Path, config: dict[str, Any]) -> Layer:
    """Return an adapter for the engine, with the strength that it had in the picture."""
    return Layer(path, used.strength, used.name, used.sha256, config, used.part)


def reproduce(original: Original, base: Base, stack: Sequence[Layer]) -> Reproduction:
    """Render a picture's recipe again and compare.

    The last bits of a picture can depend on the others in a batch, so it is rendered in a batch of
    the same size, unless that is large.

    Args:
        stack: Its adapters, from ``layer_of``.

    Raises:
        RenderError: it cannot be rendered.
    """
    shot, recipe = original.shot, _recipe_of(original)
    index = recipe.prompts.index(shot.prompt)
    engine = Engine(Bases({base.id: base}))
    with as_unavailable(base, "cannot make this picture"):
        pictures = engine.render(recipe, stack, callbacks=Callbacks(deadline_s=base.deadline_s))
    made = next(one for one in pictures if one.shot.key[:2] == (index, shot.seed))
    picture = parse_png(made.png).pixels()
    document = {**original.document, "made_with": installed()}
    parameters = images.decode(made.png).parameters  # identical for the same picture
    png = images.encode(picture, images.Caption(parameters, document))
    return _compared(original, png, picture)


def _recipe_of(original: Original) -> Recipe:
    """Return a recipe for this picture and the others of its strength.

    The adapters have their final strengths, so the recipe's is 1, or 0 for a picture without them.
    The other prompts have no trigger words; only their number matters.
    """
    recipe, shot = original.recipe, original.shot
    prompts = list(recipe.prompts)
    prompts[_index(prompts, shot.prompt)] = shot.prompt
    if recipe.swept and shot.strength not in {0.0, recipe.at}:
        prompts = prompts[: recipe.swept]
    strength = 1.0 if shot.strength else 0.0
    plain = replace(
        recipe,
        prompts=(shot.prompt,),
        seeds=(shot.seed,),
        strengths=(strength,),
        trigger="literal",
        plain=(),
        swept=0,
        at=0.0,
    )
    count, place = original.place
    if 1 < count <= MAX_BATCH:  # a control, which says nothing of the others
        others = [f"picture {number}" for number in range(count)]
        others[place] = shot.prompt
        return replace(plain, prompts=tuple(others)) if len(set(others)) == count else plain
    if len(set(prompts)) < len(prompts) or shot.prompt not in prompts:
        return plain
    at = strength if recipe.swept else 0.0
    whole = replace(plain, prompts=tuple(prompts), seeds=recipe.seeds, swept=recipe.swept, at=at)
    return whole if len(whole.shots()) <= MAX_BATCH else plain


def _index(prompts: Sequence[str], prompt: str) -> int:
    """Return the index of the prompt that this prompt contains; 0 if there is none."""
    for index, plain in enumerate(prompts):
        if all(" ".join(part.split()) in prompt for part in plain.split(SLOT)):
            return index
    return 0


def _compared(original: Original, png: bytes, picture: Image.Image) -> Reproduction:
    if png == original.png.data:
        return Reproduction(png, "bytes", 0)
    before = original.png.pixels()
    if before.size != picture.size:
        return Reproduction(png, "different", 255)
    bands: Any = ImageChops.difference(before, picture).getextrema()
    difference = max(int(high) for _low, high in bands)
    if not difference:
        return Reproduction(png, "pixels", 0)
    return Reproduction(png, "near" if difference <= TOLERANCE else "different", difference)
