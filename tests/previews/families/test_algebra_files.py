"""Resized and merged files in diffusers' and PEFT's own loaders, and DoRA as PEFT merges it."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from peft import LoHaConfig, LoKrConfig, LoraConfig, PeftModel, get_peft_model
from peft.utils import load_peft_weights
from safetensors.torch import save_file

from lorary.algebra.conversion.converting import convert
from lorary.algebra.errors import AlgebraError
from lorary.algebra.merging.merge import MergeSettings, merge
from lorary.algebra.resize import resize_to_rank
from previews.render.bases.libraries import quiet
from tests.builders.factors import distance, updates
from tests.previews.families import conventions
from tests.previews.families.test_conversions import FAMILIES, loaded, stored, written

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from peft import PeftConfig

    from tests.previews.families.scenes import Scene

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:In CPU autocast"),
]

CASES = ["sdxl", "flux1", "z_image", "wan_1_3b"]


@contextmanager
def patched(pipeline: Any, parts: Iterable[list[conventions.Update]]) -> Iterator[None]:
    """Have the updates of several files in the weights, as in `conventions.patched`."""
    with ExitStack() as stack:
        for part in parts:
            stack.enter_context(conventions.patched(pipeline, part))
        yield


def require_pictures(
    scene: Scene,
    path: Path,
    expected: list[list[conventions.Update]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Require that diffusers reads every key of a file and draws what the updates say."""
    with patched(scene.plain, expected):
        wanted = scene.direct()
    try:
        with quiet():
            scene.plain.load_lora_weights(str(path))
        assert loaded(scene.plain, expected[0][0].component) == stored(path)
        found = scene.direct()
    finally:
        scene.plain.unload_lora_weights()
    assert np.abs(found - wanted).max() <= 1
    assert np.abs(wanted - scene.base).max() > 4
    assert not [one for one in caplog.messages if "led to" in one]


def truncated(own: list[conventions.Update], rank: int) -> list[conventions.Update]:
    """The best approximation of each module of diffusers, by decompositions of whole updates."""
    found = []
    for update in own:
        for name, up in update.parts:
            whole = update.alpha / len(update.down) * (up.double() @ update.down.double())
            left, values, right = torch.linalg.svd(whole, full_matrices=False)
            up = (left[:, :rank] * values[:rank]).float()  # noqa: PLW2901
            down = right[:rank].float()
            found.append(
                conventions.Update(
                    update.component, name, (name,), (len(up),), down, up, float(rank)
                )
            )
    return found


@pytest.mark.parametrize("family", CASES)
def test_diffusers_draws_a_resized_file(
    scenes: Callable[[str], Scene],
    tmp_path: Path,
    family: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    scene = scenes(family)
    path, own = written(scene, family, tmp_path)
    convert(path, to="diffusers", out=tmp_path / "d.safetensors", family=family)
    resize_to_rank(tmp_path / "d.safetensors", tmp_path / "r.safetensors", rank=1)
    require_pictures(scene, tmp_path / "r.safetensors", [truncated(own, 1)], caplog)


@pytest.mark.parametrize("family", CASES)
def test_diffusers_and_peft_draw_a_merge_of_two_namings(
    scenes: Callable[[str], Scene],
    tmp_path: Path,
    family: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    scene = scenes(family)
    path, own = written(scene, family, tmp_path)
    assert FAMILIES[family].startswith("kohya")
    more = conventions.updates_of(scene.plain, family, seed=8)
    other, _ = conventions.written(tmp_path / "o.safetensors", "diffusers", scene.plain, more)
    strengths = (0.8, -0.5)
    total = [
        [replace(update, alpha=strength * update.alpha) for update in one]
        for strength, one in zip(strengths, (own, more), strict=True)
    ]
    settings = MergeSettings(to="diffusers", family=family)
    out = merge([path, other], tmp_path / "m.safetensors", strengths=strengths, settings=settings)
    require_pictures(scene, out.out.path, total, caplog)

    settings = MergeSettings(family=family)
    out = merge([path, other], tmp_path / "m.safetensors", strengths=strengths, settings=settings)
    folder = tmp_path / "peft"
    folder.mkdir()
    convert(out.out.path, to="peft", out=folder / "adapter_model.safetensors", family=family)
    with patched(scene.plain, total):
        wanted = scene.direct()
    model = getattr(scene.plain, own[0].component)
    try:
        with quiet():
            wrapped = PeftModel.from_pretrained(model, folder)
        keys = {key.replace(".default", "") for key in wrapped.state_dict() if "lora_" in key}
        assert keys == set(load_peft_weights(str(folder), device="cpu"))
        assert np.abs(scene.direct() - wanted).max() <= 1
    finally:
        wrapped.unload()


class _Layers(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(20, 24)
        self.conv = torch.nn.Conv2d(8, 12, 3)

    def forward(self, value: Any) -> Any:
        raise NotImplementedError


LAYERS: dict[str, Any] = {"target_modules": ["linear", "conv"], "r": 3}
CONFIGS = {
    "dora": LoraConfig(**LAYERS, lora_alpha=2, use_dora=True, init_lora_weights=False),
    "loha": LoHaConfig(**LAYERS, alpha=2, init_weights=False, use_effective_conv2d=True),
    "loha-flat": LoHaConfig(**LAYERS, alpha=2, init_weights=False),
    "lokr": LoKrConfig(**LAYERS | {"r": 2}, alpha=3, init_weights=False, decompose_factor=2),
}


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_updates_of_other_algorithms_are_those_of_peft(tmp_path: Path, config: PeftConfig) -> None:
    torch.manual_seed(0)
    model = _Layers()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    save_file(before, tmp_path / "base.safetensors")
    wrapped = get_peft_model(model, config)
    with torch.no_grad():
        for name, value in wrapped.named_parameters():
            if "magnitude" in name:
                value.mul_(torch.rand_like(value) + 0.5)
    wrapped.save_pretrained(str(tmp_path))
    merged = wrapped.merge_and_unload().state_dict()
    settings = MergeSettings(max_rank=72, base=tmp_path / "base.safetensors")
    out = tmp_path / "out"
    out.mkdir()
    path = tmp_path / "adapter_model.safetensors"
    merge([path], out / "out.safetensors", strengths=(1,), settings=settings)
    found = updates(out / "out.safetensors")
    for name in ("linear", "conv"):
        wanted = (merged[f"{name}.weight"] - before[f"{name}.weight"]).flatten(1).numpy()
        assert distance(found[f"base_model.model.{name}"], wanted) <= 1e-4  # of rounded weights


def test_a_lokr_whose_scale_is_unknown_is_refused(tmp_path: Path) -> None:
    config = LoKrConfig(**LAYERS, alpha=2, init_weights=False, decompose_factor=2)
    get_peft_model(_Layers(), config).save_pretrained(str(tmp_path))
    with pytest.raises(AlgebraError, match="depends on a rank") as caught:
        merge(
            [tmp_path / "adapter_model.safetensors"],
            tmp_path / "out.safetensors",
            strengths=(1,),
            settings=MergeSettings(max_rank=4),
        )
    assert caught.value.code == "no_factors"
