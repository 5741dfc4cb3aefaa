"""Bases of pictures with a motion adapter: opened, checked, rendered."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from diffusers import AnimateDiffPipeline, MotionAdapter
from PIL import Image

from previews.render import BasesInvalid, Layer, load_bases
from previews.render.bases import pipelines
from previews.render.bases.bases_file import announced_base
from previews.render.bases.verify import verify
from previews.render.defaults import default_recipe
from previews.render.engine import Engine
from previews.render.output import films
from previews.render.output.images import Caption, decode
from tests.previews import moving
from tests.previews.films import played
from tests.previews.updates import pixels
from training.miniature.tiny import write_tiny_lora

if TYPE_CHECKING:
    from previews.render import Base, Recipe


@pytest.fixture
def bases_file(tmp_path: Path, tiny_folder: Path) -> Path:
    moving.write_motion(tmp_path / "motion", tiny_folder)
    return moving.write_bases(tmp_path / "bases.toml", tiny_folder)


@pytest.fixture
def base(bases_file: Path) -> Base:
    return load_bases(bases_file).get("tiny-motion")


def recipe_of(base: Base, **said: Any) -> Recipe:
    return default_recipe(base, "style", **said)


def test_the_same_adapter_file_changes_a_video(
    bases_file: Path, base: Base, plain: Any, tmp_path: Path
) -> None:
    recipe = recipe_of(base, recommended=0.8)
    assert (recipe.strengths, recipe.seeds, recipe.frames) == ((0.0, 0.8), (7,), moving.FRAMES)
    layer = Layer(write_tiny_lora(tmp_path / "a.safetensors"), name="a", sha256="a" * 64)
    pictures = Engine(load_bases(bases_file)).render(recipe, [layer])
    assert len(pictures) == 2 * len(recipe.prompts)
    for picture in pictures:
        film = picture.film
        assert film is not None
        assert (film.media_type, film.frames, film.fps) == ("video/mp4", moving.FRAMES, moving.FPS)
        tags, frames = played(film.data)
        document = decode(picture.png).document
        assert json.loads(tags["lorary"]) == document
        assert document["image"]["prompt"] == picture.shot.prompt
        assert bool(document["adapters"]) == bool(picture.shot.strength)
        assert len(frames) == moving.FRAMES
        assert np.abs(frames[1].astype(int) - frames[0]).mean() > 1  # they move
        assert np.abs(frames[0].astype(int) - pixels(picture.png)).mean() < 20  # the first frame
    off, *_rest, on = (pixels(one.png) for one in pictures)
    assert np.abs(on - off).max() > 8
    # What plain diffusers makes of the same parts, without an adapter.
    opener: Any = MotionAdapter
    adapter = opener.from_pretrained(base.motion)
    made: Any = AnimateDiffPipeline.from_pipe(plain, motion_adapter=adapter)
    made.set_progress_bar_config(disable=True)
    direct = made(
        prompt=[pictures[0].shot.prompt],
        num_frames=moving.FRAMES, width=64, height=64, num_inference_steps=2,
        guidance_scale=2.5, generator=[torch.Generator("cpu").manual_seed(7)],
    ).frames[0]  # fmt: skip
    assert pictures[0].shot.strength == 0
    assert np.abs(np.asarray(direct[0].convert("RGB")).astype(int) - off).max() <= 1


def test_the_same_seed_gives_the_same_bytes(bases_file: Path, base: Base) -> None:
    recipe = recipe_of(base)
    one, two = (Engine(load_bases(bases_file)).render(recipe)[0] for _ in "ab")
    assert (one.png, one.film) == (two.png, two.film)


def test_the_same_frames_are_the_same_film_each_time() -> None:
    random = np.random.default_rng(0)
    frames = [
        Image.fromarray(random.integers(0, 255, (64, 64, 3), dtype=np.uint8)) for _ in range(4)
    ]
    text = Caption("a cat", {"seed": 7})
    assert len({films.encode(frames, 4, text).data for _ in range(100)}) == 1


def test_another_motion_adapter_is_another_base(
    base: Base, tmp_path: Path, tiny_folder: Path
) -> None:
    still = load_bases(tmp_path / "bases.toml").get("tiny")
    before = pipelines.fingerprint(base, "cpu")
    moving.write_motion(tmp_path / "motion", tiny_folder, seed=1)
    assert before != pipelines.fingerprint(base, "cpu")
    assert pipelines.fingerprint(still, "cpu") not in {before, pipelines.fingerprint(base, "cpu")}


def test_a_motion_adapter_is_verified(base: Base, tmp_path: Path) -> None:
    assert verify(base) == []
    config = tmp_path / "motion" / "config.json"
    config.write_text(json.dumps({"_class_name": "UNet2DConditionModel"}))
    assert [fault.message for fault in verify(base)] == [
        f"{tmp_path / 'motion'}: it is a UNet2DConditionModel, not a MotionAdapter"
    ]
    config.unlink()
    assert not base.is_present
    [fault] = verify(base)
    assert "no config.json in the folder" in fault.message


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('family = "miniature"\noutput = "video"', "a video needs “frames”"),
        ('family = "miniature"\nmotion = "m"', "“motion” is for image base models with output"),
        ('family = "wan_1_3b"\nmotion = "m"', "“motion” is for image base models with output"),
        ('family = "wan_1_3b"\noutput = "image"', "wan_1_3b makes videos"),
        ('family = "miniature"\noutput = "sound"', "“output” must be one of image, video"),
    ],
)
def test_contradictions_are_named(tmp_path: Path, text: str, fault: str) -> None:
    file = tmp_path / "bases.toml"
    file.write_text(f'[bases.a]\npath = "a"\n{text}\n')
    with pytest.raises(BasesInvalid, match=fault):
        load_bases(file)


def test_the_output_of_an_older_worker_s_base_is_that_of_its_family() -> None:
    wan, sdxl = (announced_base({"id": "a", "family": one}) for one in ("wan_1_3b", "sdxl"))
    assert wan is not None
    assert sdxl is not None
    assert (wan.output, sdxl.output) == ("video", "image")


def test_videos_are_rendered_one_by_one_unless_the_file_says_otherwise(base: Base) -> None:
    bases = load_bases(Path(base.motion).parent / "bases.toml")
    assert [(one.id, one.batch) for one in bases] == [("tiny-motion", 1), ("tiny", 8)]
