"""What a target can't hold is refused with the module's name; hostile files are refused."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from lorary.algebra.conversion.converting import convert
from lorary.algebra.errors import ALGEBRA_CODES, AlgebraError
from lorary.safetensors import HeaderError
from tests.algebra.test_conversion import BLOCK, pair, write

if TYPE_CHECKING:
    from pathlib import Path

WAN = "lora_unet_blocks_0_self_attn_q"
F32 = np.float32


def ones(*shape: int) -> np.ndarray[Any, Any]:
    return np.ones(shape, F32)


MODULE_CASES: dict[str, tuple[dict[str, Any], str, str, str]] = {
    # name: (tensors, target, family, part of the reason)
    "loha": (
        {f"{WAN}.hada_{one}": ones(4, 4) for one in ("w1_a", "w1_b", "w2_a", "w2_b")},
        "diffusers", "wan_1_3b", "is LoHa, which has no form in diffusers",
    ),
    "lokr for peft": (
        {f"{WAN}.lokr_w1": ones(4, 4), f"{WAN}.lokr_w2": ones(4, 4)},
        "peft", "wan_1_3b", "is LoKr, which has no form in PEFT",
    ),
    "full differences": (
        {f"{WAN}.diff": ones(4, 4)}, "diffusers", "wan_1_3b", "is full difference",
    ),
    "a bias beside the factors": (
        pair(WAN, 8, 8) | {f"{WAN}.diff_b": ones(8)}, "diffusers", "wan_1_3b", "“diff_b”",
    ),
    "an unknown layer": (
        pair("lora_unet_blocks_0_other", 8, 8), "diffusers", "wan_1_3b", "has no known name",
    ),
    "a tensor of no adapter": (
        pair(WAN, 8, 8) | {"head.weight": ones(8, 8)}, "comfyui", "wan_1_3b", "is not part of",
    ),
    "magnitudes of inputs": (
        pair(WAN, 8, 6) | {f"{WAN}.dora_scale": ones(1, 6)},
        "peft", "wan_1_3b", "one magnitude for each input",
    ),
    "DoRA beside LoRA": (
        pair(WAN, 8, 8) | {f"{WAN}.dora_scale": ones(8, 1)}
        | pair("lora_unet_blocks_0_self_attn_k", 8, 8),
        "diffusers", "wan_1_3b", "is not DoRA but others are",
    ),
    "a fused and a split projection": (
        pair(f"{BLOCK}_img_attn_qkv", 144, 48)
        | pair("lora_unet_transformer_blocks_0_attn_to_k", 48, 48),
        "diffusers", "flux1", "changes the same layer as",
    ),
    "a fused LoKr": (
        {f"lora_unet_transformer_blocks_0_attn_to_q.lokr_{w}": ones(4, 4) for w in ("w1", "w2")},
        "kohya", "flux1", "can't be split or fused",
    ),
    "rows that can't be divided": (
        pair(f"{BLOCK}_img_attn_qkv", 100, 48), "diffusers", "flux1", "can't be divided",
    ),
    "factors that do not fit": (
        {f"{WAN}.lora_down.weight": ones(2, 8), f"{WAN}.lora_up.weight": ones(8, 3)},
        "diffusers", "wan_1_3b", "do not fit: 2×8 and 8×3",
    ),
    "one factor": (
        pair("lora_unet_blocks_0_ffn_0", 8, 8) | {f"{WAN}.lora_down.weight": ones(2, 8)},
        "kohya", "wan_1_3b", "has only one of its two factors",
    ),
    "an alpha that is not finite": (
        pair(WAN, 8, 8) | {f"{WAN}.alpha": np.asarray(np.nan, F32)},
        "diffusers", "wan_1_3b", "not finite",
    ),
    "an alpha of two numbers": (
        pair(WAN, 8, 8) | {f"{WAN}.alpha": ones(2)}, "diffusers", "wan_1_3b", "not one number",
    ),
    "whole numbers": (
        pair(WAN, 8, 8, dtype=np.int32), "diffusers", "wan_1_3b", "is stored as I32",
    ),
}  # fmt: skip


CODES = {
    "a tensor of no adapter": "extra_tensors",
    "factors that do not fit": "shape_invalid",
    "an alpha that is not finite": "alpha_invalid",
    "an alpha of two numbers": "alpha_invalid",
    "whole numbers": "dtype_unsupported",
}


@pytest.mark.parametrize("name", MODULE_CASES)
def test_the_module_and_the_reason_are_named(tmp_path: Path, name: str) -> None:
    tensors, target, family, reason = MODULE_CASES[name]
    path = write(tmp_path / "a.safetensors", tensors)
    with pytest.raises(AlgebraError, match=reason) as caught:
        convert(path, to=target, out=tmp_path / "b.safetensors", family=family)
    assert caught.value.code == CODES.get(name, "not_convertible")
    assert str(caught.value.facts["module"]) in caught.value.detail
    assert [file.name for file in tmp_path.iterdir() if file.is_file()] == ["a.safetensors"]


def test_values_that_are_not_finite_can_be_renamed_but_not_fused(tmp_path: Path) -> None:
    tensors = pair("lora_unet_transformer_blocks_0_attn_to_q", 48, 48)
    tensors["lora_unet_transformer_blocks_0_attn_to_q.lora_up.weight"][0, 0] = np.inf
    path = write(tmp_path / "a.safetensors", tensors)
    convert(path, to="diffusers", out=tmp_path / "b.safetensors", family="flux1")
    with pytest.raises(AlgebraError) as caught:
        convert(path, to="kohya", out=tmp_path / "c.safetensors", family="flux1")
    assert caught.value.code == "not_finite"
    assert not (tmp_path / "c.safetensors").exists()


def test_a_rank_above_the_size_of_the_layer_takes_no_large_gram_matrix(tmp_path: Path) -> None:
    path = write(tmp_path / "a.safetensors", pair(f"{BLOCK}_img_attn_qkv", 144, 48, rank=20_000))
    done = convert(path, to="diffusers", out=tmp_path / "b.safetensors", family="flux1")
    assert done.certificate.max_relative_error <= 1e-6


def test_small_files_whose_products_are_large_are_refused(tmp_path: Path) -> None:
    core, fused = "lora_unet_down_blocks_0_resnets_0_conv1", "lora_unet_transformer_blocks_0_attn"
    cases: tuple[tuple[dict[str, Any], str, str, str], ...] = (
        (
            {
                f"{core}.lora_down.weight": ones(1, 20_000, 1, 1),
                f"{core}.lora_mid.weight": ones(20_000, 1, 1, 1),
                f"{core}.lora_up.weight": ones(1, 20_000, 1, 1),
            },
            "diffusers", "sd1", core,
        ),
        (
            {
                f"{fused}_to_q.lora_down.weight": ones(1, 4),
                f"{fused}_to_q.lora_up.weight": ones(20_000, 1),
                f"{fused}_to_k.lora_down.weight": ones(20_000, 4),
                f"{fused}_to_k.lora_up.weight": ones(1, 20_000),
            },
            "kohya", "flux1", f"{fused}_to_k",
        ),
    )  # fmt: skip
    for tensors, target, family, name in cases:
        path = write(tmp_path / "a.safetensors", tensors)
        with pytest.raises(AlgebraError, match="too large") as caught:
            convert(path, to=target, out=tmp_path / "b.safetensors", family=family)
        assert (caught.value.code, caught.value.facts["module"]) == ("rank_too_large", name)
        assert not list(tmp_path.glob("*b.safetensors")) + list(tmp_path.glob(".lorary*"))


def test_a_family_that_the_names_leave_open_is_asked_for(tmp_path: Path) -> None:
    path = write(tmp_path / "a.safetensors", pair("lora_unet_mid_block_attentions_0_proj_in", 8, 8))
    with pytest.raises(AlgebraError, match="--family") as caught:
        convert(path, to="comfyui", out=tmp_path / "b.safetensors")
    assert caught.value.code == "family_unknown"
    path = write(tmp_path / "u.safetensors", pair("lora_unet_things_0_other", 8, 8))
    with pytest.raises(AlgebraError, match="The base model is unknown"):
        convert(path, to="comfyui", out=tmp_path / "b.safetensors")


def test_the_input_is_never_overwritten(tmp_path: Path) -> None:
    path = write(tmp_path / "a.safetensors", pair(WAN, 8, 8))
    before = path.read_bytes()
    (tmp_path / "link").symlink_to(path)
    for out in (path, tmp_path / "link", tmp_path / ".." / tmp_path.name / "a.safetensors"):
        with pytest.raises(AlgebraError) as caught:
            convert(path, to="kohya", out=out, family="wan_1_3b")
        assert caught.value.code == "same_file"
    assert path.read_bytes() == before


def test_a_file_that_is_no_adapter_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.safetensors", {"weight": ones(4, 4)})
    with pytest.raises(AlgebraError) as caught:
        convert(path, to="kohya", out=tmp_path / "b.safetensors")
    assert caught.value.code == "not_an_adapter"
    assert caught.value.code in ALGEBRA_CODES
    with pytest.raises(ValueError, match="is not a naming"):
        convert(path, to="forge", out=tmp_path / "b.safetensors")
    with pytest.raises(ValueError, match=r"is not a family; did you mean sdxl\b"):
        convert(path, to="kohya", out=tmp_path / "b.safetensors", family="sdlx")
    with pytest.raises(ValueError, match="is not a family"):
        convert(path, to="kohya", out=tmp_path / "b.safetensors", family="pony")


def test_a_configuration_that_is_broken_is_refused(tmp_path: Path) -> None:
    name = "base_model.model.blocks.0.attn1.to_q"
    tensors = {f"{name}.lora_A.weight": ones(2, 8), f"{name}.lora_B.weight": ones(8, 2)}
    path = write(tmp_path / "adapter_model.safetensors", tensors)
    (tmp_path / "adapter_config.json").write_text("{")
    with pytest.raises(AlgebraError) as caught:
        convert(path, to="kohya", out=tmp_path / "out.safetensors", family="wan_1_3b")
    assert caught.value.code == "alpha_invalid"


NAMES = (
    WAN, f"{BLOCK}_img_attn_qkv", "lora_unet_single_blocks_0_linear1", "lora_unet_x\u202e",
    "transformer.single_transformer_blocks.0.attn.to_q", "unet.x", "lora_te1_text_projection",
    "diffusion_model.double_blocks.0.img_attn.qkv", "base_model.model.",
    "single_blocks.0.processor",
    "lora_te_text_model_encoder_layers_0_mlp_fc1", "text_encoders.x.transformer.y",
)  # fmt: skip
ENDINGS = (
    ".lora_down.weight", ".lora_up.weight", ".lora_A.weight", ".lora_B.weight", ".alpha",
    ".lora_mid.weight", ".dora_scale", ".lora_magnitude_vector", ".diff", ".qkv_lora.up.weight",
    ".qkv_lora.down.weight", ".lora_B.bias", ".lora_embedding_A", ".lora_embedding_B",
)  # fmt: skip
SHAPES = (
    (),
    (1,),
    (2, 48),
    (144, 2),
    (48, 2),
    (336, 2),
    (2, 2, 3, 3),
    (2, 48, 1, 1),
    (0, 2),
    (48,),
)
CONFIGS = (
    "", "{", "[]", '{"r": 1e308, "lora_alpha": -1e308}',
    json.dumps({"transformer.alpha_pattern": {"(a+)+$": 1, "": 2}, "transformer.lora_alpha": 0}),
)  # fmt: skip


def test_random_files_are_refused_or_converted(tmp_path: Path, subtests: pytest.Subtests) -> None:
    """Some are converted; no other exception than a refusal is raised."""
    choose = random.Random(20)
    dtypes = (np.float16, np.float32, np.int32, np.float64)
    done = 0
    for number in range(120):
        names = choose.sample(NAMES, choose.randint(1, 3))
        tensors: dict[str, Any] = {}
        for name in names:
            if choose.random() < 0.5:
                tensors |= pair(name, choose.choice((48, 144, 336)), 48)
            for ending in choose.sample(ENDINGS, choose.randint(0, 2)):
                shape, dtype = choose.choice(SHAPES), choose.choice(dtypes)
                tensors[name + ending] = np.full(shape, choose.choice((0, 1, 3e4)), dtype)
        config = {"lora_adapter_metadata": choose.choice(CONFIGS)}
        target = choose.choice(("kohya", "peft", "diffusers", "original"))
        with subtests.test(number=number):
            try:
                path = write(tmp_path / "a.safetensors", tensors, config)
                family = choose.choice(("flux1", "wan_1_3b", None))
                convert(path, to=target, out=tmp_path / "b.safetensors", family=family)
                done += 1
            except (AlgebraError, HeaderError):
                continue
    assert done
