"""Every tiny base is made once."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import pytest

from tests.previews.families.scenes import TINY, Scene, film_strip

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture(autouse=True)
def _all_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    """The picture of a video shows all its frames here, so that tests compare all of them."""
    monkeypatch.setattr("previews.render.output.images.poster", film_strip)


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Scene]:
    @cache
    def scene(family: str) -> Scene:
        return Scene(TINY[family], tmp_path_factory.mktemp(family))

    return scene
