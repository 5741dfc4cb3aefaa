"""Base models of files that are no adapters, as diffusers builds and saves them."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import diffusers
import pytest
import torch

from lorary.anatomy import analyse
from tests.builders.architectures import MODELS
from tests.builders.modules import Shapes, header

if TYPE_CHECKING:
    from lorary.anatomy import Anatomy

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
_XL_MOTION = {"block_out_channels": (320, 640, 1280), "use_motion_mid_block": False}

CONTROLNETS: list[tuple[str, str, dict[str, Any]]] = [
    ("flux1", "FluxControlNetModel", _FLUX),
    ("flux1", "FluxControlNetModel", _FLUX | {"num_mode": 10}),
    ("flux1", "FluxControlNetModel", {"num_layers": 4, "num_single_layers": 0}),
    ("sd3", "SD3ControlNetModel", _SD3),
    ("sd3", "SD3ControlNetModel", _SD3 | {"extra_conditioning_channels": 1}),
    ("sd35_medium", "SD3ControlNetModel", _SD3 | {"dual_attention_layers": tuple(range(12))}),
    ("sd35_large", "SD3ControlNetModel", _SD35_LARGE),
    ("hunyuan_dit", "HunyuanDiT2DControlNetModel", _HUNYUAN_DIT),
    ("qwen_image", "QwenImageControlNetModel", {"num_layers": 5}),
    ("sana", "SanaControlNetModel", {"num_layers": 7}),
    ("sd1", "SparseControlNetModel", {}),
    (
        "z_image",
        "ZImageControlNetModel",
        {"control_layers_places": [0, 5, 10, 15, 20, 25], "control_in_dim": 16},
    ),
]

SMALLER: list[tuple[str, dict[str, Any]]] = [
    ("FluxTransformer2DModel", {"num_layers": 8, "guidance_embeds": True}),
    ("SD3Transformer2DModel", _SD3),
    ("UNet2DConditionModel", MODELS["sdxl"][1] | {"transformer_layers_per_block": (1, 2, 6)}),
    (
        "UNet2DConditionModel",
        MODELS["sd2"][1]
        | {"class_embed_type": "projection", "projection_class_embeddings_input_dim": 2048},
    ),
]
"""Models that have many layers of a family and are another all the same."""


def shapes_of(name: str, config: dict[str, Any]) -> Shapes:
    """Names and shapes of a model's weights, without the weights."""
    with torch.device("meta"):
        model = getattr(diffusers, name)(**config)
    return weights_of(model)


def weights_of(model: torch.nn.Module) -> Shapes:
    return {path: tuple(tensor.shape) for path, tensor in model.state_dict().items()}


def anatomy_of(shapes: Shapes) -> Anatomy:
    found = analyse(header(shapes), name="x.safetensors").anatomy
    assert found is not None
    return found


@pytest.mark.parametrize("prefix", ["", "model.diffusion_model."])
@pytest.mark.parametrize("family", MODELS)
def test_a_whole_model_is_its_family(family: str, prefix: str) -> None:
    shapes = shapes_of(*MODELS[family])
    found = anatomy_of({f"{prefix}{name}": shape for name, shape in shapes.items()})
    assert found.kind == "checkpoint"
    assert (found.base.family, found.base.candidates) == (family, (family,))


@pytest.mark.parametrize(
    ("family", "channels"), [("sd1", 9), ("sd1", 8), ("sd2", 5), ("sdxl", 9), ("kolors", 9)]
)
def test_a_unet_of_other_channels_stays_within_its_family(family: str, channels: int) -> None:
    name, config = MODELS[family]
    assert anatomy_of(shapes_of(name, config | {"in_channels": channels})).base.family == family


@pytest.mark.parametrize("channels", [128, 384])
def test_flux_with_a_picture_at_its_input_is_flux(channels: int) -> None:
    config = {"guidance_embeds": True, "in_channels": channels, "out_channels": 64}
    assert anatomy_of(shapes_of("FluxTransformer2DModel", config)).base.family == "flux1"


def test_wan_with_a_picture_at_its_input_is_not_the_older_one() -> None:
    shapes = shapes_of("WanTransformer3DModel", {"in_channels": 36})
    assert anatomy_of(shapes).base.family == "wan_14b"


@pytest.mark.parametrize(("name", "config"), SMALLER)
def test_a_relative_of_a_family_is_not_called_it(name: str, config: dict[str, Any]) -> None:
    found = anatomy_of(shapes_of(name, config)).base
    assert (found.family, found.confidence) == (None, "unknown")


@pytest.mark.parametrize(
    ("family", "candidates"),
    [
        ("sd1", ("sd1",)),
        ("sd2", ("sd2",)),
        ("sdxl", ("sdxl",)),
        ("sdxl_refiner", ("sdxl_refiner",)),
        ("kolors", ("kolors",)),
        ("ssd_1b", ("sdxl", "ssd_1b")),
        ("segmind_vega", ("sdxl", "ssd_1b", "segmind_vega")),
    ],
)
def test_a_controlnet_of_a_unet_fits_what_it_was_made_from(
    family: str, candidates: tuple[str, ...]
) -> None:
    name, config = MODELS[family]
    with torch.device("meta"):
        unet = getattr(diffusers, name)(**config)
        model = diffusers.ControlNetModel.from_unet(unet, load_weights_from_unet=False)
    found = anatomy_of(weights_of(model))
    assert found.kind == "controlnet"
    assert found.base.candidates == candidates
    assert found.base.family == (family if len(candidates) == 1 else None)


def test_a_union_of_controlnets_is_one() -> None:
    known = inspect.signature(diffusers.ControlNetUnionModel.__init__).parameters
    config = {key: value for key, value in MODELS["sdxl"][1].items() if key in known}
    assert anatomy_of(shapes_of("ControlNetUnionModel", config)).base.family == "sdxl"


@pytest.mark.parametrize(("family", "name", "config"), CONTROLNETS)
def test_a_controlnet_of_a_transformer_is_for_its_family(
    family: str, name: str, config: dict[str, Any]
) -> None:
    found = anatomy_of(shapes_of(name, config))
    assert (found.kind, found.base.family) == ("controlnet", family)


@pytest.mark.parametrize(
    ("family", "config"),
    [("sd1", {}), ("sd1", {"use_motion_mid_block": False}), ("sdxl", _XL_MOTION)],
)
def test_a_motion_adapter_is_for_its_levels(family: str, config: dict[str, Any]) -> None:
    found = anatomy_of(shapes_of("MotionAdapter", config))
    assert (found.kind, found.base.family) == ("motion_module", family)


@pytest.mark.parametrize(
    ("family", "config"),
    [
        ("sd1", {"adapter_type": "full_adapter"}),
        ("sd1", {"adapter_type": "full_adapter", "in_channels": 1}),
        ("sd1", {"adapter_type": "light_adapter", "channels": [320, 640, 1280]}),
        ("sdxl", {"adapter_type": "full_adapter_xl", "downscale_factor": 16}),
    ],
)
def test_a_t2i_adapter_is_for_its_folded_picture(family: str, config: dict[str, Any]) -> None:
    found = anatomy_of(shapes_of("T2IAdapter", config))
    assert (found.kind, found.base.family) == ("other", family)


def test_an_animated_unet_is_its_unet() -> None:
    with torch.device("meta"):
        unet = getattr(diffusers, MODELS["sd1"][0])(**MODELS["sd1"][1])
        model = diffusers.UNetMotionModel.from_unet2d(unet, load_weights=False)
    assert anatomy_of(weights_of(model)).base.family == "sd1"
