"""PNG bytes: the same twice, with a recipe that can be read back."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from previews.render import Layer, Recipe
from previews.render.output.images import caption, decode, encode

RECIPE = Recipe("tiny", ("a café",), (7,), (0.0, 0.5), 8, 2.5, 128, 64, negative="dull")
LAYERS = [Layer(Path("x"), 0.8, "noir-v1", "ab" * 32), Layer(Path("y"), 0.0, "off", "cd" * 32)]


def picture() -> Image.Image:
    return Image.linear_gradient("L").resize((128, 64)).convert("RGB")


def test_the_same_picture_gives_the_same_bytes() -> None:
    text = caption(RECIPE, RECIPE.shots(["ink"])[1], LAYERS, "DDIM")
    assert encode(picture(), text) == encode(picture(), text)


def test_the_recipe_can_be_read_back() -> None:
    shot = RECIPE.shots(["ink"])[1]
    read = decode(encode(picture(), caption(RECIPE, shot, LAYERS, "DDIM")))
    assert Recipe.from_dict(read.document["recipe"]) == RECIPE
    assert read.document["digest"] == RECIPE.digest
    assert read.document["image"] == {"prompt": "ink, a café", "seed": 7, "strength": 0.5}
    assert read.document["adapters"] == [{"name": "noir-v1", "sha256": "ab" * 32, "strength": 0.4}]


def test_the_parameters_are_in_the_form_that_tools_read() -> None:
    read = decode(encode(picture(), caption(RECIPE, RECIPE.shots()[1], LAYERS, "DDIM")))
    assert read.parameters == (
        "a café <lora:noir-v1:0.4>\nNegative prompt: dull\nSteps: 8, Sampler: DDIM, "
        "CFG scale: 2.5, Seed: 7, Size: 128x64, Model: tiny, Version: lorary-1"
    )


def test_the_control_names_no_adapter() -> None:
    text = caption(RECIPE, RECIPE.shots()[0], LAYERS, "DDIM")
    assert text == caption(RECIPE, RECIPE.shots()[0], [], "DDIM")
    assert "lora:" not in text.parameters


def test_texts_beyond_latin_are_kept() -> None:
    recipe = Recipe("tiny", ("一只猫",), (7,), (1.0,), 8, 2.5, 128, 64)
    read = decode(encode(picture(), caption(recipe, recipe.shots()[0], [], "DDIM")))
    assert read.parameters.startswith("一只猫")


def test_foreign_pictures_are_told_apart() -> None:
    stream = io.BytesIO()
    picture().save(stream, "PNG")
    with pytest.raises(ValueError, match="not a picture made by Lorary"):
        decode(stream.getvalue())
    with pytest.raises(ValueError, match="not a picture made by Lorary"):
        decode(b"GIF89a")
