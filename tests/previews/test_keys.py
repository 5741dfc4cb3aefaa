"""Names of tensors, and of modules in the original code."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel

from previews.render import CannotRender, Why
from previews.render.adapters.base_modules import BaseModule, Table, ldm_names, table_of
from previews.render.adapters.keys import group, split


@pytest.mark.parametrize(
    ("name", "module", "part"),
    [
        ("lora_unet_a_b.lora_down.weight", "lora_unet_a_b", "down"),
        ("lora_te_a.alpha", "lora_te_a", "alpha"),
        ("lora_unet_c.lora_mid.weight", "lora_unet_c", "mid"),
        ("lora_unet_c.dora_scale", "lora_unet_c", "dora_scale"),
        ("lora_unet_c.lokr_w2_b", "lora_unet_c", "lokr_w2_b"),
        ("lora_unet_c.hada_t1", "lora_unet_c", "hada_t1"),
        ("lora_unet_c.oft_blocks", "lora_unet_c", "oft_blocks"),
        ("lora_unet_c.b1.weight", "lora_unet_c", "b1"),
        ("lora_unet_c.diff_b", "lora_unet_c", "diff_b"),
        ("base_model.model.a.oft_R.weight", "base_model.model.a", "oft_R"),
        ("base_model.model.a.lora_B.default.bias", "base_model.model.a", "up_bias"),
        ("unet.a.0.to_q.lora_A.weight", "unet.a.0.to_q", "down"),
        ("base_model.model.a.lora_B.default.weight", "base_model.model.a", "up"),
        ("unet.a.lora_magnitude_vector.default", "unet.a", "magnitude"),
        ("unet.a.lora.up.weight", "unet.a", "up"),
        ("text_encoder.a.lora_linear_layer.down.weight", "text_encoder.a", "down"),
        ("unet.attn1.processor.to_out_lora.up.weight", "unet.attn1.to_out.0", "up"),
        ("unet.attn1.processor.to_q_lora.down.weight", "unet.attn1.to_q", "down"),
    ],
)
def test_names_are_taken_apart(name: str, module: str, part: str) -> None:
    key = split(name)
    assert (key.module, key.part) == (module, part)


def test_a_module_under_two_spellings_is_refused() -> None:
    with pytest.raises(CannotRender) as caught:
        group(["unet.a.lora_A.weight", "unet.a.lora.down.weight", "unet.a.lora_B.weight"])
    assert caught.value.why is Why.KEYS


def test_a_bare_weight_is_a_part_only_beside_its_mark() -> None:
    modules = group(["lora_unet_a.weight", "lora_unet_a.on_input"])
    assert modules["lora_unet_a"].algorithm == "ia3"
    with pytest.raises(CannotRender) as caught:
        group(["lora_unet_a.weight", "lora_unet_b.on_input"])
    assert caught.value.why is Why.KEYS


def test_a_file_without_modules_is_empty() -> None:
    with pytest.raises(CannotRender) as caught:
        group([])
    assert caught.value.why is Why.EMPTY


def test_foreign_tensors_are_named() -> None:
    with pytest.raises(CannotRender, match=r"model\.diffusion_model\.out\.weight"):
        split("model.diffusion_model.out.weight")


@pytest.fixture(scope="module")
def xl_like() -> Any:
    """SDXL's build with few channels: its blocks have 0, 2 and 3 transformer layers."""
    build: Any = UNet2DConditionModel
    return build(
        block_out_channels=(8, 16, 16),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        transformer_layers_per_block=(1, 2, 3),
        attention_head_dim=(2, 2, 2),
        cross_attention_dim=16,
        norm_num_groups=4,
        use_linear_projection=True,
        layers_per_block=2,
    )


@pytest.mark.parametrize(
    ("ours", "original"),
    [
        ("conv_in", "input_blocks.0.0"),
        ("time_embedding.linear_1", "time_embed.0"),
        ("down_blocks.0.resnets.1.conv1", "input_blocks.2.0.in_layers.2"),
        ("down_blocks.0.downsamplers.0.conv", "input_blocks.3.0.op"),
        ("down_blocks.1.attentions.0.proj_in", "input_blocks.4.1.proj_in"),
        ("mid_block.resnets.1.conv2", "middle_block.2.out_layers.3"),
        ("up_blocks.0.attentions.2.transformer_blocks.1.attn2.to_out.0",
         "output_blocks.2.1.transformer_blocks.1.attn2.to_out.0"),
        ("up_blocks.0.upsamplers.0.conv", "output_blocks.2.2.conv"),
        ("up_blocks.2.resnets.0.conv_shortcut", "output_blocks.6.0.skip_connection"),
        ("conv_out", "out.2"),
    ],
)  # fmt: skip
def test_original_names_of_a_unet(xl_like: Any, ours: str, original: str) -> None:
    names = {
        name: value
        for name, value in ldm_names(xl_like).items()
        if isinstance(xl_like.get_submodule(name), torch.nn.Linear | torch.nn.Conv2d)
    }
    assert names[ours] == original
    assert len(set(names.values())) == len(names)


def test_every_spelling_finds_the_module(xl_like: Any) -> None:
    class Pipeline:
        _lora_loadable_modules = ("unet", "text_encoder")
        unet = xl_like
        text_encoder = None

    table = table_of(Pipeline())
    slot = BaseModule("unet", "down_blocks.1.attentions.0.proj_in", (16, 16))
    for name in (
        "unet.down_blocks.1.attentions.0.proj_in",
        "base_model.model.down_blocks.1.attentions.0.proj_in",
        "lora_unet_down_blocks_1_attentions_0_proj_in",
        "lora_unet_input_blocks_4_1_proj_in",
        "diffusion_model.input_blocks.4.1.proj_in",
    ):
        assert table.find(name) == slot, name
    assert table.find("lora_unet_input_blocks_99") is None


def test_a_name_that_two_modules_share_is_nobodys() -> None:
    class Twins(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a_b = torch.nn.Linear(2, 2)
            self.a = torch.nn.ModuleDict({"b": torch.nn.Linear(2, 2)})

    class Pipeline:
        _lora_loadable_modules = ("transformer",)
        transformer = Twins()

    table: Table = table_of(Pipeline())
    assert table.find("lora_unet_a_b") is None
    assert table.find("transformer.a_b") != table.find("transformer.a.b")
