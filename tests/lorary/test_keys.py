"""Names of tensors: suffix to role, prefix to convention."""

from __future__ import annotations

import pytest

from lorary.anatomy.keys import (
    PREFIXES,
    SUFFIXES,
    convention_name,
    known_conventions,
    split_key,
    split_prefix,
)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_suffix_gives_its_role(suffix: str) -> None:
    module = "unet.mid_block.attentions.0.proj_in" if suffix.startswith(".") else ""
    assert split_key(module + suffix) == (module, SUFFIXES[suffix])


@pytest.mark.parametrize(
    ("key", "module", "role", "algorithm", "dialect"),
    [
        ("a.b.lora.down.weight", "a.b", "down", "lora", "down-up"),
        ("a.q_proj.lora_linear_layer.up.weight", "a.q_proj", "up", "lora", "down-up"),
        ("a.processor.to_q_lora.down.weight", "a.to_q", "down", "lora", "attn-processor"),
        ("a.processor.to_out_lora.up.weight", "a.to_out.0", "up", "lora", "attn-processor"),
        ("a.3.processor.qkv_lora1.down.weight", "a.3.img_attn.qkv", "down", "lora", "xlabs"),
        ("a.3.processor.proj_lora2.up.weight", "a.3.txt_attn.proj", "up", "lora", "xlabs"),
        ("a.b.lora_A.default.weight", "a.b", "down", "lora", "peft"),
        ("a.b.lora_B.style_2.weight", "a.b", "up", "lora", "peft"),
        ("a.b.lora_B.style_2.bias", "a.b", "up_bias", "lora", "peft"),
        ("a.b.lora_magnitude_vector.default.weight", "a.b", "magnitude", "dora", "peft"),
        ("a.b.lora_A.default", "a.b", "down", "lora", "peft"),
        ("a.q.poly_lora_A", "a.q", "poly_lora_A", "poly", "peft"),
        ("a.q.osf_svd_params.S_low", "a.q", "osf_svd_params.S_low", "osf", "peft"),
        ("a.q.bone_block", "a.q", "bone_block", "miss", "peft"),
        ("prompt_embeddings", "", "prompt", "prompt_tuning", "peft"),
    ],
)  # fmt: skip
def test_unusual_spellings_are_understood(
    key: str, module: str, role: str, algorithm: str, dialect: str
) -> None:
    split = split_key(key)
    assert split is not None
    assert split[0] == module
    assert (split[1].name, split[1].algorithm, split[1].dialect) == (role, algorithm, dialect)


@pytest.mark.parametrize(
    "key",
    [
        "a.weight",
        "weight",
        "a.b.down.weight",
        "lllite_unet_a.down.0.weight",
        "a.proj_lora1.down.weight",
        "a.lora_A.default.bias",
        "model.layers.0.self_attn.q_a_proj.weight",
    ],
)
def test_other_names_have_no_role(key: str) -> None:
    assert split_key(key) is None


@pytest.mark.parametrize("prefix", PREFIXES)
def test_every_prefix_is_found_whole(prefix: str) -> None:
    assert split_prefix(f"{prefix}zz") == (PREFIXES[prefix], "zz")


def test_names_without_a_prefix_are_bare() -> None:
    prefix, path = split_prefix("double_blocks.0.img_attn.qkv")
    assert (prefix.convention, path) == ("bare", "double_blocks.0.img_attn.qkv")


def test_conventions_are_named_by_prefix_suffix_and_naming() -> None:
    kohya, diffusers = PREFIXES["lora_unet_"], PREFIXES["unet."]
    assert convention_name(kohya, "kohya", "diffusers") == "kohya"
    assert convention_name(kohya, "kohya", "sgm") == "kohya-sgm"
    assert convention_name(diffusers, "peft", "diffusers") == "diffusers-peft"
    assert convention_name(diffusers, "down-up", None) == "diffusers-down-up"
    assert convention_name(diffusers, None, None) == "diffusers"
    assert {"kohya", "xlabs", "peft", "diffusers-attn-processor"} <= known_conventions()
