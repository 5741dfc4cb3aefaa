"""Pictures of the miniature are measured as its own, and equal copies are not distinguished."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import previews.miniature
from previews.render import Layer, Recipe, load_bases
from previews.render.engine import Engine
from previews.render.lineage.denoising import Scene
from previews.render.lineage.verdict import Measured, judge
from tests.previews.test_lineages import changed

if TYPE_CHECKING:
    from previews.render.lineage.verdict import Verdict

pytestmark = pytest.mark.long

FOLDER = Path(previews.miniature.__file__).parent
STACK = [Layer(FOLDER / "adapters" / "gold.safetensors", 1.0)]
PROMPTS = (
    "a fox in the snow", "a lighthouse at night", "a bowl of fruit", "a castle on a hill",
    "a boat on a lake", "a cat on a chair", "a tree in a field", "a red mushroom",
)  # fmt: skip
SIZE = (256, 256)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    folder = tmp_path_factory.mktemp("lineages")
    shutil.copytree(FOLDER / "base", folder / "same")
    changed(folder / "changed", FOLDER / "base", 0.05)
    places = {"miniature": FOLDER / "base", "same": folder / "same", "changed": folder / "changed"}
    file = folder / "bases.toml"
    file.write_text(
        "\n".join(
            f'[bases.{name}]\nfamily = "miniature"\npath = "{place}"\ndevice = "cpu"\n'
            'steps = 8\nguidance = 2.5\nwidth = 256\nheight = 256\ntrigger = "end"\n'
            for name, place in places.items()
        )
    )
    return Engine(load_bases(file), keep=3)


@pytest.fixture(scope="module")
def scenes(engine: Engine) -> list[Scene]:
    """Pictures that the miniature made."""
    recipe = Recipe(
        base="miniature", prompts=PROMPTS, seeds=(7,), strengths=(1.0,), steps=8, guidance=2.5,
        width=256, height=256, trigger="end",
    )  # fmt: skip
    pictures = engine.render(recipe, STACK, triggers=["gold"])
    return [Scene(one.png, one.shot.prompt) for one in pictures]


def verdict(engine: Engine, scenes: list[Scene], *bases: str) -> Verdict:
    found = [
        Measured(base, base, engine.denoise(base, STACK, scenes, SIZE, lambda: None).errors)
        for base in bases
    ]
    return judge(found)


def test_the_base_that_made_the_pictures_is_measured(engine: Engine, scenes: list[Scene]) -> None:
    for bases in (("miniature", "changed"), ("changed", "miniature")):
        found = verdict(engine, scenes, *bases)
        assert found.lineage == "miniature", found
        assert 0.03 < found.differences["changed"].difference < 0.2


def test_two_equal_bases_are_not_distinguished(engine: Engine, scenes: list[Scene]) -> None:
    found = verdict(engine, scenes, "miniature", "same")
    assert found.lineage == ""
    assert [one.difference for one in found.differences.values()] == [0, 0]
