"""Strength advice on the slider: in words, as a band, and with both sides of 0."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from hub.pages.pictures.strength_slider import Sweep, in_words, sweep_of
from previews.pictures.selectors import Picture
from previews.renders.selectors import Previews
from registry.models import Version
from tests.pages.pictures import render

if TYPE_CHECKING:
    from django.test import Client

    from registry.models import Adapter

SIGNED = (-1, -0.5, 0, 0.5, 1)


def side(ends: float = 1.0, **said: Any) -> dict[str, Any]:
    found = {"begins": 0.24, "saturates": 0.62, "breaks": None, "suggested": [0.38, 1.0]}
    return found | {"ends": ends} | said


def advice(**sides: Any) -> dict[str, Any]:
    distances = [[-1.0, 40], [-0.5, 20], [0.0, 0], [0.25, 9], [0.5, 30], [1.0, 50]]
    return {"positive": None, "negative": None, "distances": distances} | sides


def sweep(
    strengths: tuple[float, ...], said: dict[str, Any], version: Version | None = None
) -> Sweep:
    images = [
        Picture(number, "a cat", 11, value, 128, 128) for number, value in enumerate(strengths)
    ]
    found = sweep_of(
        version or Version(number=1), Previews("ready", images=images, advice=said), {}
    )
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({}, "begins at 0.25, full effect at 0.6, try 0.4 to 1.0"),
        ({"saturates": None}, "begins at 0.25, still growing at 1.0, try 0.4 to 1.0"),
        ({"saturates": 0.25}, "full effect already at 0.25, try 0.4 to 1.0"),
        (
            {"breaks": 0.91, "suggested": [0.38, 0.91]},
            "begins at 0.25, full effect at 0.6, degrades from 0.9, try 0.4 to 0.9",
        ),
        ({"begins": 0.01}, "begins at 0.05, full effect at 0.6, try 0.4 to 1.0"),
        (
            {"begins": None, "saturates": None, "suggested": None},
            "hardly any change up to 1.0",
        ),
    ],
    ids=["whole", "growing", "at once", "breaking", "never at 0", "nothing"],
)
def test_a_side_in_words(said: dict[str, Any], words: str) -> None:
    assert in_words(advice(positive=side(**said))) == words[0].upper() + words[1:]


def test_both_sides_in_words() -> None:
    below = side(-1.0, begins=-0.3, saturates=None, suggested=[-1.0, -0.6])
    assert in_words(advice(positive=side(), negative=below)) == (
        "Above 0 begins at 0.25, full effect at 0.6, try 0.4 to 1.0; "
        "below 0 begins at −0.3, still growing at −1.0, try −1.0 to −0.6"
    )


def test_no_advice_has_no_words_and_no_band() -> None:
    assert in_words({}) == ""
    found = sweep(SIGNED, {})
    assert (found.advice, found.measured) == ("", [])


def test_the_suggested_range_lies_on_the_slider_and_is_led_to_from_where_it_begins() -> None:
    [band] = sweep((0, 0.25, 0.5, 0.75, 1), advice(positive=side())).measured
    assert (band.lead, band.x, band.end) == ("24", "38", "100")


def test_a_side_without_change_has_no_band() -> None:
    nothing = side(-1.0, begins=None, saturates=None, suggested=None)
    [band] = sweep(SIGNED, advice(positive=side(), negative=nothing)).measured
    assert float(band.x) > 50


def test_both_sides_have_a_band() -> None:
    below = side(-1.0, begins=-0.3, suggested=[-1.0, -0.6])
    low, high = sweep(SIGNED, advice(positive=side(), negative=below)).measured
    assert (low.x, low.end, low.lead) == ("0", "20", "35")
    assert (high.x, high.end, high.lead) == ("69", "100", "62")


def test_the_control_stands_where_the_strength_is_0() -> None:
    found = sweep(SIGNED, {}, Version(number=1, strength=1, strength_min=-1, strength_max=1))
    assert found.has_control
    assert found.control.picture.strength == 0
    assert found.control.says == "no adapter"
    assert found.live.picture.strength == 1
    assert found.band is not None
    assert (found.band.x, found.band.end) == ("0", "100")


def test_a_sweep_without_0_has_no_control() -> None:
    found = sweep((0.5, 1), {})
    assert not found.has_control
    assert found.control.picture.strength == 0.5


def test_strengths_below_0_have_a_minus() -> None:
    found = sweep(SIGNED, {}, Version(number=1, strength=-0.7))
    assert [frame.strength for frame in found.frames] == ["−1.0", "−0.5", "0", "0.5", "1.0"]
    assert found.frames[0].alt == "a cat, strength −1.0"
    assert found.live.says == "closest to the recommended −0.7"


@pytest.mark.django_db
def test_the_page_tells_what_was_measured_beside_what_the_creator_says(
    client: Client, noir: Adapter
) -> None:
    assert noir.latest_version is not None
    made = render(noir.latest_version, "ready", 5)
    made.advice = advice(positive=side())
    made.save()
    page = client.get("/ada/noir").content.decode()
    assert "Recommended 0.7 to 1.0, best 0.9" in page
    assert "Begins at 0.25, full effect at 0.6, try 0.4 to 1.0" in page
    assert 'aria-describedby="strength-notes"' in page
    assert 'id="strength-notes"' in page
    assert 'class="measured"' in page
