"""Other pipelines than Stable Diffusion's: tiny ones of the real classes, built here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from diffusers import (
    AutoencoderKL,
    DiffusionPipeline,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from safetensors.torch import save_file
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    T5Config,
    T5EncoderModel,
)

from previews.render.adapters.base_modules import ldm_names
from previews.render.engine import Engine
from tests.previews.updates import (
    bases_at,
    layer,
    patch,
    pixels,
    recipe,
    some_updates,
    write_diffusers,
    write_kohya,
)

if TYPE_CHECKING:
    from pathlib import Path

ASK = recipe(prompts=("a cat",), width=32, height=32, strengths=(0.0, 1.0))


def build(kind: Any, *args: Any, **options: Any) -> Any:
    """Construct an untyped class."""
    return kind(*args, **options)


def clip(projection: int = 0) -> Any:
    config = CLIPTextConfig(
        vocab_size=2000, hidden_size=16, intermediate_size=32, num_hidden_layers=2,
        num_attention_heads=2, max_position_embeddings=40, projection_dim=projection or 16,
        bos_token_id=0, eos_token_id=1, pad_token_id=1,
    )  # fmt: skip
    return build(CLIPTextModelWithProjection if projection else CLIPTextModel, config)


def vae(latent: int) -> Any:
    return build(
        AutoencoderKL, block_out_channels=(8, 8), norm_num_groups=4, latent_channels=latent,
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
        sample_size=32, scaling_factor=0.5, shift_factor=0.0,
    )  # fmt: skip


@pytest.fixture(scope="module")
def sdxl(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(1)
    unet = build(
        UNet2DConditionModel, block_out_channels=(8, 16, 16), layers_per_block=2,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        transformer_layers_per_block=(1, 1, 2), attention_head_dim=(2, 2, 2), sample_size=16,
        cross_attention_dim=32, norm_num_groups=4, use_linear_projection=True,
        addition_embed_type="text_time", addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=6 * 8 + 16,
    )  # fmt: skip
    tokenizer = CLIPTokenizer.from_pretrained(tiny_folder / "tokenizer")
    pipeline = build(
        StableDiffusionXLPipeline, vae=vae(4), text_encoder=clip(), text_encoder_2=clip(16),
        tokenizer=tokenizer, tokenizer_2=tokenizer, unet=unet,
        scheduler=build(EulerDiscreteScheduler),
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("sdxl")
    pipeline.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def flux(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(2)
    transformer = build(
        FluxTransformer2DModel, patch_size=1, in_channels=16, num_layers=1, num_single_layers=1,
        attention_head_dim=16, num_attention_heads=2, joint_attention_dim=32,
        pooled_projection_dim=16, axes_dims_rope=(4, 4, 8), guidance_embeds=True,
    )  # fmt: skip
    t5 = T5EncoderModel(
        T5Config(vocab_size=2000, d_model=32, d_kv=8, d_ff=32, num_layers=1, num_heads=2)
    )
    tokenizer = CLIPTokenizer.from_pretrained(tiny_folder / "tokenizer")
    pipeline = build(
        FluxPipeline, vae=vae(4), text_encoder=clip(), tokenizer=tokenizer, text_encoder_2=t5,
        tokenizer_2=tokenizer, transformer=transformer,
        scheduler=build(FlowMatchEulerDiscreteScheduler),
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("flux")
    pipeline.save_pretrained(folder)
    return folder


def opened(folder: Path) -> Any:
    opener: Any = DiffusionPipeline
    pipeline = opener.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def check(family: str, folder: Path, path: Path, plain: Any, updates: Any, **call: Any) -> None:
    taken = Engine(bases_at(folder, family=family, call=call)).render(ASK, [layer(path)])
    for strength, picture in ((0.0, taken[0]), (1.0, taken[1])):
        patch(plain, updates, strength)
        output = plain(
            ["a cat"], num_inference_steps=2, guidance_scale=2.5, width=32, height=32,
            generator=[torch.Generator("cpu").manual_seed(1)], **call,
        )  # fmt: skip
        expected = np.asarray(output.images[0]).astype(int)
        assert np.abs(pixels(picture.png) - expected).max() <= 1, strength
    assert np.abs(pixels(taken[0].png) - pixels(taken[1].png)).max() > 4


def test_sdxl_from_diffusers_names(sdxl: Path, tmp_path: Path) -> None:
    plain = opened(sdxl)
    updates = some_updates(plain, ranks=(2, 4), alphas=(2.0, 4.0, 8.0))
    check("sdxl", sdxl, write_diffusers(tmp_path / "d.safetensors", updates), plain, updates)


def test_sdxl_from_kohyas_names_of_the_original_code(sdxl: Path, tmp_path: Path) -> None:
    plain = opened(sdxl)
    updates = some_updates(plain, text=(), ranks=(2, 4), alphas=(2.0, 4.0, 8.0))
    names = ldm_names(plain.unet)
    tensors = {}
    for update in updates:
        name = "lora_unet_" + names[update.name].replace(".", "_")
        tensors[f"{name}.lora_down.weight"] = update.down
        tensors[f"{name}.lora_up.weight"] = update.up
        tensors[f"{name}.alpha"] = torch.tensor(update.alpha)
    for update in some_updates(plain, names=()):
        name = f"lora_te1_text_model_{update.name.replace('.', '_')}"
        tensors[f"{name}.lora_down.weight"] = update.down
        tensors[f"{name}.lora_up.weight"] = update.up
    save_file(tensors, tmp_path / "k.safetensors")
    everything = [*updates, *some_updates(plain, names=())]
    check("sdxl", sdxl, tmp_path / "k.safetensors", plain, everything)


FLUX_LAYERS = ("attn.to_q", "attn.to_k", "attn.to_out.0", "ff.net.2", "proj_mlp", "norm.linear")


def flux_updates(plain: Any) -> Any:
    return some_updates(
        plain, FLUX_LAYERS, (), ranks=(2, 4), alphas=(2.0, 4.0, 8.0), main="transformer"
    )


@pytest.mark.parametrize("write", [write_diffusers, write_kohya], ids=["diffusers", "kohya"])
def test_flux_from_diffusers_names(flux: Path, tmp_path: Path, write: Any) -> None:
    plain = opened(flux)
    updates = flux_updates(plain)
    path = write(tmp_path / "f.safetensors", updates)
    check("flux1", flux, path, plain, updates, max_sequence_length=16)


def test_flux_from_kohyas_fused_names_of_the_original_code(flux: Path, tmp_path: Path) -> None:
    """qkv is one module in the file and three in diffusers, each with the file's own alpha."""
    plain = opened(flux)
    random = torch.Generator().manual_seed(5)
    down = torch.randn(4, 32, generator=random)
    up = torch.randn(96, 4, generator=random) * 0.2
    name = "lora_unet_double_blocks_0_img_attn_qkv"
    tensors = {
        f"{name}.lora_down.weight": down,
        f"{name}.lora_up.weight": up,
        f"{name}.alpha": torch.tensor(2.0),
    }
    save_file(tensors, tmp_path / "k.safetensors")
    attention = plain.transformer.transformer_blocks[0].attn
    taken = Engine(bases_at(flux, family="flux1", call={"max_sequence_length": 16})).render(
        ASK, [layer(tmp_path / "k.safetensors")]
    )
    with torch.no_grad():
        for part, rows in zip(("to_q", "to_k", "to_v"), up.chunk(3), strict=True):
            getattr(attention, part).weight += 0.5 * rows @ down
    output = plain(
        ["a cat"], num_inference_steps=2, guidance_scale=2.5, width=32, height=32,
        generator=[torch.Generator("cpu").manual_seed(1)], max_sequence_length=16,
    )  # fmt: skip
    expected = np.asarray(output.images[0]).astype(int)
    assert np.abs(pixels(taken[1].png) - expected).max() <= 1
    assert taken[0].png != taken[1].png


def test_flux_from_fused_names_by_another_method(flux: Path, tmp_path: Path) -> None:
    """The Kronecker product of LoKr for qkv, its rows given to three modules."""
    plain = opened(flux)
    random = torch.Generator().manual_seed(6)
    w1, w2 = torch.randn(6, 4, generator=random), torch.randn(16, 8, generator=random) * 0.1
    name = "lora_unet_double_blocks_0_img_attn_qkv"
    save_file({f"{name}.lokr_w1": w1, f"{name}.lokr_w2": w2}, tmp_path / "k.safetensors")
    base = bases_at(flux, family="flux1", call={"max_sequence_length": 16})
    taken = Engine(base).render(ASK, [layer(tmp_path / "k.safetensors")])
    attention = plain.transformer.transformer_blocks[0].attn
    with torch.no_grad():
        for part, rows in zip(("to_q", "to_k", "to_v"), torch.kron(w1, w2).chunk(3), strict=True):
            getattr(attention, part).weight += rows
    output = plain(
        ["a cat"], num_inference_steps=2, guidance_scale=2.5, width=32, height=32,
        generator=[torch.Generator("cpu").manual_seed(1)], max_sequence_length=16,
    )  # fmt: skip
    expected = np.asarray(output.images[0]).astype(int)
    assert np.abs(pixels(taken[1].png) - expected).max() <= 1
    assert np.abs(pixels(taken[1].png) - pixels(taken[0].png)).max() > 4
