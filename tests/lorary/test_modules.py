"""Modules of a file: grouped, placed, measured, and told apart by layer."""

from __future__ import annotations

import pytest

from lorary.anatomy.families import encoder_index, family_index
from lorary.anatomy.keys.tensor_names import LAYERS, layer_of
from lorary.anatomy.modules.module_table import Columns, Modules, modules_of
from tests.builders.modules import LYCORIS, Shapes, one, pairs, scanned

UNET = "down_blocks.1.attentions.0.transformer_blocks.0"


def test_tensors_are_grouped_by_module() -> None:
    shapes = pairs(["lora_unet_a"], LYCORIS) | {"lora_unet_a.alpha": (), "text": (3,)}
    scan = scanned(shapes)
    (module,) = scan.modules
    assert set(module.roles) == {"down", "up", "alpha"}
    assert module.parameters == 4 * (320 + 320)
    assert set(scan.others) == {"text"}
    assert scan.role_tensors == 2


def test_modules_are_turned_into_columns_in_their_order() -> None:
    plain = scanned(pairs(["lora_unet_a", "lora_unet_b"], LYCORIS)).modules
    odd = scanned(pairs(["lora_unet_a"], LYCORIS) | {"lora_unet_b.alpha": ()}).modules
    for modules in (plain, odd):
        columns = modules_of(modules).columns
        assert list(zip(*columns, strict=True)) == list(modules) == list(map(tuple, modules))
        assert list(map(list, columns)) == list(map(list, modules_of(list(modules)).columns))
    assert modules_of(()).columns == Columns()


def test_modules_can_be_taken_one_by_one_and_in_part() -> None:
    names = ["lora_unet_a", "lora_te_b", "lora_unet_c"]
    plain = scanned(pairs(names, LYCORIS)).modules
    assert [plain[at] for at in range(3)] == plain[:] == list(plain)
    assert list(plain.columns.roles[1:]) == [module.roles for module in plain[1:]]
    for modules in (plain, Modules(list(plain))):
        assert [modules.groups.parts[part] for part in ("denoiser", "text_encoder")] == [
            (0, 2),
            (1,),
        ]
        assert modules.at([0, 1, 2]) is modules
        some = modules.at([2, 1])
        assert len(some) == 2
        assert (some[0], *some[1:]) == (modules[2], modules[1]) == tuple(some)
        assert [*some.columns.names[:1], *some.columns.names] == [
            modules[2].name,
            "lora_unet_c",
            "lora_te_b",
        ]
        assert some.tensors_of("down") == [one.roles["down"] for one in some]
        assert list(some.columns.roles) == [modules[2].roles, modules[1].roles]


@pytest.mark.parametrize(
    ("name", "part", "block"),
    [
        (f"lora_unet_{UNET}.attn1.to_q".replace(".", "_"), "denoiser", "down_blocks.1"),
        ("lora_unet_mid_block_attentions_0_proj_in", "denoiser", "mid_block"),
        ("lora_unet_mid_block_attentions_0_norm", "denoiser", "mid_block"),
        ("lora_unet_blocks_12.self_attn.k", "denoiser", "blocks.12"),
        ("lora_unet_stack_blocks_7_q", "denoiser", "stack_blocks.7"),
        ("lora_unet_head", "denoiser", "head"),
        ("diffusion_model.stack.7.q", "denoiser", "stack.7"),
        ("base_model.model.encoder.deep.layers.3.q", "denoiser", "layers.3"),
        ("base_model.model.transformer.h.11.attn.c_attn", "denoiser", "h.11"),
        ("lora_te_text_model_encoder_layers_0_mlp_fc1", "text_encoder", "text_encoder"),
        ("lora_te2_text_model_encoder_layers_0_mlp_fc1", "text_encoder_2", "text_encoder_2"),
        ("lora_te3_encoder_block_0_layer_0_SelfAttention_q", "text_encoder_3", "text_encoder_3"),
        ("text_encoder.encoder.layers.0.mlp.fc1", "text_encoder", "text_encoder"),
        ("text_encoders.clip_g.transformer.text_model.x", "text_encoder_2", "text_encoder_2"),
        ("base_model.model.text_model.encoder.layers.0.mlp.fc1", "text_encoder", "text_encoder"),
        ("text_model.encoder.layers.0.mlp.fc1", "text_encoder", "text_encoder"),
        ("t5.encoder.block.0.layer.0.SelfAttention.q", "text_encoder_3", "text_encoder_3"),
    ],
)
def test_modules_have_a_part_and_a_block(name: str, part: str, block: str) -> None:
    (module,) = scanned(pairs([name])).modules
    assert (module.part, module.block) == (part, block)


@pytest.mark.parametrize(
    "name",
    [
        "lora_te_text_model_encoder_layers_0_mlp_fc1",
        "lora_te_encoder_layers_0_mlp_fc1",
        "text_encoder.text_model.encoder.layers.0.mlp.fc1",
        "text_encoder.encoder.layers.0.mlp.fc1",
        "text_encoders.clip_l.transformer.text_model.encoder.layers.0.mlp.fc1",
        "text_encoders.clip_l.text_model.encoder.layers.0.mlp.fc1",
        "clip_l.text_model.encoder.layers.0.mlp.fc1",
        "base_model.model.encoder.layers.0.mlp.fc1",
        "text_encoder.base_model.model.text_model.encoder.layers.0.mlp.fc1",
        "base_model.model.text_encoder.text_model.encoder.layers.0.mlp.fc1",
    ],
)
def test_both_spellings_of_clip_are_known_everywhere(name: str) -> None:
    (module,) = scanned(pairs([name], out=3072, fan_in=768)).modules
    assert module.place is not None
    assert "clip_l" in encoder_index().names(module.place.weights.fitting(*module.dims[:2]))


@pytest.mark.parametrize(
    "name",
    [
        f"lora_unet_{UNET}.attn1.to_q".replace(".", "_"),
        f"lora_unet__{UNET}.attn1.to_q".replace(".", "_"),
        f"lora_unet_{UNET}.attn1.to_q",
        f"lycoris_{UNET}.attn1.to_q".replace(".", "_"),
        f"unet.{UNET}.attn1.to_q",
        f"{UNET}.attn1.to_q",
        f"base_model.model.{UNET}.attn1.to_q",
        f"base_model.model.unet.{UNET}.attn1.to_q",
        f"unet.base_model.model.{UNET}.attn1.to_q",
        f"diffusion_model.{UNET}.attn1.to_q",
    ],
)
def test_a_module_is_found_under_every_prefix(name: str) -> None:
    (module,) = scanned(pairs([name], out=640, fan_in=640)).modules
    assert module.place is not None
    assert {"sd1", "sd2", "sdxl"} <= set(
        family_index().names(module.place.weights.fitting(*module.dims[:2]))
    )


def test_dots_for_underscores_in_projections_are_forgiven() -> None:
    (module,) = scanned(pairs([f"unet.{UNET}.attn1.to.q"], out=640, fan_in=640)).modules
    assert module.place is not None
    assert module.place.path == f"{UNET}.attn1.to_q"


def test_what_all_modules_share_is_no_module() -> None:
    bank = {"base_model.vblora_vector_bank": (16, 16)}
    logits = {".vblora_logits_A": (4, 4, 16), ".vblora_logits_B": (4, 4, 16)}
    scan = scanned(one("base_model.model.layers.0.q_proj", logits) | bank)
    assert [module.name for module in scan.modules] == ["base_model.model.layers.0.q_proj"]
    assert list(scan.shared) == ["base_model.vblora_vector_bank"]
    alone = scanned(bank)
    assert [module.algorithms for module in alone.modules] == [("vblora",)]
    assert not alone.shared


def test_vectors_and_scales_are_adopted_beside_adapter_tensors_only() -> None:
    scale: Shapes = {"double_blocks.0.img_attn.norm.key_norm.scale": (128,)}
    vector: Shapes = {"lora_unet_a.weight": (640, 1)}
    assert set(scanned(scale | vector).others) == {*scale, *vector}
    assert not scanned(scale | pairs(["img_in"])).others
    scan = scanned(vector | {"lora_unet_a.on_input": ()})
    assert not scan.others
    assert set(scan.modules[0].roles) == {"vector", "on_input"}
    lone = scanned({"lora_unet_b.on_input": ()} | vector)
    assert set(lone.modules[0].roles) == {"on_input"}


def test_kohyas_oft_has_no_rank() -> None:
    blocks: Shapes = {".oft_blocks": (4, 160, 160)}
    assert scanned(one("oft_unet_a", blocks)).modules[0].dims.rank is None
    assert scanned(one("lora_unet_a", blocks)).modules[0].dims.rank == 160


@pytest.mark.parametrize(
    ("layer", "names"),
    [
        (
            "attention",
            [
                f"{UNET}.attn1.to_q",
                f"{UNET}.attn2.to_out.0",
                "down_blocks.1.attentions.0.proj_in",
                "input_blocks_4_1_proj_out",
                "double_blocks.0.img_attn.qkv",
                "single_blocks.0.linear1",
                "blocks.0.self_attn.q",
                "blocks.0.cross_attn.k_img",
                "layers.0.attention.to_k",
                "transformer_blocks.0.attn.add_q_proj",
                "text_model.encoder.layers.0.self_attn.out_proj",
                "model.layers.0.self_attn.o_proj",
                "h.0.attn.c_attn",
                "encoder.block.0.layer.0.SelfAttention.q",
                "context_embedder.token_refiner.refiner_blocks.0.attn.to_q",
            ],
        ),
        (
            "mlp",
            [
                f"{UNET}.ff.net.0.proj",
                "double_blocks.0.img_mlp.0",
                "blocks.0.ffn.2",
                "layers.0.feed_forward.w1",
                "single_transformer_blocks.0.proj_mlp",
                "text_model.encoder.layers.0.mlp.fc1",
                "model.layers.0.mlp.gate_proj",
                "encoder.block.0.layer.1.DenseReluDense.wo",
                "double_stream_blocks.0.block.ff_i.experts.0.w1",
            ],
        ),
        (
            "modulation",
            [
                "double_blocks.0.img_mod.lin",
                "single_blocks.0.modulation.lin",
                "transformer_blocks.0.norm1.linear",
                "layers.0.adaLN_modulation.0",
                "blocks.0.adaln_modulation_mlp.1",
                "norm_out.linear",
            ],
        ),
        (
            "norm",
            [
                "down_blocks.1.attentions.0.norm",
                "down_blocks.1.resnets.0.norm2",
                "blocks.0.cross_attn.norm_k_img",
                "text_model.encoder.layers.0.layer_norm1",
                "model.layers.0.input_layernorm",
                "double_blocks.0.img_attn.norm.key_norm",
            ],
        ),
        (
            "conv",
            [
                "down_blocks.1.resnets.0.conv2",
                "conv_in",
                "input_blocks.1.0.in_layers.2",
                "input_blocks.3.0.op",
                "up_blocks.0.upsamplers.0.conv",
            ],
        ),
        (
            "embedder",
            [
                "time_in.in_layer",
                "transformer.x_embedder",
                "time_text_embed.timestep_embedder.linear_1",
                "img_in",
                "down_blocks.1.resnets.0.time_emb_proj",
                "model.embed_tokens",
                "patch_embedding",
                "distilled_guidance_layer.layers.0.in_layer",
            ],
        ),
        ("other", ["", "head", "final_layer.linear", "proj_out"]),
    ],
)
def test_layers_are_told_by_name(layer: str, names: list[str]) -> None:
    for name in names:
        assert (name, layer_of(name)) == (name, layer)
        assert (name, layer_of(name.replace(".", "_"))) == (name, layer)
        if name:
            assert (name, layer_of(f"lora_unet_{name}".replace(".", "_"))) == (name, layer)
            assert (name, layer_of(f"transformer.{name}")) == (name, layer)
    assert layer in LAYERS


def test_names_that_no_model_has_are_not_read() -> None:
    assert layer_of("attn" * 100) == "other"


def test_kernels_and_modulation_differences_decide_the_layer() -> None:
    kernel = {".lora_down.weight": (4, 8, 3, 3), ".lora_up.weight": (8, 4, 1, 1)}
    assert scanned(one("lora_unet_head", kernel)).modules[0].layer == "conv"
    difference = {".diff_m": (1, 6, 5120)}
    assert scanned(one("diffusion_model.blocks.0", difference)).modules[0].layer == "modulation"
