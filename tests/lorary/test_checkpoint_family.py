"""Families of base models that a checkpoint can belong to, and what inspecting it says."""

from __future__ import annotations

import pytest

from lorary.anatomy import analyse
from lorary.anatomy.base_models.checkpoint_identity import checkpoint_families
from lorary.anatomy.families import families
from lorary.safetensors import TensorInfo
from tests.builders import foreign
from tests.builders.modules import Shapes, header


def fitting(shapes: Shapes) -> dict[str, int]:
    return checkpoint_families(header(shapes).tensors)


def nearest(shapes: Shapes) -> set[str]:
    found = fitting(shapes)
    return {name for name, lacking in found.items() if lacking == min(found.values())}


@pytest.mark.parametrize(
    ("family", "naming"),
    [
        (name, naming)
        for name, family in families().items()
        for naming in family.namings
        if not name.startswith("animatediff")  # a motion module is no checkpoint
    ],
)
def test_a_whole_model_lacks_nothing_of_its_family(family: str, naming: str) -> None:
    shapes = foreign.checkpoint(family, naming, "model.diffusion_model.")
    found = fitting(shapes)
    assert found[family] == min(found.values()) == 0
    assert nearest(shapes) == {family}


def test_other_parts_and_other_channels_are_not_compared() -> None:
    others: Shapes = {
        "cond_stage_model.transformer.text_model.encoder.layers.0.mlp.fc1.weight": (3072, 768),
        "first_stage_model.encoder.conv_in.weight": (128, 3, 3, 3),
        "model.diffusion_model.input_blocks.0.0.weight": (320, 9, 3, 3),
        "down_blocks.0.motion_modules.0.proj_in.weight": (320, 320),
    }
    shapes = foreign.checkpoint("sd1", "sgm", "model.diffusion_model.") | others
    assert list(fitting(shapes)) == ["sd1"]


def test_another_layer_of_the_same_name_makes_another_model() -> None:
    shapes = foreign.checkpoint("sdxl", "sgm")
    assert fitting(shapes | {"label_emb.0.0.weight": (1280, 5632)}) == {}
    assert fitting(shapes | {"strange.weight": (9, 8)}) == {}


def test_packed_weights_have_no_shapes() -> None:
    packed = {
        name: TensorInfo("U8", (tensor.size_bytes, 1), tensor.begin, tensor.end)
        for name, tensor in header(foreign.checkpoint("flux1", "diffusers")).tensors.items()
    }
    assert checkpoint_families(packed)["flux1"] == 0


@pytest.mark.parametrize(
    ("shapes", "kind", "title"),
    [
        (foreign.checkpoint("sdxl", "sgm"), "checkpoint", "a whole model (checkpoint)"),
        (foreign.controlnet("sd1"), "controlnet", "a ControlNet"),
        (foreign.control_lora("sd1"), "controlnet", "a ControlNet"),
        (foreign.lllite("sdxl"), "lllite", "a ControlNet-LLLite"),
        (foreign.motion(320, 640), "motion_module", "a motion module"),
        (foreign.ip_adapter("sd1"), "ip_adapter", "an IP-Adapter"),
    ],
)
def test_a_file_that_is_no_adapter_is_refused_by_its_kind(
    shapes: Shapes, kind: str, title: str
) -> None:
    found = analyse(
        header(shapes, {"modelspec.architecture": "stable-diffusion-v1"}), name="x.safetensors"
    )
    assert found.anatomy is not None
    assert (found.anatomy.kind, found.anatomy.algorithm) == (kind, None)
    assert (found.anatomy.base.candidates, found.anatomy.base.confidence) == ((), "claimed")
    assert [one.code for one in found.findings] == ["not_an_adapter"]
    assert found.findings[0].message == f"“x.safetensors” is {title}, not a LoRA adapter."
