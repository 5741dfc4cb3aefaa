"""Opening bases: where they come from, what is kept, which sampler."""

from __future__ import annotations

import dataclasses
import shutil
from typing import TYPE_CHECKING, Any

import pytest
import torch

from previews.render import Bases, BaseUnavailable, CannotRender, Why
from previews.render.bases.pipelines import BaseCache, device_of
from previews.render.engine import Engine
from tests.previews.updates import bases_at, recipe

if TYPE_CHECKING:
    from pathlib import Path


def three(folder: Path) -> Bases:
    base = bases_at(folder).get("tiny")
    return Bases({name: dataclasses.replace(base, id=name) for name in ("a", "b", "c")})


def test_the_least_recently_used_base_makes_room(tiny_folder: Path) -> None:
    shelf = BaseCache(three(tiny_folder), keep=2)
    first, second = shelf.get("a"), shelf.get("b")
    assert shelf.get("a") is first
    shelf.get("c")
    assert shelf.get("a") is first
    assert shelf.get("b") is not second


def test_a_dropped_base_is_opened_anew(tiny_folder: Path) -> None:
    shelf = BaseCache(bases_at(tiny_folder))
    first = shelf.get("tiny")
    shelf.drop("tiny")
    shelf.drop("tiny")
    assert shelf.get("tiny") is not first


def test_a_base_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BaseUnavailable, match="are not in"):
        BaseCache(bases_at(tmp_path / "gone")).get("tiny")


def test_a_broken_base_is_unavailable(tiny_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "broken"
    shutil.copytree(tiny_folder, folder)
    for file in (folder / "unet").glob("*.safetensors"):
        file.write_bytes(b"nothing")
    with pytest.raises(BaseUnavailable, match="cannot be opened"):
        BaseCache(bases_at(folder)).get("tiny")


def test_a_hub_id_is_looked_for_in_the_cache_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    base = dataclasses.replace(
        bases_at(tmp_path).get("tiny"), location="nobody/nothing-here", is_local=False
    )
    assert not base.is_present
    with pytest.raises(BaseUnavailable):
        BaseCache(Bases({"tiny": base})).get("tiny")


def test_half_precision_on_a_cpu_is_computed_in_full(tiny_folder: Path) -> None:
    opened = BaseCache(bases_at(tiny_folder, dtype="float16")).get("tiny")
    assert opened.pipeline.unet.dtype is torch.float32


def test_auto_takes_what_there_is(tiny_folder: Path) -> None:
    base = bases_at(tiny_folder, device="auto").get("tiny")
    assert device_of(base) in {"cpu", "cuda", "mps"}


def test_a_sampler_is_chosen_by_the_recipe_and_put_back(engine: Engine) -> None:
    own = engine.render(recipe(strengths=(0.0,)))
    other = engine.render(recipe(strengths=(0.0,), sampler="EulerDiscreteScheduler"))
    again = engine.render(recipe(strengths=(0.0,)))
    assert [item.png for item in own] == [item.png for item in again]
    assert own[0].png != other[0].png
    assert b"Sampler: EulerDiscrete," in other[0].png


@pytest.mark.parametrize("name", ["NoScheduler", "UNet2DConditionModel", "__name__"])
def test_an_unknown_sampler_is_refused(engine: Engine, name: str) -> None:
    with pytest.raises(BaseUnavailable, match="no sampler"):
        engine.render(recipe(sampler=name))


def test_a_negative_prompt_is_used(engine: Engine) -> None:
    plain = engine.render(recipe(strengths=(0.0,)))
    changed = engine.render(recipe(strengths=(0.0,), negative="a red house"))
    assert plain[0].png != changed[0].png


def test_pictures_that_a_safety_checker_blacked_out_are_no_previews(
    tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = Engine(bases_at(tiny_folder))
    pipeline = own.bases.get("tiny").pipeline

    def flags(images: Any, *_: Any) -> Any:
        return images, [True] * len(images)

    monkeypatch.setattr(pipeline, "run_safety_checker", flags)
    with pytest.raises(CannotRender) as caught:
        own.render(recipe(strengths=(0.0,)))
    assert caught.value.why is Why.FLAGGED
