"""Names of tensors: suffix to role, prefix to convention."""

from __future__ import annotations

import pytest

from lorary.anatomy.keys.tensor_names import PREFIXES, SUFFIXES, split_key, split_prefix


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_suffix_gives_its_role(suffix: str) -> None:
    module = "unet.mid_block.attentions.0.proj_in" if suffix.startswith(".") else ""
    assert split_key(module + suffix) == (module, SUFFIXES[suffix])


@pytest.mark.parametrize(
    ("key", "module", "role", "algorithm", "dialect"),
    [
        ("a.b.lora.down.weight", "a.b", "down", "lora", "down-up"),
        ("a.q_proj.lora_linear_layer.up.weight", "a.q_proj", "up", "lora", "down-up"),
        ("a.to_q_lora.up.weight", "a.to_q", "up", "lora", "down-up"),
        ("a.processor.to_q_lora.down.weight", "a.to_q", "down", "lora", "attn-processor"),
        ("a.processor.to_out_lora.up.weight", "a.to_out.0", "up", "lora", "attn-processor"),
        ("a.3.processor.qkv_lora1.down.weight", "a.3.img_attn.qkv", "down", "lora", "xlabs"),
        ("a.3.processor.proj_lora2.up.weight", "a.3.txt_attn.proj", "up", "lora", "xlabs"),
        ("a.b.lora_A.default.weight", "a.b", "down", "lora", "peft-named"),
        ("a.b.lora_B.style_2.weight", "a.b", "up", "lora", "peft-named"),
        ("a.b.lora_B.style_2.bias", "a.b", "up_bias", "lora", "peft-named"),
        ("a.b.lora_A.default", "a.b", "down", "lora", "peft-named"),
        ("a.b.lora_E.default", "a.b", "singular", "adalora", "peft-named"),
        ("a.e.lora_embedding_B.default", "a.e", "embedding_up", "lora", "peft-named"),
        ("a.b.lora_magnitude_vector.default.weight", "a.b", "magnitude", "dora", "peft-named"),
        ("lora_unet_a_proj_in", "lora_unet_a_proj_in", "unnamed", "lora", "kohya"),
        ("prompt_embeddings", "", "prompt", "prompt_tuning", "peft-only"),
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
    ("processor", "module", "role"),
    [
        ("double_blocks.3.processor.qkv_lora.up", "double_blocks.3.img_attn.qkv", "up"),
        ("single_blocks.3.processor.qkv_lora.down", "single_blocks.3.linear1", "down"),
        ("single_blocks.3.processor.qkv_lora.up", "single_blocks.3.linear1", "part_up"),
        ("single_blocks.3.processor.proj_lora.down", "single_blocks.3.linear2", "part_down"),
        ("single_blocks.3.processor.proj_lora.up", "single_blocks.3.linear2", "up"),
    ],
)
def test_single_blocks_of_xlabs_adapt_a_part_of_a_fused_module(
    processor: str, module: str, role: str
) -> None:
    split = split_key(f"{processor}.weight")
    assert split is not None
    assert (split[0], split[1].name, split[1].dialect) == (module, role, "xlabs")


@pytest.mark.parametrize(
    ("suffix", "role", "algorithm"),
    [
        (".adamss_A.0", "adamss_A.0", "adamss"),
        (".beft_bias", "beft_bias", "beft"),
        (".bone_block", "bone_block", "miss"),
        (".boft_R", "boft_r", "boft"),
        (".c3a_kernel", "c3a_kernel", "c3a"),
        (".deft_P", "deft_P", "deft"),
        (".delora_lambda", "delora_lambda", "delora"),
        (".delora_w_norm", "delora_w_norm", "delora"),
        (".fourierft_spectrum", "fourierft_spectrum", "fourierft"),
        (".frod_lambda_l", "frod_lambda_l", "frod"),
        (".glora_A.Xd", "glora_A.Xd", "glora"),
        (".gralora_A", "gralora_A", "gralora"),
        (".gralora_A_general.weight", "gralora_A_general", "gralora"),
        (".hira_A", "hira_A", "hira"),
        (".hra_u", "hra_u", "hra"),
        (".hra_u.default", "hra_u", "hra"),
        (".ia3_l", "ia3_l", "ia3"),
        (".lily_router.weight", "lily_router", "lily"),
        (".ln_tuning_layers.weight", "ln_weight", "ln_tuning"),
        (".miss_block", "miss_block", "miss"),
        (".oft_R.weight", "oft_r", "oft"),
        (".oft_r", "oft_r", "oft"),
        (".osf_svd_params.S_low", "osf_svd_params.S_low", "osf"),
        (".peanut_encoders.0.weight", "peanut_encoders.0", "peanut"),
        (".poly_lora_A", "poly_lora_A", "poly"),
        (".poly_router.module_logits", "poly_router.module_logits", "poly"),
        (".psoft_R.vector_a", "psoft_R.vector_a", "psoft"),
        (".psoft_R.weight", "psoft_R", "psoft"),
        (".pvera_lambda_d", "pvera_lambda_d", "pvera"),
        (".randlora_gamma", "randlora_gamma", "randlora"),
        (".road_theta", "road_theta", "road"),
        (".shira_indices", "shira_indices", "shira"),
        (".supertuning_values", "supertuning_values", "supertuning"),
        (".tinylora_v", "tinylora_v", "tinylora"),
        (".token_adapter.trainable_tokens_delta", "tokens", "trainable_tokens"),
        (".trainable_tokens_delta", "tokens", "trainable_tokens"),
        (".vblora_logits_A_topk_indices", "vblora_logits_A_topk_indices", "vblora"),
        (".vera_lambda_b", "vera_lambda_b", "vera"),
        (".waveft_spectrum", "waveft_spectrum", "waveft"),
    ],
)
def test_methods_of_peft_are_told_by_their_marks(suffix: str, role: str, algorithm: str) -> None:
    split = split_key(f"base_model.model.layers.0.q_proj{suffix}")
    assert split is not None
    module, found = split
    assert module == "base_model.model.layers.0.q_proj"
    assert (found.name, found.algorithm) == (role, algorithm)


@pytest.mark.parametrize(
    ("key", "module", "role", "algorithm"),
    [
        ("base_model.vera_A", "base_model", "vera_A", "vera"),
        ("base_model.vblora_vector_bank", "base_model", "vblora_vector_bank", "vblora"),
        ("base_model.frod_V.self_attn_q", "base_model", "frod_V.self_attn_q", "frod"),
        ("internal_xlora_classifier.last.b", "xlora_classifier", "classifier.last.b", "xlora"),
    ],
)  # fmt: skip
def test_tensors_that_all_modules_share_stand_apart(
    key: str, module: str, role: str, algorithm: str
) -> None:
    split = split_key(key)
    assert split is not None
    assert (split[0], split[1].name, split[1].algorithm) == (module, role, algorithm)


@pytest.mark.parametrize(
    "key",
    [
        "a.weight",
        "weight",
        "a.b.down.weight",
        "lllite_unet_a.down.0.weight",
        "a.proj_lora1.down.weight",
        "a.lora_A.default.bias",
        "lora_controlnet",
        "model.layers.0.self_attn.q_a_proj.weight",
        "net.blocks.0.adaln_modulation_mlp.1.weight",
        "model.layers.0.mlp.overa_lambda.weight",
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


def test_the_wrapper_keeps_names_that_begin_like_a_component() -> None:
    prefix, path = split_prefix("lycoris_transformer_blocks_0_attn_to_q")
    assert (prefix.convention, path) == ("lycoris", "transformer_blocks_0_attn_to_q")
