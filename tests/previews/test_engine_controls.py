"""Pictures at strength 0 are made once and shared; progress is told step by step."""

from __future__ import annotations

import dataclasses
import shutil
from typing import TYPE_CHECKING

import pytest
from safetensors.torch import load_file, save_file

from previews.render import Layer
from previews.render.bases.pipelines import fingerprint
from previews.render.engine import Callbacks, Engine, Picture
from previews.render.pictures import control_key
from tests.previews.updates import ControlsInMemory, bases_at, recipe

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from previews.render import Recipe

SWEEP = recipe(strengths=(0.0, 0.5), seeds=(1, 2))
FINGERPRINT = "f1" * 32


def key(asked: Recipe, words: Sequence[str] = ()) -> str:
    return control_key(asked, asked.shots(words)[0], FINGERPRINT)


def test_what_changes_a_control_changes_its_key() -> None:
    changes = {
        "base": "other", "steps": 3, "guidance": 3.0, "width": 128, "height": 128, "seeds": (9,),
        "negative": "dull", "sampler": "EulerDiscreteScheduler", "renderer": "lorary-2",
        "prompts": ("a cat",), "frames": 5, "fps": 8,
    }  # fmt: skip
    keys = {key(recipe(**{name: value})) for name, value in changes.items()}
    assert len(keys | {key(recipe())}) == len(changes) + 1


def test_what_does_not_change_a_control_does_not_change_its_key() -> None:
    plain = key(recipe())
    assert key(recipe(strengths=(-1.0, 0.0, 2.0))) == plain
    assert key(recipe(prompts=("a red house", "another one"), seeds=(1, 5))) == plain
    assert key(recipe(prompts=("a house",), trigger="front"), ["red"]) == key(
        recipe(prompts=("red, a house",))
    )


@pytest.fixture
def lora(tiny_lora: bytes, tmp_path: Path) -> Path:
    path = tmp_path / "noir.safetensors"
    path.write_bytes(tiny_lora)
    return path


def render(
    engine: Engine, asked: Recipe, stack: Sequence[Layer] = (), **callbacks: object
) -> tuple[list[Picture], list[tuple[int, int]]]:
    """The pictures, and what was told of the steps."""
    steps: list[tuple[int, int]] = []
    said = Callbacks(on_step=lambda *told: steps.append(told), **callbacks)  # type: ignore[arg-type]
    return engine.render(asked, stack, callbacks=said), steps


def test_a_second_adapter_gets_the_controls_of_the_first(engine: Engine, lora: Path) -> None:
    controls = ControlsInMemory()
    first, before = render(engine, SWEEP, [Layer(lora, 1.0, "noir")], controls=controls)
    second, after = render(engine, SWEEP, [Layer(lora, -1.0, "blanc")], controls=controls)
    assert [picture.shot for picture in first] == [picture.shot for picture in second]
    assert [a.png == b.png for a, b in zip(first, second, strict=True)] == [True] * 4 + [False] * 4
    assert (before[-1], after[-1]) == ((16, 16), (8, 8))
    assert second == render(engine, SWEEP, [Layer(lora, -1.0, "blanc")])[0]


def test_controls_of_a_call_are_shared_or_made_together(engine: Engine, lora: Path) -> None:
    """The last bits of a picture can depend on its place in its call."""
    controls = ControlsInMemory()
    render(engine, recipe(strengths=(0.0,)), controls=controls)
    heard: list[Sequence[Picture]] = []
    mixed = recipe(prompts=("a cat in the snow", "a tree"), strengths=(1.0, 0.0))
    made, steps = render(engine, mixed, [Layer(lora)], controls=controls, on_pictures=heard.append)
    assert steps[-1] == (8, 8)
    assert [[picture.shot.position for picture in told] for told in heard] == [[0, 1], [2, 3]]
    assert [picture.shot for picture in made] == list(mixed.shots())
    assert [one.png for one in made] == [one.png for one in render(engine, mixed, [Layer(lora)])[0]]
    base, call = engine.bases.get("tiny").fingerprint, mixed.shots()[2:]
    keys = [control_key(mixed, shot, base, (2, index)) for index, shot in enumerate(call)]
    assert controls.find(keys).keys() == set(keys)
    lost = controls.pop(keys[0])
    again, steps = render(engine, mixed, [Layer(lora)], controls=controls)
    assert steps[-1] == (8, 8)
    assert (again[2].png, controls[keys[0]].png) == (lost.png, lost.png)
    assert render(engine, mixed, [Layer(lora)], controls=controls)[1][-1] == (4, 4)


def test_the_place_in_its_call_is_part_of_a_controls_key() -> None:
    shot = recipe().shots()[0]
    keys = {control_key(recipe(), shot, FINGERPRINT, place) for place in ((2, 0), (2, 1), (3, 0))}
    assert len(keys | {key(recipe())}) == 4
    assert control_key(recipe(), shot, FINGERPRINT, (1, 0)) == key(recipe())


def test_another_model_under_the_same_name_gets_controls_of_its_own(
    tiny_folder: Path, tmp_path: Path
) -> None:
    folder, controls = shutil.copytree(tiny_folder, tmp_path / "base"), ControlsInMemory()
    asked = recipe(strengths=(0.0,))
    before, _ = render(Engine(bases_at(folder)), asked, controls=controls)
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    save_file({name: tensor * 1.5 for name, tensor in load_file(weights).items()}, weights)
    after, steps = render(Engine(bases_at(folder)), asked, controls=controls)
    assert steps
    assert all(one.png != other.png for one, other in zip(before, after, strict=True))


def test_what_changes_a_bases_pictures_changes_its_fingerprint(
    tiny_folder: Path, tmp_path: Path
) -> None:
    def of(device: str = "cpu", folder: Path = tiny_folder, **changes: object) -> str:
        return fingerprint(bases_at(folder, **changes).get("tiny"), device)

    other = shutil.copytree(tiny_folder, tmp_path / "base")
    assert of(folder=other) == of() == of(batch=1, memory_gb=3.0)
    assert of("cuda:1") == of("cuda:0")
    (other / "scheduler" / "scheduler_config.json").write_text("{}")
    changed = [of("cuda"), of(dtype="bfloat16"), of(call={"clip_skip": 1}), of(folder=other)]
    assert len({of(), *changed}) == len(changed) + 1


def test_a_control_says_nothing_of_who_asked_for_it(engine: Engine, lora: Path) -> None:
    """Another prompt of the same recipe may be somebody's secret."""
    asked = recipe(prompts=("a tree", "my secret plan"), strengths=(0.0,))
    pictures, _steps = render(engine, asked, [Layer(lora, 1.0, "hidden-style")])
    assert b"my secret plan" not in pictures[0].png
    assert b"hidden-style" not in pictures[0].png


def test_a_single_picture_shows_progress(engine: Engine) -> None:
    one = recipe(prompts=("a tree",), strengths=(0.0,), steps=3)
    assert render(engine, one)[1] == [(1, 3), (2, 3), (3, 3)]


def test_steps_count_all_that_is_still_to_do(tiny_folder: Path) -> None:
    have = frozenset(shot.key for shot in SWEEP.shots() if shot.strength == 0.0)
    one_by_one = Engine(bases_at(tiny_folder, batch=1))
    steps = render(one_by_one, SWEEP, have=have)[1]
    assert steps == [(done, 8) for done in range(1, 9)]


def test_schedulers_that_take_more_steps_do_not_count_beyond_the_end(engine: Engine) -> None:
    asked = dataclasses.replace(SWEEP, sampler="HeunDiscreteScheduler", strengths=(0.0,), steps=4)
    steps = render(engine, asked)[1]
    assert steps[0] == (4, 16)
    assert steps[-1] == (16, 16)
    assert len(steps) > 4
