"""File conventions, over names made in code."""

from __future__ import annotations

from pathlib import Path

import pytest

from lorary.anatomy.keys.conventions import file_convention
from tests.builders.modules import DOWN_UP, LYCORIS, PEFT, Shapes, one, pairs, scanned

DOCS = (Path(__file__).resolve().parents[2] / "docs" / "anatomy.md").read_text("utf-8")
UNET = "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q"
DEEP = "mid_block.attentions.0.transformer_blocks.9.attn1.to_q"
SGM = "input_blocks.4.1.transformer_blocks.0.attn1.to_q"
DOUBLE = "double_blocks.0.img_attn.qkv"
FLUX = "transformer_blocks.0.attn.to_q"
CLIP = "text_model.encoder.layers.{}.mlp.fc1"
PROCESSOR = UNET.replace(".to_q", ".processor.to_q_lora")
LINEAR_LAYER = (".lora_linear_layer.down.weight", ".lora_linear_layer.up.weight")
NAMED = (".lora_A.default.weight", ".lora_B.default.weight")
LOKR = {".lokr_w1": (8, 8), ".lokr_w2": (40, 40), ".alpha": ()}


def flat(prefix: str, path: str) -> str:
    return prefix + path.replace(".", "_")


def clip(prefix: str, suffixes: tuple[str, str] = LYCORIS) -> Shapes:
    modules = [prefix + CLIP.format(layer) for layer in range(9)]
    names = modules if prefix.endswith(".") else [name.replace(".", "_") for name in modules]
    return pairs(names, suffixes, out=3072, fan_in=768)


@pytest.mark.parametrize(
    ("shapes", "convention"),
    [
        (pairs([flat("lora_unet_", UNET)], LYCORIS), "kohya"),
        (pairs([flat("lora_unet_", DOUBLE)], LYCORIS), "kohya"),
        (pairs([flat("lora_unet__", "blocks.0.self_attn.q")], LYCORIS), "kohya"),
        (pairs(["lora_unet_blocks_12.self_attn.k"], LYCORIS), "kohya"),
        (
            pairs([flat("Hunyuan_video_I2V_lora_", "double_blocks.0.img_attn_qkv")], LYCORIS),
            "kohya",
        ),
        (
            pairs([flat("lora_unet_", name) for name in ("conv_in", DEEP)], LYCORIS),
            "kohya_diffusers_blocks",
        ),
        (pairs([flat("lora_unet_", SGM)], LYCORIS), "kohya_sgm_blocks"),
        (pairs([flat("lora_unet_", "middle_block.0.op")], LYCORIS), "kohya_sgm_blocks"),
        (one(flat("oft_unet_", SGM), {".oft_blocks": (4, 160, 160)}), "kohya_sgm_blocks"),
        (pairs([flat("lora_unet_", DEEP)], LYCORIS), "kohya_diffusers_blocks"),
        (clip("lora_te_"), "kohya"),
        (clip("lora_te1_") | pairs([flat("lora_unet_", SGM)], LYCORIS), "kohya_sgm_blocks"),
        (clip("lora_te1_") | pairs([flat("lora_unet_", DEEP)], LYCORIS), "kohya_diffusers_blocks"),
        (
            clip("lora_te1_") | pairs([flat("lora_transformer_", FLUX)], LYCORIS),
            "onetrainer_legacy",
        ),
        (pairs([flat("lora_prior_unet_", UNET)], LYCORIS), "onetrainer_legacy"),
        (one(flat("lycoris_", FLUX), LOKR), "simpletuner_lycoris"),
        (pairs([f"unet.{UNET}"]), "diffusers_peft"),
        (pairs([f"transformer_2.{FLUX}"]), "diffusers_peft"),
        (pairs([f"transformer.{FLUX}"], NAMED), "diffusers_peft"),
        (one(f"transformer.{FLUX}", LOKR), "diffusers_peft"),
        (pairs([f"unet.{UNET}"], DOWN_UP), "diffusers_down_up"),
        (pairs([f"transformer.{FLUX}"], LYCORIS), "diffusers_down_up"),
        (clip("text_encoder.", LINEAR_LAYER), "diffusers_down_up"),
        (pairs([PROCESSOR], (".down.weight", ".up.weight")), "diffusers_attn_processor"),
        (pairs([f"unet.{PROCESSOR}"], (".down.weight", ".up.weight")), "diffusers_attn_processor"),
        (pairs([f"diffusion_model.{DOUBLE}"]), "comfyui_diffusion_model"),
        (pairs([f"diffusion_model.{DOUBLE}"], LYCORIS), "comfyui_diffusion_model"),
        (clip("text_encoders.clip_l.transformer.", PEFT), "comfyui_diffusion_model"),
        (clip("clip_l.") | pairs([f"transformer.{DOUBLE}"], LYCORIS), "omi"),
        (pairs([f"base_model.model.{FLUX}"]), "peft"),
        (pairs([f"base_model.model.transformer.{FLUX}"]), "peft"),
        (pairs([f"unet.base_model.model.{UNET}"]), "peft"),
        (clip("base_model.model.", PEFT), "peft"),
        ({"prompt_embeddings": (4, 768)}, "peft"),
        (one(FLUX, {".hra_u": (64, 8)}), "peft"),
        (pairs([FLUX]), "bare_diffusers"),
        (pairs(["blocks.0.attn1.to_q"]), "bare_diffusers"),
        (pairs([FLUX], LYCORIS), "bare_diffusers_down_up"),
        (pairs([UNET], DOWN_UP), "bare_diffusers_down_up"),
        (pairs([FLUX], NAMED), "bare_peft_default"),
        (pairs([DOUBLE]), "bare_native"),
        (pairs([DOUBLE], LYCORIS), "bare_native"),
        (pairs(["blocks.0.attn.qkv_x"], (".lora_A", ".lora_B")), "bare_native"),
        (one("stack.3.attention.query", LOKR), "bare_native"),
        (pairs(["double_blocks.0.processor.qkv_lora1"], (".down.weight", ".up.weight")), "xlabs"),
        (
            pairs(
                ["diffusion_model.single_blocks.0.processor.proj_lora"],
                (".down.weight", ".up.weight"),
            ),
            "xlabs",
        ),
    ],
)
def test_the_convention_of_an_adapter_is_named(shapes: Shapes, convention: str) -> None:
    assert file_convention(scanned(shapes), "adapter") == convention
    assert f"`{convention}`" in DOCS


@pytest.mark.parametrize(
    ("candidates", "convention"),
    [
        (("sd1",), "kohya"),
        (("sdxl",), "kohya_diffusers_blocks"),
        (("sd1", "sd2", "sdxl"), "kohya"),
        (("from_another_table",), "kohya"),
        ((), "kohya"),
    ],
)
def test_block_names_are_odd_only_where_trainers_write_others(
    candidates: tuple[str, ...], convention: str
) -> None:
    scan = scanned(pairs([flat("lora_unet_", UNET)], LYCORIS))
    assert file_convention(scan, "adapter", candidates) == convention


def test_the_convention_of_most_denoiser_modules_leads() -> None:
    sgm, odd = flat("lora_unet_", SGM), flat("lora_unet_", UNET)
    mixed = pairs([sgm, sgm.replace("to_q", "to_k"), odd], LYCORIS)
    assert file_convention(scanned(mixed), "adapter", ("sdxl",)) == "kohya_sgm_blocks"


def test_an_adapter_without_modules_has_no_convention() -> None:
    assert file_convention(scanned({}), "adapter") is None


@pytest.mark.parametrize(
    ("kind", "names", "convention"),
    [
        ("checkpoint", ["model.diffusion_model.input_blocks.0.0.weight"], "ldm"),
        ("checkpoint", ["conditioner.embedders.1.model.logit_scale"], "ldm"),
        ("checkpoint", ["transformer_blocks.0.attn.to_q.weight"], "diffusers"),
        ("checkpoint", ["down_blocks.0.attentions.0.norm.weight"], "diffusers"),
        ("checkpoint", ["double_blocks.0.img_attn.qkv.weight"], None),
        ("checkpoint", ["model.layers.0.self_attn.q_proj.weight"], "transformers"),
        ("checkpoint", ["transformer.h.0.attn.c_attn.weight"], "transformers"),
        (
            "checkpoint",
            [f"layers.0.{name}.weight" for name in ("mlp.up_proj", "self_attn.q_proj", "x")],
            "transformers",
        ),
        ("controlnet", ["controlnet_cond_embedding.conv_in.weight"], "diffusers"),
        ("controlnet", ["lora_controlnet", "input_hint_block.0.weight"], "control_lora_sai"),
        ("controlnet", ["control_model.zero_convs.0.0.weight"], "ldm"),
        ("vae", ["encoder.down_blocks.0.resnets.0.conv1.weight"], "diffusers"),
        ("vae", ["encoder.layers.1.conv.0.weight"], "diffusers"),
        ("vae", ["decoder.block.0.res_unit1.conv1.weight_g"], "diffusers"),
        ("vae", ["decoder.up.0.block.0.conv1.weight"], "ldm"),
        ("vae", ["encoder.downsamples.0.residual.0.gamma"], None),
        ("text_encoder", ["text_model.encoder.layers.0.mlp.fc1.weight"], "transformers"),
        ("text_encoder", ["encoder.block.0.layer.0.SelfAttention.q.weight"], "transformers"),
        ("text_encoder", ["transformer.resblocks.0.attn.in_proj_weight"], None),
        ("motion_module", ["mid_block.motion_modules.0.norm.weight"], "diffusers"),
        ("ip_adapter", ["image_proj.proj.weight"], "ip_adapter"),
        ("embedding", ["emb_params"], "a1111_ti"),
        ("embedding", ["string_to_param.*"], "a1111_ti"),
        ("embedding", ["<cat-toy>"], "textual_inversion"),
        ("embedding", ["clip_l", "clip_g"], "textual_inversion"),
        ("lllite", ["lllite_unet_x.down.0.weight"], None),
        ("other", [], None),
    ],
)
def test_the_convention_of_other_files_is_named(
    kind: str, names: list[str], convention: str | None
) -> None:
    assert file_convention(scanned(dict.fromkeys(names, (8, 8))), kind) == convention
    assert convention is None or f"`{convention}`" in DOCS
