"""A file of each family in each convention is drawn as its arithmetic says, on tiny real bases."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from previews.render import Layer
from previews.render.adapters.normalise import normalise, read
from tests.previews.families import conventions
from tests.previews.families.scenes import TINY, Scene, case
from tests.previews.updates import pixels
from tests.whole import by_turns

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CASES = [
    case(family, name)
    for turn, family in enumerate(TINY)
    for name in by_turns(conventions.conventions_of(family), turn)
]

pytestmark = [
    pytest.mark.slow,
    # Mochi's pipeline asks for autocast in float32 and torch says that there is none.
    pytest.mark.filterwarnings("ignore:In CPU autocast"),
]


@pytest.mark.parametrize(("family", "convention"), CASES, ids=lambda value: value)
def test_a_file_is_drawn_as_it_says(
    scenes: Callable[[str], Scene], tmp_path: Path, family: str, convention: str
) -> None:
    scene = scenes(family)
    file = tmp_path / "adapter.safetensors"
    path, config = conventions.written(file, convention, scene.plain, scene.updates)
    table = scene.engine.bases.get("tiny").table
    modules = sum(len(update.names) for update in scene.updates)
    assert len(normalise(read(path, config), table)) == modules

    off, on = scene.engine.render(scene.recipe(0.0, 1.0), [Layer(path, config=config)])
    assert np.array_equal(pixels(off.png), scene.base)
    assert np.abs(pixels(on.png) - scene.expected).max() <= 1
    assert np.abs(pixels(on.png) - pixels(off.png)).max() > 4


@pytest.mark.parametrize("family", [case(family) for family in TINY])
def test_the_base_is_called_as_by_hand(scenes: Callable[[str], Scene], family: str) -> None:
    scene = scenes(family)
    assert np.abs(scene.base - scene.direct()).max() <= 1
