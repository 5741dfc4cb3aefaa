"""Wan 2.2: two transformers, and a file for each."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from previews.render import CannotRender, Layer, Why
from previews.render.output import images
from previews.render.output.images import decode, poster
from tests.previews.families import conventions
from tests.previews.films import played
from tests.previews.updates import pixels

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.previews.families.scenes import Scene

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("convention", ["diffusers", "kohya-original", "original"])
def test_each_file_of_a_pair_changes_its_own_transformer(
    scenes: Callable[[str], Scene], tmp_path: Path, convention: str
) -> None:
    scene = scenes("wan_14b")
    high = conventions.updates_of(scene.plain, "wan_14b")
    low = conventions.updates_of(scene.plain, "wan_14b", part="transformer_2", seed=8)
    stack = []
    for updates, part in ((high, ""), (low, "transformer_2")):
        file = tmp_path / f"{part or 'transformer'}.safetensors"
        # Trainers of a pair know one model: both files have its names.
        named = [conventions.moved(update, "transformer") for update in updates]
        path, config = conventions.written(file, convention, scene.plain, named)
        stack.append(Layer(path, config=config, part=part))
    off, both = scene.engine.render(scene.recipe(0.0, 1.0), stack)
    assert np.array_equal(pixels(off.png), scene.base)
    assert np.abs(pixels(both.png) - scene.patched([*high, *low])).max() <= 1
    [second] = scene.engine.render(scene.recipe(1.0), stack[1:])
    assert np.abs(pixels(second.png) - scene.patched(low)).max() <= 1
    assert np.abs(pixels(second.png) - scene.base).max() > 4


def test_names_of_the_second_transformer_are_understood(
    scenes: Callable[[str], Scene], tmp_path: Path
) -> None:
    scene = scenes("wan_14b")
    low = conventions.updates_of(scene.plain, "wan_14b", part="transformer_2", seed=8)
    path, _ = conventions.written(tmp_path / "a.safetensors", "diffusers", scene.plain, low)
    [picture] = scene.engine.render(scene.recipe(1.0), [Layer(path)])
    assert np.abs(pixels(picture.png) - scene.patched(low)).max() <= 1


def test_a_base_of_one_transformer_has_no_place_for_the_second_file(
    scenes: Callable[[str], Scene], tmp_path: Path
) -> None:
    scene = scenes("wan_1_3b")
    path, _ = conventions.written(
        tmp_path / "a.safetensors", "diffusers", scene.plain, scene.updates
    )
    with pytest.raises(CannotRender) as caught:
        scene.engine.render(scene.recipe(1.0), [Layer(path, part="transformer_2")])
    assert caught.value.why is Why.MODULES


def test_a_video_is_its_first_frame_and_a_film(
    scenes: Callable[[str], Scene], monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = scenes("wan_1_3b")
    strip = pixels(scene.engine.render(scene.recipe(0.0))[0].png)
    monkeypatch.setattr(images, "poster", poster)
    [picture] = scene.engine.render(scene.recipe(0.0))
    assert np.array_equal(pixels(picture.png), strip[:, :32])
    assert decode(picture.png).document["recipe"]["frames"] == 5
    film = picture.film
    assert film is not None
    assert (film.media_type, film.frames, film.fps) == ("video/mp4", 5, 8)
    tags, frames = played(film.data)
    assert json.loads(tags["lorary"]) == decode(picture.png).document
    assert tags["parameters"] == decode(picture.png).parameters
    assert [frame.shape for frame in frames] == [(32, 32, 3)] * 5
    again = scene.engine.render(scene.recipe(0.0))[0]
    assert (again.png, again.film) == (picture.png, film)
