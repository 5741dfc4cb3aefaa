"""A picture made again from its own recipe, and compared with what it was."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from PIL import ImageChops

from previews.render.bases.bases_file import Bases
from previews.render.bases.libraries import refusing
from previews.render.bases.model_paths import installed
from previews.render.engine import Engine, Watch
from previews.render.output import images
from previews.render.output.png_parsing import take_apart
from previews.render.recipe import SLOT, Layer

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from PIL import Image

    from previews.render.bases.bases_file import Base
    from previews.render.output.readback import Original, Used
    from previews.render.recipe import Recipe

__all__ = ["Again", "Equality", "layer_of", "reproduce"]

#: Of 255: what other processors may differ by in the same computation.
TOLERANCE = 1

#: A picture made beside more than these is rendered alone.
MOST_BESIDE = 16

Equality = Literal["bytes", "pixels", "near", "different"]


@dataclass(frozen=True, slots=True)
class Again:
    """The new picture and how it compares; ``difference`` is the largest, of 255."""

    png: bytes
    equality: Equality
    difference: int

    @property
    def is_match(self) -> bool:
        """Whether it is the same picture, but for rounding."""
        return self.equality != "different"


def layer_of(used: Used, path: Path, config: dict[str, Any]) -> Layer:
    """Return an adapter as the engine takes it, with the strength that it had in the picture."""
    return Layer(path, used.strength, used.name, used.sha256, config, used.part)


def reproduce(original: Original, base: Base, stack: Sequence[Layer]) -> Again:
    """Render a picture's recipe again and compare.

    A picture's last bits can depend on how many were computed beside it, so it is rendered in a
    call like the one it was made in, as long as that is not a large one.

    Args:
        original: The picture.
        base: What its recipe calls the base.
        stack: Its adapters, from ``layer_of``.

    Raises:
        RenderError: it cannot be rendered here; the text says why.
    """
    shot, recipe = original.shot, _again(original)
    index = recipe.prompts.index(shot.prompt)
    engine = Engine(Bases({base.id: base}))
    with refusing(base, "cannot make this picture"):
        pictures = engine.render(recipe, stack, watch=Watch(deadline_s=base.deadline_s))
    made = next(one for one in pictures if one.shot.key[:2] == (index, shot.seed))
    picture = take_apart(made.png).pixels()
    document = {**original.document, "made_with": installed()}
    parameters = images.decode(made.png).parameters  # the same for the same picture
    png = images.encode(picture, images.Caption(parameters, document))
    return _compared(original, png, picture)


def _again(original: Original) -> Recipe:
    """Return a recipe with this picture in it, where it was among the others of its strength.

    The adapters have their strengths already, so that the recipe's is 1, or 0 for a control.
    Prompts beside it need no trigger words: it matters that they are there, not what they say.
    """
    recipe, shot = original.recipe, original.shot
    prompts, seeds = list(recipe.prompts), recipe.seeds
    prompts[_index(prompts, shot.prompt)] = shot.prompt
    if len(set(prompts)) * len(seeds) > MOST_BESIDE or len(set(prompts)) < len(prompts):
        prompts, seeds = [shot.prompt], (shot.seed,)
    strengths = (1.0 if shot.strength else 0.0,)
    return replace(recipe, prompts=tuple(prompts), seeds=seeds, strengths=strengths, trigger="none")


def _index(prompts: Sequence[str], prompt: str) -> int:
    """Return which prompt of a recipe, trigger words put in, this is; the first where unsure."""
    for index, plain in enumerate(prompts):
        if all(" ".join(part.split()) in prompt for part in plain.split(SLOT)):
            return index
    return 0


def _compared(original: Original, png: bytes, picture: Image.Image) -> Again:
    if png == original.png.data:
        return Again(png, "bytes", 0)
    before = original.png.pixels()
    if before.size != picture.size:
        return Again(png, "different", 255)
    bands: Any = ImageChops.difference(before, picture).getextrema()
    difference = max(int(high) for _low, high in bands)
    if not difference:
        return Again(png, "pixels", 0)
    return Again(png, "near" if difference <= TOLERANCE else "different", difference)
