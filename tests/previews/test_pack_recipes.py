"""Recipes of packs: the template, settings within the limits of a base, layers."""

from __future__ import annotations

from typing import Any

import pytest

from previews.packs.recipes import recipe_of
from previews.render import Base, Recipe
from previews.render.defaults import recipe_of as recipe_of_base
from previews.render.pictures import control_document
from registry.errors import Invalid

BASE = Base(
    id="tiny", family="sd1", location="", is_local=True,
    steps=8, guidance=2.5, width=128, height=128, negative="ugly", trigger="end",
)  # fmt: skip
FILM = Base(
    id="film", family="sd1", location="", is_local=True, output="video",
    steps=8, guidance=2.5, width=128, height=128, frames=16, fps=8,
)  # fmt: skip

TOO_LONG = "The prompt and the pack’s template are too long together. Shorten the prompt."


def variant(**settings: Any) -> dict[str, Any]:
    return {"name": "sd1", "prompt": "noir, {prompt}, grain", "negative": "", **settings}


def made(base: Base = BASE, prompts: tuple[str, ...] = ("a cat",), **settings: Any) -> Recipe:
    return recipe_of(variant(**settings), base, prompts=prompts, seed=7, compares=True)


def test_the_template_is_applied_and_left_out_without_the_pack() -> None:
    shots = made(prompts=("a cat", "  a   house ")).shots()
    assert [(shot.prompt, shot.seed, shot.strength) for shot in shots] == [
        ("a cat", 7, 0.0),
        ("a house", 7, 0.0),
        ("noir, a cat, grain", 7, 1.0),
        ("noir, a house, grain", 7, 1.0),
    ]


def test_without_comparing_only_the_pack_is_rendered() -> None:
    recipe = recipe_of(variant(), BASE, prompts=["a cat"], seed=3, compares=False)
    assert [(one.prompt, one.strength) for one in recipe.shots()] == [("noir, a cat, grain", 1.0)]
    assert recipe.plain == ()


@pytest.mark.parametrize("text", ["a {trigger} in {prompt}", "{0} {{x}}", "<lora:x:1>"])
def test_all_but_the_place_of_the_subject_is_literal(text: str) -> None:
    recipe = made(prompt="{trigger}:  {prompt} {other}", prompts=(text,))
    with_pack = f"{{trigger}}:  {text} {{other}}"
    assert [shot.prompt for shot in recipe.shots(["word"])] == [text, with_pack]


def test_settings_are_those_of_the_pack_and_else_of_the_base() -> None:
    own = made(negative="blurry", steps=12, guidance=4.0, width=160, height=96)
    assert (own.negative, own.steps, own.guidance, own.width, own.height) == (
        "blurry", 12, 4.0, 160, 96,
    )  # fmt: skip
    plain = made()
    assert (plain.negative, plain.steps, plain.guidance, plain.width, plain.height) == (
        "", 8, 2.5, 128, 128,
    )  # fmt: skip


def test_settings_stay_within_the_limits_of_the_base() -> None:
    recipe = made(steps=1000, guidance=100.0)
    assert (recipe.steps, recipe.guidance) == (16, 50.0)


@pytest.mark.parametrize(
    ("wanted", "size"),
    [
        ((1024, 1024), (152, 152)),
        ((2048, 512), (192, 64)),
        ((64, 64), (64, 64)),
        ((128, 192), (128, 192)),
        ((4096, 64), (192, 64)),
    ],
)
def test_a_size_is_reduced_in_its_proportion(
    wanted: tuple[int, int], size: tuple[int, int]
) -> None:
    recipe = made(width=wanted[0], height=wanted[1])
    assert (recipe.width, recipe.height) == size
    assert recipe.width * recipe.height <= 1.5 * 128 * 128


def test_a_video_has_at_most_the_frames_of_its_base() -> None:
    assert (made(FILM).frames, made(FILM).fps) == (16, 8)
    short = made(FILM, frames=8, fps=4)
    assert (short.frames, short.fps) == (8, 4)
    assert made(FILM, frames=200).frames == 16
    assert (made().frames, made().fps) == (0, 0)


@pytest.mark.parametrize(
    ("prompt", "text"),
    [
        ("  ", "Describe the picture."),
        ("x" * 2001, "Enter at most 2000 characters; you entered 2001."),
        ("x" * 1995, TOO_LONG),
        ("a\x00cat", "This text contains invisible control characters."),
    ],
)
def test_a_subject_that_cannot_be_rendered_is_refused(prompt: str, text: str) -> None:
    with pytest.raises(Invalid) as refused:
        made(prompts=(prompt,))
    assert refused.value.facts["fields"] == {"prompt": [text]}


def test_a_recipe_with_plain_prompts_survives_json() -> None:
    recipe = made()
    assert Recipe.from_dict(recipe.to_dict()) == recipe


def test_a_picture_without_the_pack_is_the_control_of_any_other_render() -> None:
    recipe = made(negative="ugly")
    other = recipe_of_base(BASE, prompts=["a cat"], seeds=[7], strengths=[0.0], trigger="none")
    [shot] = other.shots()
    assert control_document(recipe, recipe.shots()[0]) == control_document(other, shot)
