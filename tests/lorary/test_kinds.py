"""What a file is, told by the names of its tensors."""

from __future__ import annotations

import pytest

from lorary.anatomy.keys.algorithms import is_complete
from lorary.anatomy.keys.kinds import KIND_TITLES, file_kind
from tests.builders.modules import LYCORIS, Shapes, pairs, scanned

DOWN_UP = (".down.weight", ".up.weight")
CONV = (8, 8, 3, 3)


def kind_of(shapes: Shapes) -> str:
    scan = scanned(shapes)
    has_pairs = any(
        all(is_complete(name, module.roles) for name in module.algorithms)
        for module in scan.modules
        if module.algorithms
    )
    return file_kind(scan, has_pairs=has_pairs)


def weights(*names: str, shape: tuple[int, ...] = (8, 8)) -> Shapes:
    return dict.fromkeys(names, shape)


@pytest.mark.parametrize(
    ("kind", "shapes"),
    [
        # Adapters, some of which look like something else.
        ("adapter", pairs(["unet.mid_block.attentions.0.proj_in"])),
        ("adapter", weights("transformer_blocks.0.attn.to_q.lora_A.default.weight")),
        ("adapter", {"lora_unet_a.w_norm": (8,), "lora_unet_a.b_norm": (8,)}),
        ("adapter", weights("lora_unet_mid_block_proj", "lora_te_text_model_fc1")),
        ("adapter", {"prompt_embeddings": (4, 768)}),
        ("adapter", weights("internal_xlora_classifier.last.weight")),
        ("adapter", {"base_model.unilora_theta_d": (256,)}),
        (
            "adapter",
            pairs(["a.motion_modules.0.temporal_transformer.b.processor.to_q_lora"], DOWN_UP),
        ),
        (
            "adapter",
            pairs(["double_blocks.0.img_attn.qkv", "img_in"])
            | weights("double_blocks.0.img_attn.norm.key_norm.scale"),
        ),
        (
            "adapter",
            pairs([f"base_model.model.model.layers.{n}.self_attn.q_proj" for n in range(4)])
            | weights("base_model.model.lm_head.weight", shape=(32_000, 2048)),
        ),
        # Whole models, also with low-rank-looking names or with leftovers.
        (
            "checkpoint",
            weights(
                "model.diffusion_model.input_blocks.0.0.weight",
                "first_stage_model.encoder.conv_in.weight",
                shape=CONV,
            ),
        ),
        ("checkpoint", weights("conditioner.embedders.1.model.text_projection")),
        ("checkpoint", weights("double_blocks.0.img_attn.qkv.weight")),
        ("checkpoint", weights("double_stream_blocks.0.block.attn1.to_q.weight")),
        ("checkpoint", weights("transformer_blocks.0.attn1.to_q.weight")),
        (
            "checkpoint",
            weights(
                "down_blocks.0.attentions.0.norm.weight",
                "down_blocks.0.motion_modules.0.norm.weight",
            ),
        ),
        ("checkpoint", weights("blocks.0.self_attn.q.weight", "patch_embedding.weight")),
        (
            "checkpoint",
            weights(
                "net.blocks.0.adaln_modulation_mlp.1.weight",
                "net.blocks.0.adaln_modulation_mlp.2.weight",
            ),
        ),
        (
            "checkpoint",
            weights("layers.0.attention.qkv.weight", "noise_refiner.0.attention.qkv.weight"),
        ),
        (
            "checkpoint",
            weights(
                "model.layers.0.self_attn.q_a_proj.weight",
                "model.layers.0.self_attn.kv_a_proj_with_mqa.weight",
            ),
        ),
        ("checkpoint", weights("h.0.attn.c_attn.weight")),
        ("checkpoint", weights("gpt_neox.layers.0.attention.dense.weight")),
        ("checkpoint", weights("distilbert.transformer.layer.0.attention.q_lin.weight")),
        (
            "checkpoint",
            weights(*[f"model.diffusion_model.input_blocks.{n}.0.weight" for n in range(9)])
            | pairs(["lora_te_text_model_encoder_layers_0_mlp_fc1"], LYCORIS),
        ),
        (
            "checkpoint",
            weights(
                *[f"model.diffusion_model.input_blocks.{n}.0.weight" for n in range(120)],
                shape=(640, 640),
            )
            | pairs([f"lora_unet_a_{n}" for n in range(120)], LYCORIS),
        ),
        # The rest.
        ("vae", weights("first_stage_model.encoder.conv_in.weight", shape=CONV)),
        (
            "vae",
            weights(
                "encoder.down.0.block.0.conv1.weight",
                "decoder.conv_in.weight",
                "quant_conv.weight",
                shape=CONV,
            ),
        ),
        ("vae", weights("encoder.layers.0.weight", "decoder.layers.0.weight", shape=CONV)),
        ("vae", {"decoder.layers.1.alpha": (1, 8, 1), "decoder.layers.0.weight_v": (8, 8, 7)}),
        ("controlnet", weights("control_model.input_blocks.0.0.weight")),
        ("controlnet", weights("input_hint_block.0.weight", "zero_convs.0.0.weight")),
        (
            "controlnet",
            weights("down_blocks.0.norm.weight", "controlnet_cond_embedding.conv_in.weight"),
        ),
        (
            "controlnet",
            weights("transformer_blocks.0.attn.to_q.weight", "controlnet_blocks.0.weight"),
        ),
        (
            "controlnet",
            weights(
                "lora_controlnet",
                "input_blocks.1.0.in_layers.2.down",
                "input_blocks.1.0.in_layers.2.up",
            ),
        ),
        (
            "lllite",
            weights(
                "lllite_unet_input_blocks_4_1_attn1_to_q.down.0.weight",
                "lllite_unet_input_blocks_4_1_attn1_to_q.up.0.weight",
            ),
        ),
        ("ip_adapter", weights("image_proj.proj.weight", "ip_adapter.1.to_k_ip.weight")),
        ("ip_adapter", pairs([f"ip_adapter.{n}.to_q_lora" for n in range(4)], DOWN_UP)),
        ("ip_adapter", pairs(["0.to_q_lora"], DOWN_UP) | weights("1.to_k_ip.weight")),
        ("ip_adapter", weights("ip_adapter_proj_model.norm.weight")),
        ("motion_module", weights("mid_block.motion_modules.0.norm.weight")),
        (
            "motion_module",
            weights("down_blocks.0.motion_modules.0.temporal_transformer.proj_in.weight"),
        ),
        ("text_encoder", weights("text_model.encoder.layers.0.mlp.fc1.weight")),
        (
            "text_encoder",
            weights("embeddings.token_embedding.weight", "encoder.layers.0.mlp.fc1.weight"),
        ),
        (
            "text_encoder",
            weights("shared.weight", "encoder.block.0.layer.0.SelfAttention.q.weight"),
        ),
        ("text_encoder", weights("transformer.resblocks.0.attn.in_proj_weight")),
        ("embedding", weights("emb_params", shape=(5, 768))),
        ("embedding", weights("emb_params", shape=(8, 1024))),
        ("embedding", weights("<cat-toy>", shape=(1, 768))),
        ("embedding", weights("string_to_param.*", shape=(1, 768))),
        ("embedding", {"clip_l": (2, 768), "clip_g": (2, 1280)}),
        ("other", weights("proj.weight", shape=(5, 768))),
        ("other", weights("<cat-toy>", shape=(1, 300))),
        ("other", weights("projection", shape=(768, 768))),
        ("other", weights("<cat-toy>", shape=(1, 2, 768))),
        ("other", weights("adapter.body.0.resnets.0.block1.weight", shape=CONV)),
        ("other", weights("model.1.sub.0.RDB1.conv1.0.weight", shape=CONV)),
        ("other", weights("embeddings.patch_embedding.weight", "encoder.layers.0.mlp.fc1.weight")),
        ("other", {"lora_unet_a.alpha": ()}),
        ("other", {"lonely": ()}),
        ("other", {}),
    ],
)
def test_the_kind_is_told(kind: str, shapes: Shapes) -> None:
    assert kind_of(shapes) == kind
    assert kind in KIND_TITLES


def test_few_adapter_tensors_beside_strangers_need_a_whole_pair() -> None:
    strangers = weights(*[f"thing.{n}.weight" for n in range(9)])
    assert kind_of(strangers | pairs(["a"])) == "adapter"
    assert kind_of(strangers | weights("a.lora_A.weight")) == "other"
