"""Converted files in diffusers' and PEFT's own loaders: every key is read, the pictures agree."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from peft import PeftModel
from peft.utils import load_peft_weights
from safetensors import safe_open
from safetensors.torch import save_file

from lorary.algebra.conversion.converting import convert
from previews.render.bases.libraries import quiet
from tests.previews.families import conventions
from tests.previews.families.scenes import Scene, case

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:In CPU autocast"),
]

FAMILIES = {
    "sd1": "kohya", "sd2": "kohya", "sdxl": "kohya-original", "kolors": "kohya-original",
    "sd3": "kohya-original", "flux1": "kohya-original", "chroma": "kohya-original",
    "flux2_klein_4b": "kohya-original", "flux2_dev": "original", "qwen_image": "kohya",
    "z_image": "kohya-original", "lumina2": "kohya-original", "wan_1_3b": "kohya-original",
    "hunyuan_video": "kohya-original", "auraflow": "kohya-original", "sana": "original",
    "ltx_video": "original", "mochi": "kohya-original",
}  # fmt: skip
"""Family to the convention of the file that is converted."""

NAMED = {"sd3": "sd35_medium"}
"""Family of a tiny base to the one that has all of its modules."""

FEW = {"sdxl", "flux1", "lumina2", "wan_1_3b", "z_image"}
CASES = [
    case(family) if family in FEW else pytest.param(family, marks=pytest.mark.long)
    for family in FAMILIES
]


def written(scene: Scene, family: str, folder: Path) -> tuple[Path, Any]:
    """Write an adapter of several ranks and alphas, in the naming of its trainers."""
    updates = conventions.updates_of(scene.plain, family)
    path, _ = conventions.written(
        folder / "adapter.safetensors", FAMILIES[family], scene.plain, updates
    )
    return path, updates


def loaded(pipeline: Any, component: str) -> set[str]:
    """Return the tensors of an adapter that diffusers has in a component."""
    names = getattr(pipeline, component).state_dict()
    return {f"{component}.{name.replace('.default_0', '')}" for name in names if ".lora_" in name}


def stored(path: Path) -> set[str]:
    with safe_open(path, "np") as file:
        return set(file.keys())


@pytest.mark.parametrize("family", CASES)
def test_diffusers_draws_a_converted_file_as_the_weights_say(
    scenes: Callable[[str], Scene],
    tmp_path: Path,
    family: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    scene = scenes(family)
    path, updates = written(scene, family, tmp_path)
    family = NAMED.get(family, family)
    done = convert(path, to="diffusers", out=tmp_path / "d.safetensors", family=family)
    assert done.certificate.max_relative_error <= 1e-6
    again = convert(done.out.path, to="comfyui", out=tmp_path / "c.safetensors", family=family)
    back = convert(again.out.path, to="diffusers", out=tmp_path / "b.safetensors", family=family)
    with conventions.patched(scene.plain, updates):
        expected = scene.direct()
    for file in (done.out.path, back.out.path):
        try:
            with quiet():
                scene.plain.load_lora_weights(str(file))
            assert loaded(scene.plain, updates[0].component) == stored(file)
            found = scene.direct()
        finally:
            scene.plain.unload_lora_weights()
        assert np.abs(found - expected).max() <= 1
        assert not [one for one in caplog.messages if "led to" in one]
    assert np.abs(expected - scene.base).max() > 4


@pytest.mark.parametrize("family", CASES)
def test_peft_reads_every_key_of_a_converted_file(
    scenes: Callable[[str], Scene], tmp_path: Path, family: str
) -> None:
    scene = scenes(family)
    path, updates = written(scene, family, tmp_path)
    folder = tmp_path / "peft"
    folder.mkdir()
    family = NAMED.get(family, family)
    done = convert(path, to="peft", out=folder / "adapter_model.safetensors", family=family)
    assert done.config == folder / "adapter_config.json"
    component = updates[0].component
    with conventions.patched(scene.plain, updates):
        expected = scene.direct()
    model = getattr(scene.plain, component)
    try:
        with quiet():
            wrapped = PeftModel.from_pretrained(model, folder)
        keys = {key.replace(".default", "") for key in wrapped.state_dict() if "lora_" in key}
        assert keys == set(load_peft_weights(str(folder), device="cpu"))
        found = scene.direct()
        assert np.abs(found - expected).max() <= 1
    finally:
        wrapped.unload()


def test_an_alpha_of_a_module_is_a_pattern(scenes: Callable[[str], Scene], tmp_path: Path) -> None:
    path, updates = written(scenes("flux1"), "flux1", tmp_path)
    done = convert(path, to="diffusers", out=tmp_path / "d.safetensors", family="flux1")
    with safe_open(done.out.path, "np") as file:
        config = json.loads(file.metadata()["lora_adapter_metadata"])
    assert {update.alpha for update in updates} == {4.0, 1.0}
    assert set(config["transformer.alpha_pattern"].values()) <= {4, 1}
    assert all(name.startswith("^") for name in config["transformer.rank_pattern"])


def test_diffusers_draws_converted_text_encoders_as_the_weights_say(
    scenes: Callable[[str], Scene], tmp_path: Path
) -> None:
    scene = scenes("sdxl")
    tensors, updates = {}, []
    for number, component in enumerate(("text_encoder", "text_encoder_2"), 1):
        model = getattr(scene.plain, component)
        for index, (name, module) in enumerate(model.named_modules()):
            if not name.endswith(("q_proj", "out_proj", "fc1")):
                continue
            out, width = module.weight.shape
            random = torch.Generator().manual_seed(index)
            down = torch.randn(2 + index % 2, width, generator=random)
            up = torch.randn(out, len(down), generator=random)
            bare = name.removeprefix("text_model.").replace(".", "_")
            key = f"lora_te{number}_text_model_{bare}"
            tensors[f"{key}.lora_down.weight"], tensors[f"{key}.lora_up.weight"] = down, up
            tensors[f"{key}.alpha"] = torch.tensor(1.0 + index % 3)
            alpha = 1.0 + index % 3
            updates.append(conventions.Update(component, name, (name,), (out,), down, up, alpha))
    path = tmp_path / "k.safetensors"
    save_file(tensors, path)
    done = convert(path, to="diffusers", out=tmp_path / "d.safetensors", family="sdxl")
    with conventions.patched(scene.plain, updates):
        expected = scene.direct()
    try:
        with quiet():
            scene.plain.load_lora_weights(str(done.out.path))
        found = scene.direct()
    finally:
        scene.plain.unload_lora_weights()
    assert np.abs(found - expected).max() <= 1
    assert np.abs(expected - scene.base).max() > 4


def test_a_smaller_model_of_the_same_design_is_recognised_by_its_names(
    scenes: Callable[[str], Scene], tmp_path: Path
) -> None:
    path, _ = written(scenes("flux1"), "flux1", tmp_path)
    done = convert(path, to="diffusers", out=tmp_path / "d.safetensors")
    assert done.certificate.count("split") == 2 * 3 + 4
