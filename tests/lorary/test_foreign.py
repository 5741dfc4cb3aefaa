"""What the tensors of a file that is no adapter prove about its base model."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from lorary.anatomy import analyse
from lorary.anatomy.families import families
from lorary.safetensors import TensorInfo
from tests.builders import foreign
from tests.builders.modules import Shapes, header

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lorary.anatomy import Anatomy


def anatomy_of(
    shapes: Mapping[str, tuple[int, ...]],
    metadata: Mapping[str, str] | None = None,
    name: str = "x.safetensors",
) -> Anatomy:
    found = analyse(header(shapes, metadata), name=name).anatomy
    assert found is not None
    return found


def rules(anatomy: Anatomy) -> list[str]:
    return [reason.rule for reason in anatomy.base.evidence]


def truth_of(family: str) -> list[str]:
    """Families whose checkpoints look alike: Anima's adapter may lie in another file."""
    return ["anima", "cosmos_predict2_2b"] if family == "cosmos_predict2_2b" else [family]


def namings() -> list[tuple[str, str]]:
    return [(name, naming) for name, family in families().items() for naming in family.namings]


@pytest.mark.parametrize("prefix", ["", "model.diffusion_model.", "net."])
@pytest.mark.parametrize(("family", "naming"), namings())
def test_a_whole_model_is_its_family(family: str, naming: str, prefix: str) -> None:
    found = anatomy_of(foreign.checkpoint(family, naming, prefix))
    assert found.kind == "checkpoint"
    is_alike = family == "cosmos_predict2_2b" and naming == "native"
    assert list(found.base.candidates) == (truth_of(family) if is_alike else [family])
    assert found.base.family == (None if is_alike else family)
    assert found.base.confidence in {"proven", "narrowed"}
    assert found.layers.modules == 0
    assert found.algorithm is None


def test_text_encoders_and_a_vae_in_a_checkpoint_are_not_counted() -> None:
    others: Shapes = {
        "cond_stage_model.transformer.text_model.encoder.layers.0.mlp.fc1.weight": (3072, 768),
        "first_stage_model.encoder.conv_in.weight": (128, 3, 3, 3),
    }
    found = anatomy_of(others | foreign.checkpoint("sd1", "sgm", "model.diffusion_model."))
    assert (found.base.family, found.base.confidence) == ("sd1", "proven")


@pytest.mark.parametrize(
    ("family", "naming", "edge", "channels"),
    [
        ("sd1", "sgm", "input_blocks.0.0.weight", 9),
        ("sd2", "diffusers", "conv_in.weight", 5),
        ("sdxl", "diffusers", "conv_in.weight", 9),
        ("kolors", "diffusers", "conv_in.weight", 9),
    ],
)
def test_other_channels_stay_within_the_family(
    family: str, naming: str, edge: str, channels: int
) -> None:
    shapes = foreign.checkpoint(family, naming)
    found = anatomy_of(shapes | {edge: (320, channels, 3, 3)})
    assert found.base.family == family
    assert "channels" in rules(found)


def test_an_input_that_is_as_wide_as_a_relatives_does_not_mislead() -> None:
    shapes = foreign.checkpoint("wan_14b", "diffusers")
    found = anatomy_of(shapes | {"patch_embedding.weight": (5120, 36, 1, 2, 2)})
    assert found.base.family == "wan_14b"
    assert "cover" in rules(found)


def test_another_layer_of_the_same_name_makes_another_model() -> None:
    shapes = foreign.checkpoint("sdxl", "sgm") | {"label_emb.0.0.weight": (1280, 5632)}
    found = anatomy_of(shapes)
    assert (found.base.family, found.base.confidence) == (None, "unknown")
    assert "other" in rules(found)


def test_layers_that_no_family_has_make_another_model() -> None:
    found = anatomy_of(foreign.checkpoint("sd2", "diffusers") | {"class_embedding.weight": (9, 8)})
    assert (found.base.family, found.base.confidence) == (None, "unknown")


def test_a_smaller_model_of_the_same_design_is_not_the_family() -> None:
    shapes = foreign.checkpoint("flux1", "diffusers")
    left = {
        name: shape
        for name, shape in shapes.items()
        if not name.startswith("transformer_blocks.") or int(name.split(".")[1]) < 8
    }
    found = anatomy_of(left)
    assert (found.base.family, found.base.confidence) == (None, "unknown")
    assert list(found.base.candidates) == ["flux1"]
    assert "smaller" in rules(found)


def test_schnell_lacks_the_guidance_and_is_flux1() -> None:
    shapes = foreign.checkpoint("flux1", "diffusers")
    left = {name: shape for name, shape in shapes.items() if "guidance" not in name}
    assert len(left) < len(shapes)
    assert anatomy_of(left).base.family == "flux1"


def test_a_numbered_piece_of_a_model_may_lack_layers() -> None:
    shapes = dict(list(foreign.checkpoint("flux1", "diffusers").items())[:200])
    piece = "diffusion_pytorch_model-00001-of-00003.safetensors"
    assert anatomy_of(shapes, name=piece).base.family == "flux1"
    assert anatomy_of(shapes).base.family is None


def test_models_that_are_seldom_adapted_are_models_all_the_same() -> None:
    shapes = foreign.checkpoint("sana_600m", "diffusers")
    found = anatomy_of({name: shape for name, shape in shapes.items() if ".attn1." in name}).base
    assert {"pixart", "sana_600m"} <= set(found.candidates)
    assert found.family is None


def test_several_families_that_none_could_be_are_not_believed_together() -> None:
    shapes = foreign.checkpoint("hunyuan_video", "diffusers")
    found = anatomy_of(shapes | {"transformer_blocks.0.extra.weight": (8, 8)})
    assert (found.base.family, found.base.confidence) == (None, "unknown")


def test_packed_weights_have_no_shapes() -> None:
    plain = header(foreign.checkpoint("flux1", "diffusers"))
    packed = {
        name: tensor
        if len(tensor.shape) != 2
        else TensorInfo("U8", (tensor.elements * 2, 1), tensor.begin, tensor.end)
        for name, tensor in plain.tensors.items()
    }
    found = analyse(replace(plain, tensors=packed)).anatomy
    assert found is not None
    assert found.base.family == "flux1"


def test_a_motion_module_in_place_and_a_router_are_not_layers() -> None:
    shapes = foreign.checkpoint("sd1", "diffusers") | foreign.motion(320, 640)
    assert anatomy_of(shapes).base.family == "sd1"
    router: Shapes = {"double_stream_blocks.0.block.ff_i.gate.weight": (4, 2560)}
    assert anatomy_of(foreign.checkpoint("hidream_i1", "diffusers") | router).base.family == (
        "hidream_i1"
    )


@pytest.mark.parametrize("family", ["sd1", "sd2", "sdxl"])
def test_half_a_unet_with_ways_for_a_hint_is_a_controlnet(family: str) -> None:
    for shapes in (foreign.controlnet(family), foreign.control_lora(family)):
        found = anatomy_of(shapes)
        assert (found.kind, found.base.family) == ("controlnet", family)


def test_a_controlnet_of_few_layers_fits_their_relatives() -> None:
    found = anatomy_of(
        {
            "lora_controlnet": (0,),
            "input_blocks.1.0.in_layers.2.down": (128, 320, 3, 3),
            "input_blocks.1.0.in_layers.2.up": (320, 128, 1, 1),
            "input_blocks.2.0.in_layers.2.down": (128, 320, 3, 3),
        }
    )
    assert found.base.family is None
    assert {"sd1", "sd2", "sdxl"} <= set(found.base.candidates)


def test_copied_blocks_count_under_the_names_of_the_model() -> None:
    block = "transformer_blocks.0"
    shapes = {
        name.replace(block, "controlnet_blocks.0.transformer_block"): shape
        for name, shape in foreign.checkpoint("pixart", "diffusers").items()
        if name.startswith(f"{block}.")
    }
    found = anatomy_of(shapes | {"controlnet_blocks.0.after_proj.weight": (1152, 1152)})
    assert (found.kind, found.base.family) == ("controlnet", "pixart")


def test_lllite_changes_inputs_of_known_layers() -> None:
    found = anatomy_of(foreign.lllite("sdxl"))
    assert (found.kind, found.base.family) == ("lllite", "sdxl")


def test_what_fastens_to_a_model_is_narrowed_or_proven_by_widths() -> None:
    motion = anatomy_of(foreign.motion(320, 640, 1280, 1280)).base
    assert (motion.family, motion.confidence, motion.evidence[0].rule) == (
        "sd1",
        "narrowed",
        "widths",
    )
    image = anatomy_of(foreign.ip_adapter("sd2")).base
    assert (image.family, image.confidence) == ("sd2", "proven")
    several = anatomy_of(foreign.ip_adapter("sdxl"))
    assert (several.base.family, several.base.confidence) == (None, "narrowed")
    said = anatomy_of(foreign.ip_adapter("sdxl"), {"modelspec.architecture": "kolors"})
    assert (said.base.family, said.base.confidence) == ("kolors", "narrowed")


def test_twins_are_told_by_the_input_alone() -> None:
    shapes = foreign.checkpoint("cosmos_predict2_2b", "diffusers")
    assert anatomy_of(shapes).base.family == "cosmos_predict2_2b"
    image = shapes | {"patch_embed.proj.weight": (2048, 68)}
    assert list(anatomy_of(image).base.candidates) == ["anima", "cosmos_predict2_2b"]
    said = anatomy_of(image, {"modelspec.architecture": "anima"})
    assert (said.base.family, said.base.confidence) == ("anima", "narrowed")


@pytest.mark.parametrize(
    "shapes",
    [
        {"text_model.encoder.layers.0.mlp.fc1.weight": (3072, 768)},
        {"first_stage_model.encoder.conv_in.weight": (128, 3, 3, 3)},
        {"proj.weight": (5, 768)},
    ],
)
def test_nothing_is_said_of_parts_that_models_share(shapes: Shapes) -> None:
    found = anatomy_of(shapes)
    assert (found.base.candidates, found.base.confidence) == ((), "unknown")
    assert found.base.evidence == ()


def test_a_claim_is_set_beside_the_tensors() -> None:
    shapes = foreign.checkpoint("sdxl", "sgm", "model.diffusion_model.")
    agreeing = {"modelspec.architecture": "stable-diffusion-xl-v1-base"}
    lying = {"modelspec.architecture": "stable-diffusion-v1"}
    assert anatomy_of(shapes, agreeing).base.agreement == "agree"
    found = analyse(header(shapes, lying), name="x.safetensors")
    assert found.anatomy is not None
    assert found.anatomy.base.agreement == "conflict"
    assert found.anatomy.base.family == "sdxl"
    assert [one.code for one in found.findings] == ["not_an_adapter", "metadata_conflict"]
    assert found.findings[0].message == (
        "“x.safetensors” is a whole model (checkpoint) of Stable Diffusion XL, not a LoRA adapter."
    )


def test_a_claim_alone_stays_a_claim() -> None:
    shapes: Shapes = {"text_model.encoder.layers.0.mlp.fc1.weight": (3072, 768)}
    found = anatomy_of(shapes, {"modelspec.architecture": "stable-diffusion-v1"})
    assert (found.base.family, found.base.confidence) == (None, "claimed")
    assert found.base.agreement == "agree"


def test_findings_about_adapters_stay_away() -> None:
    left = dict(list(foreign.checkpoint("flux1", "native").items())[:100])
    found = analyse(header(left | {"strange.weight": (8, 8)}), name="x.safetensors")
    assert [one.code for one in found.findings] == ["not_an_adapter"]


def test_reasons_hold_no_invisible_characters() -> None:
    shapes = foreign.checkpoint("sd1", "diffusers") | {"down_blocks.0.\u202ea\u200b.weight": (3, 3)}
    base = anatomy_of(shapes).base
    said = [text for reason in base.evidence for text in (reason.text, *reason.keys)]
    assert "other" in [reason.rule for reason in base.evidence]
    assert all(map(str.isprintable, said))
