"""Files that are no adapters, as diffusers builds and saves them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import diffusers
import pytest
import torch

from lorary.anatomy import analyse
from lorary.anatomy.base_models.checkpoint_identity import checkpoint_families
from tests.builders.architectures import MODELS
from tests.builders.modules import Shapes, header

if TYPE_CHECKING:
    from lorary.safetensors import Header

pytestmark = pytest.mark.slow

_FLUX = {"num_layers": 5, "num_single_layers": 10, "guidance_embeds": True}
_SD3 = {"num_layers": 12, "num_attention_heads": 24, "caption_projection_dim": 1536}
_SD35_LARGE = {"num_layers": 19, "num_attention_heads": 38, "caption_projection_dim": 2432}
_HUNYUAN_DIT = {
    "num_attention_heads": 16,
    "attention_head_dim": 88,
    "in_channels": 4,
    "patch_size": 2,
    "hidden_size": 1408,
    "mlp_ratio": 4.3637,
    "transformer_num_layers": 40,
    "pooled_projection_dim": 1024,
    "cross_attention_dim": 1024,
    "cross_attention_dim_t5": 2048,
}
# Whole motion modules are no checkpoints; they are among OTHERS.
MOTION = {"animatediff", "animatediff_sdxl"}
_XL_MOTION = {"block_out_channels": (320, 640, 1280), "use_motion_mid_block": False}

OTHERS: list[tuple[str, str, dict[str, Any]]] = [
    ("controlnet", "FluxControlNetModel", _FLUX),
    ("controlnet", "FluxControlNetModel", _FLUX | {"num_mode": 10}),
    ("controlnet", "FluxControlNetModel", {"num_layers": 4, "num_single_layers": 0}),
    ("controlnet", "SD3ControlNetModel", _SD3),
    ("controlnet", "SD3ControlNetModel", _SD3 | {"extra_conditioning_channels": 1}),
    ("controlnet", "SD3ControlNetModel", _SD3 | {"dual_attention_layers": tuple(range(12))}),
    ("controlnet", "SD3ControlNetModel", _SD35_LARGE),
    ("controlnet", "HunyuanDiT2DControlNetModel", _HUNYUAN_DIT),
    ("controlnet", "QwenImageControlNetModel", {"num_layers": 5}),
    ("controlnet", "SanaControlNetModel", {"num_layers": 7}),
    ("controlnet", "SparseControlNetModel", {}),
    (
        "controlnet",
        "ZImageControlNetModel",
        {"control_layers_places": [0, 5, 10, 15, 20, 25], "control_in_dim": 16},
    ),
    ("motion_module", "MotionAdapter", {}),
    ("motion_module", "MotionAdapter", {"use_motion_mid_block": False}),
    ("motion_module", "MotionAdapter", _XL_MOTION),
    ("other", "T2IAdapter", {"adapter_type": "full_adapter"}),
    ("other", "T2IAdapter", {"adapter_type": "light_adapter", "channels": [320, 640, 1280]}),
    ("other", "T2IAdapter", {"adapter_type": "full_adapter_xl", "downscale_factor": 16}),
]


def shapes_of(name: str, config: dict[str, Any]) -> Shapes:
    """Names and shapes of a model's weights, without the weights."""
    with torch.device("meta"):
        model = getattr(diffusers, name)(**config)
    return weights_of(model)


def weights_of(model: torch.nn.Module) -> Shapes:
    return {path: tuple(tensor.shape) for path, tensor in model.state_dict().items()}


def kind_of(found: Header) -> str:
    anatomy = analyse(found, name="x.safetensors").anatomy
    assert anatomy is not None
    return anatomy.kind


@pytest.mark.parametrize("family", sorted(MODELS.keys() - MOTION))
def test_a_whole_model_is_a_checkpoint_of_its_family(family: str) -> None:
    found = header(shapes_of(*MODELS[family]))
    lacking = checkpoint_families(found.tensors)
    assert kind_of(found) == "checkpoint"
    assert [name for name in lacking if lacking[name] == min(lacking.values())] == [family]


@pytest.mark.parametrize("family", ["sd1", "sdxl", "kolors"])
def test_a_controlnet_of_a_unet_is_one(family: str) -> None:
    name, config = MODELS[family]
    with torch.device("meta"):
        unet = getattr(diffusers, name)(**config)
        model = diffusers.ControlNetModel.from_unet(unet, load_weights_from_unet=False)
    assert kind_of(header(weights_of(model))) == "controlnet"


@pytest.mark.parametrize(("kind", "name", "config"), OTHERS)
def test_the_kind_of_what_diffusers_builds(kind: str, name: str, config: dict[str, Any]) -> None:
    assert kind_of(header(shapes_of(name, config))) == kind
