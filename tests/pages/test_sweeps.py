"""The strength slider's arithmetic."""

from __future__ import annotations

from typing import Any

import pytest

from hub.pages.pictures.strength_slider import sweep_of
from previews.pictures.selectors import Picture
from previews.renders.selectors import Previews
from registry.models import Version

PROMPTS = ("a cat", "a house by the very long road to the sea")


def previews(strengths: tuple[float, ...] = (0, 0.25, 0.5, 0.75, 1), **said: Any) -> Previews:
    """Pictures whose id tells prompt, seed and strength: 1 11 075 is 0.75."""
    images = [
        Picture((number * 100 + seed) * 1000 + round(value * 100), prompt, seed, value, 128, 128)
        for number, prompt in enumerate(PROMPTS, 1)
        for seed in (11, 12)
        for value in strengths
    ]
    return Previews("ready", images=images, **said)


def version(**said: float) -> Version:
    return Version(number=1, **said)


def test_no_pictures_make_no_sweep() -> None:
    assert sweep_of(version(), Previews(), {}) is None


def test_it_starts_at_the_recommended_strength_beside_its_control() -> None:
    sweep = sweep_of(version(strength=0.75), previews(), {})
    assert sweep is not None
    assert sweep.control.picture.url == "/media/images/111000.png"
    assert sweep.has_control
    assert sweep.live.picture.url == "/media/images/111075.png"
    assert sweep.live.says == "recommended strength"
    assert [frame.x for frame in sweep.frames] == ["0", "25", "50", "75", "100"]


def test_the_closest_frame_is_called_close_and_no_more() -> None:
    sweep = sweep_of(version(strength=0.9), previews(), {})
    assert sweep is not None
    assert sweep.live.strength == "1.0"
    assert sweep.live.says == "closest to the recommended 0.9"


def test_prompt_seed_and_place_can_be_chosen() -> None:
    sweep = sweep_of(version(), previews(), {"prompt": "1", "seed": "12", "at": "2"})
    assert sweep is not None
    assert sweep.live.picture.url == "/media/images/212050.png"
    assert [option.is_chosen for option in sweep.prompts] == [False, True]
    assert sweep.prompts[1].label.endswith("…")


def test_many_prompts_are_chosen_from_a_list_that_tells_them_in_full() -> None:
    few = sweep_of(version(), previews(), {})
    assert few is not None
    assert not few.has_list
    texts = [f"a cat, and what it does on day {number} of a long week" for number in range(4)]
    images = [Picture(n, text, 1, 1.0, 128, 128) for n, text in enumerate(texts)]
    many = sweep_of(version(), Previews("ready", images=images), {"prompt": "2"})
    assert many is not None
    assert many.has_list
    assert [option.full for option in many.prompts if option.is_chosen] == [texts[2]]


def test_every_prompt_is_shown_at_the_recommended_strength() -> None:
    """The first prompt is swept, the others have a picture without and one with the adapter."""
    swept = [Picture(at, "a cat", 1, at / 4, 128, 128) for at in range(5)]
    others = [
        Picture(number * 10 + bool(value), f"prompt {number}", 1, value, 128, 128)
        for number in range(1, 6)
        for value in (0.0, 0.25)
    ]
    found = Previews("ready", images=[*swept, *others], recipe={"edition": 2})
    sweep = sweep_of(version(strength=0.1), found, {"prompt": "2"})
    assert sweep is not None
    assert [look.frame.picture.id for look in sweep.looks] == [1, 11, 21, 31, 41, 51]
    assert [look.is_chosen for look in sweep.looks] == [False, False, True, False, False, False]
    assert sweep.live.picture.id == 21
    assert sweep.control.picture.id == 20
    assert sweep.settings.endswith("recipe edition 2")
    few = sweep_of(version(), previews(), {})
    assert few is not None
    assert not few.looks


@pytest.mark.parametrize("nonsense", ["9", "-1", "x", "²", "9" * 40, ""])
def test_nonsense_falls_back(nonsense: str) -> None:
    sweep = sweep_of(version(), previews(), {"prompt": nonsense, "seed": nonsense, "at": nonsense})
    assert sweep is not None
    assert sweep.control.picture.url == "/media/images/111000.png"
    assert sweep.at == 4


def test_a_seed_that_was_not_rendered_is_disabled() -> None:
    images = [one for one in previews().images if (one.prompt, one.seed) != ("a cat", 12)]
    sweep = sweep_of(version(), Previews("ready", images=images), {})
    assert sweep is not None
    assert [(option.value, option.is_missing) for option in sweep.seeds] == [
        ("11", False),
        ("12", True),
    ]


def test_the_band_lies_where_the_frames_are() -> None:
    said = version(strength=0.8, strength_min=0.5, strength_max=0.75)
    sweep = sweep_of(said, previews(), {})
    assert sweep is not None
    assert sweep.band is not None
    assert (sweep.band.x, sweep.band.width, sweep.band.end) == ("50", "25", "75")


def test_uneven_steps_stretch_the_band() -> None:
    said = version(strength=1, strength_min=0.5, strength_max=1.5)
    sweep = sweep_of(said, previews((0, 1, 2)), {})
    assert sweep is not None
    assert sweep.band is not None
    assert (sweep.band.x, sweep.band.end) == ("25", "75")


def test_one_recommended_value_has_no_band() -> None:
    sweep = sweep_of(version(strength=1), previews(), {})
    assert sweep is not None
    assert sweep.band is None
    assert sweep.recommended == "Recommended 1.0"


def test_the_recipe_is_told_in_words() -> None:
    sweep = sweep_of(version(), previews(recipe={"steps": 8, "guidance": 3.0}), {})
    assert sweep is not None
    assert sweep.settings == "seed 11 · 8 steps · guidance 3"
