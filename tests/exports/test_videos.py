"""The script of a video variant gives the frames that the hub renders."""

from __future__ import annotations

import runpy
from typing import TYPE_CHECKING

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("diffusers")
pytest.importorskip("peft")

from PIL import Image

from lorary.exports import export
from previews.packs.recipes import recipe_of
from previews.render import Layer, load_bases
from previews.render.arguments import shared_arguments
from previews.render.engine import Engine
from previews.render.families import family_of
from tests.exports.documents import look, part
from tests.previews import moving
from tests.previews.updates import pixels
from training.miniature.tiny import write_tiny_base, write_tiny_lora

if TYPE_CHECKING:
    from pathlib import Path

FILES = {"noir.safetensors": 0.8, "dusk.safetensors": -0.4}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Already found a `peft_config`")  # the second part
def test_the_script_moves_a_base_for_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny = write_tiny_base(tmp_path / "tiny")
    moving.write_motion(tmp_path / "motion", tiny)
    bases = load_bases(moving.write_bases(tmp_path / "bases.toml", tiny, is_still=False))
    (base,) = bases
    (tmp_path / "loras").mkdir()
    for seed, name in enumerate(FILES):
        write_tiny_lora(tmp_path / "loras" / name, seed=seed)
    template = "noir, {prompt}, grain"
    recipe = recipe_of(
        {"prompt": template, "negative": "blurry"}, base, prompts=["a cat"], seed=3, compares=False
    )
    layers = [Layer(tmp_path / "loras" / name, weight) for name, weight in FILES.items()]
    (picture,) = Engine(bases).render(recipe, layers)
    parts = [part(name[:4], file=name, strength=weight) for name, weight in FILES.items()]
    film = look(
        *parts,
        family="miniature",
        output="video",
        prompt=template,
        rendered_with={
            "frames": recipe.frames,
            "fps": recipe.fps,
            "arguments": shared_arguments(base, family_of("miniature"), recipe),
        },
    )
    (tmp_path / "film.py").write_text(export(film, "diffusers").text)
    words = ["film.py", "--base", tiny, "--motion", tmp_path / "motion", "--prompt", "a cat"]
    words += ["--seed", 3, "--out", tmp_path / "out.png", "--loras", tmp_path / "loras"]
    monkeypatch.setattr("sys.argv", [str(word) for word in words])
    runpy.run_path(str(tmp_path / "film.py"), run_name="__main__")
    with Image.open(tmp_path / "out.png") as made:
        assert made.n_frames == moving.FRAMES  # type: ignore[attr-defined]  # of an animation
        first = np.asarray(made.convert("RGB")).astype(int)
    assert abs(first - pixels(picture.png)).max() <= 1
    assert picture.film is not None
