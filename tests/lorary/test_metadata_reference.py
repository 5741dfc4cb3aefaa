"""Real metadata and configurations, with what is right for each written down by hand."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lorary.anatomy.claims.base_models import claims_of
from lorary.anatomy.claims.config import AdapterConfig
from lorary.anatomy.claims.training import recommended_strength, training_facts
from lorary.anatomy.claims.triggers import common_tags, tag_shares, trigger_words
from tests.lorary import reference

FOLDER = "lora_metadata"
STEMS = frozenset(reference.names(FOLDER))

if not STEMS:
    pytest.skip("no reference files (set LORARY_REFERENCE)", allow_module_level=True)

# Words: (text, source, confidence). Tags: the first, with their share. Claim: family and source.
RIGHT: dict[str, dict[str, Any]] = {
    "anima_kohya_ankasha": {
        "words": [("ankasha", "ss_tag_frequency", "medium")],
        "tags": {"silver hair": 1.0, "golden eyes": 1.0, "yellow hair ornament": 1.0,
                 "standing": 1.0, "simple background": 1.0, "gun": 0.7143, "knife": 0.2857},
        "claim": ("anima", "ss_sd_model_name"),
        "lineage": "Anima",
        "facts": {"trainer": "sd-scripts", "base_model": "anima-base-v1.0.safetensors",
                  "images": 28, "repeats": 12},
    },
    "chroma_labelled_flux1": {
        "claim": ("flux1", "ss_base_model_version"),
        "facts": {"trainer": "sd-scripts", "network_module": "networks.lora_flux",
                  "network_dim": 96, "network_alpha": 96, "base_version": "flux1"},
    },
    "flux1_aitoolkit_says_sd15": {
        "claim": ("sd1", "ss_base_model_version"),
        "facts": {"trainer": "ai-toolkit", "base_version": "sd_1.5"},
    },
    "flux1_isadirectory_hash": {
        "claim": ("flux1", "ss_base_model_version"),
        "facts": {"base_version": "flux1"},
    },
    "flux1_kohya_off_base_merge": {
        "claim": ("flux1", "ss_base_model_version"),
        "lineage": "FLUX.1 dev",
        "facts": {"base_model": "MS_Flux_1d_V3.safetensors", "base_version": "flux1",
                  "base_model_hash":
                  "467ab3efe0039ac24a8f78d627f87fac1345b1526a22fef0ff48c21cb50fafdf"},
    },
    "flux2_klein9b_svd_diff": {
        "claim": ("flux2_klein_9b", "ss_base_model_version"),
        "lineage": "FLUX.2 klein 9B",
        "facts": {"network_module": "lora", "network_dim": 64, "network_alpha": 64,
                  "base_version": "FLUX_KLEIN_9B", "extraction_method": "svd_diff"},
    },
    "inspector_tag_frequency_0": {
        "tags": {"1girl": 1.0, "breasts": 0.9333, "black hair": 0.2167},
        "facts": {"trainer": "sd-scripts"},
    },
    "inspector_tag_frequency_1": {
        "tags": {"1girl": 0.9375, "smile": 0.625, "anime style": 0.0625},
        "facts": {"trainer": "sd-scripts"},
    },
    "sd1_kohya_boo": {
        "words": [("cp-ede", "ss_training_comment", "high")],
        "claim": ("sd1", "ss_sd_model_name"),
        "lineage": "Stable Diffusion 1.5",
        "facts": {"trainer": "sd-scripts", "base_model": "v1-5-pruned-emaonly.ckpt",
                  "steps": 20_000, "epochs": 1, "batch_size": 1, "gradient_accumulation": 1,
                  "unet_learning_rate": 1, "text_encoder_learning_rate": 0.5,
                  "optimizer": "dadaptation.dadapt_adam.DAdaptAdam", "scheduler": "cosine",
                  "network_module": "kohya-ss/lora", "network_dim": 4, "network_alpha": 4,
                  "images_with_repeats": 30_300, "warmup_steps": 10, "seed": 42, "clip_skip": 1,
                  "precision": "fp16", "noise_offset": -0.1,
                  "commit": "b612d0b091213f39f4864b4cfe63a44f1e1974d7",
                  "comment": "dimension is resized from 128 to 4; Trained by: rockerBOO. "
                  "Identifier: cp-ede Class: anime Learning Rate: 1.0, Batch Size: 1, Gradient "
                  "Accumulation Steps: 1",
                  "base_model_hash":
                  "74b62bfc40e092a456de76ff3280ea6eb8e88d542d9cf7977eedc59731fcfe16",
                  "started_at": "2023-02-20T09:22:16+00:00"},
    },
    "sd1_kohya_trina": {
        "words": [("trina", "ss_tag_frequency", "medium")],
        "tags": {"black hair": 0.7692, "looking at viewer": 0.2692, "hands on hips": 0.0385},
        "facts": {"trainer": "sd-scripts", "network_module": "networks.lora"},
    },
    "sd1_traintrain_lighthouse": {
        "words": [("lighthouse", "ss_tag_frequency", "medium")],
        "claim": ("sd1", "ss_base_model_version"),
        "facts": {"trainer": "traintrain", "steps": 1_000, "learning_rate": 0.0001,
                  "optimizer": "adamw", "scheduler": "cosine", "network_module": "network.lora",
                  "network_dim": 16, "network_alpha": 8, "seed": 1_455_287_774,
                  "min_snr_gamma": 5, "warmup_steps": 0, "precision": "torch.float32",
                  "output_name": "LighthouseConceptLora", "base_version": "sd_v1",
                  "started_at": "2024-09-18T06:07:54+00:00"},
    },
    "sdxl_kohya_pixel_art_xl": {
        "claim": ("sdxl", "ss_base_model_version"),
        "lineage": "SDXL 0.9",
        "facts": {"trainer": "sd-scripts", "base_model": "sd_xl_base_0.9.safetensors",
                  "network_module": "networks.lora", "network_dim": 32, "network_alpha": 32,
                  "base_version": "sdxl_base_v0-9"},
    },
    "sdxl_lcm_lora_wrong_dim": {
        "claim": ("sdxl", "ss_base_model_version"),
        "facts": {"trainer": "sd-scripts", "network_module": "networks.lora", "network_dim": 1,
                  "network_alpha": 1, "base_version": "sdxl_base_v1-0"},
    },
    "sdxl_pony_kohya_pepper_carrot": {
        "tags": {"1girl": 0.9412, "brown hair": 0.7353, "hat": 0.6176, "solo": 0.6176,
                 "open mouth": 0.451},
        "claim": ("sdxl", "ss_base_model_version"),
        "lineage": "Pony Diffusion V6 XL",
        "facts": {"trainer": "sd-scripts", "base_model": "290640.safetensors", "steps": 444,
                  "max_steps": 740, "epochs": 6, "max_epochs": 10, "images": 102, "repeats": 2,
                  "images_with_repeats": 204, "regularisation_images": 0,
                  "resolution": [1024, 1024], "batch_size": 5, "gradient_accumulation": 1,
                  "learning_rate": 1, "unet_learning_rate": 1, "text_encoder_learning_rate": 1,
                  "optimizer": "prodigyopt.prodigy.Prodigy",
                  "optimizer_args": {"decouple": True, "weight_decay": 0.5,
                                     "betas": "(0.9, 0.99)", "use_bias_correction": False},
                  "scheduler": "cosine", "warmup_steps": 0, "network_module": "networks.lora",
                  "network_dim": 32, "network_alpha": 32, "seed": 431_671_283, "clip_skip": 2,
                  "max_token_length": 225, "noise_offset": 0.03, "min_snr_gamma": 5,
                  "multires_noise_iterations": 6, "multires_noise_discount": 0.3,
                  "max_grad_norm": 1, "prior_loss_weight": 1, "caption_dropout": 0,
                  "caption_tag_dropout": 0, "shuffle_caption": True,
                  "gradient_checkpointing": True, "precision": "bf16",
                  "prediction_type": "epsilon", "base_version": "sdxl_base_v1-0",
                  "base_model_hash":
                  "67ab2fd8ec439a89b3fedb15cc65f54336af163c7eb5e4f2acc98f090a29b0b3",
                  "commit": "f9317052edb4ab3b3c531ac3b28825ee78b4a966",
                  "output_name": "Pepper__Carrot", "started_at": "2024-09-11T15:01:48+00:00",
                  "finished_at": "2024-09-11T15:17:43+00:00", "duration_s": 955,
                  "date": "2024-09-11T15:17:43"},
    },
    "wan_musubi_sample_t2v": {
        "claim": ("wan", "ss_network_module"),
        "facts": {"trainer": "musubi-tuner", "repeats": 5, "resolution": [768, 512],
                  "batch_size": 1, "network_module": "networks.lora_wan", "network_dim": 32,
                  "network_alpha": 1},
    },
    "zimage_aitoolkit_lokr_fdpo": {
        "claim": ("z_image", "ss_base_model_version"),
        "facts": {"trainer": "ai-toolkit", "steps": 290, "epochs": 0, "base_version": "zimage",
                  "output_name": "zit_fdpo_a90"},
    },
    "zimage_aitoolkit_lokr_sda": {
        "claim": ("z_image", "ss_base_model_version"),
        "facts": {"trainer": "ai-toolkit", "base_version": "zimage",
                  "output_name": "zit_sft_div_28"},
    },
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(STEMS & RIGHT.keys()))
def test_what_is_right_for_a_published_header(name: str) -> None:
    right = RIGHT[name]
    metadata = reference.metadata_of(reference.load(FOLDER, name))
    tags = tag_shares(metadata)
    words = trigger_words(metadata, tags)
    assert [(word.text, word.source, word.confidence) for word in words] == right.get("words", [])
    told = right.get("tags", {})
    common = [(tag.text, tag.share) for tag in common_tags(tags, words)]
    assert common[: len(told)] == list(told.items())
    assert bool(common) == bool(told)
    claims = claims_of(metadata)
    first = claims.first and (claims.first.family, claims.first.source)
    assert (first, claims.lineage) == (right.get("claim"), right.get("lineage"))
    assert training_facts(metadata) == right["facts"]
    assert recommended_strength(metadata) is None


# Method, rank, alpha and base model; below them, the configurations that say so.
CONFIGURATIONS = """
LORA 8 16 distilbert-base-uncased
    llm:distilbert_emotion
LORA 8 8 gpt2
    llm:gpt2_seqcls
ADALORA 8 8 -
    llama:adalora~rank32
ADAMSS 100 - -
    llama:adamss~rank32
ADAPTION_PROMPT - - -
    llama:adaptionprompt~lr_0_0005 llama:adaptionprompt~lr_5e_3
BEFT - - -
    llama:beft~target_v_proj
BOFT - - -
    llama:boft~default klein:boft~default
C3A - - -
    llama:c3a~default klein:c3a~default
DEFT 32 128 -
    llama:deft~rank32
DEFT 32 - -
    llama:deft~rank32_para klein:deft~default klein:deft~para
DELORA 32 - -
    llama:delora~rank32 klein:delora~default
FOURIERFT - - -
    llama:fourierft~default llama:fourierft~n_frequency_5000 klein:fourierft~default
FROD - - -
    llama:frod~default llama:frod~sparse0_02_lr_0_001 klein:frod~default
GLORA 8 - -
    llama:glora~default llama:glora~vector_paths
GRALORA 32 64 -
    llama:gralora~rank32
HIRA 32 - -
    llama:hira~rank32_lr4_5e_3
IA3 - - -
    llama:ia3~all_attn_5k_lr0_005 llama:ia3~default llama:ia3~lr_0_001 klein:ia3~default
LILY 140 - -
    llama:lily~rank140_mlp_a2_b2_s8_0
LILY 896 - -
    llama:lily~rank896_a2_b2_s2_0
LN_TUNING - - -
    llama:ln_tuning~default klein:ln_tuning~default
LOHA 32 64 -
    llama:loha~rank32
LOKR 32 64 -
    llama:lokr~rank32_factor4_lr0_003
LORA 10 20 -
    llama:lora~rank10_target_mlp
LORA 14 28 -
    llama:lora~rank14_target_mlp_bdlora
LORA 32 64 -
    llama:lora~rank32 llama:lora~rank32_dora llama:lora~rank32_kasa
    llama:lora~rank32_lorafa llama:lora~rank32_mica llama:lora~rank32_riemannian
LORA 64 128 -
    llama:lora~rank64
LORA 64 64 -
    llama:lora~rank64_rslora
MISS 64 - -
    llama:miss~bat llama:miss~default llama:miss~mini
OFT 32 - -
    llama:oft~rank32
OSF - - meta-llama/Llama-3.2-3B
    llama:osf~rank128
PEANUT 1 - -
    llama:peanut~rank1_relu_depth0_s32_0
PEANUT 32 - -
    llama:peanut~rank32_relu_depth0_s2_0 klein:peanut~default
PREFIX_TUNING - - -
    llama:prefixtuning~lr_0_001 llama:prefixtuning~lr_0_005_zero_init
    llama:prefixtuning~tokens50_init_prefix_lr_0_005
PROMPT_TUNING - - -
    llama:prompt_tuning~default llama:prompt_tuning~lr_0_001
    llama:prompt_tuning~sample_vocab_lr_0_001
PSOFT 256 - -
    llama:psoft~default llama:psoft~fast
P_TUNING - - -
    llama:ptuning~default
PVERA 256 - -
    llama:pvera~default
PVERA 64 - -
    llama:pvera~rank64
RANDLORA 32 - -
    llama:randlora~default klein:randlora~default
ROAD - - -
    llama:road~lr_0_001 klein:road~default
SHIRA 32 - -
    llama:shira~lr_0_0003_random_seed_42 klein:shira~default
SUPERTUNING - - -
    llama:supertuning~s974_topk llama:supertuning~s9935_bottomk
    llama:supertuning~s9935_topk
SUPERTUNING 32 64 -
    llama:supertuning~s99_supra_r32
SUPERTUNING 8 16 -
    llama:supertuning~s99_supra_r8
TINYLORA 2 - -
    llama:tinylora~default llama:tinylora~weight_tying
TRAINABLE_TOKENS - - -
    llama:trainable_tokens~sos_eos
UNILORA 32 - -
    llama:unilora~default
VBLORA 4 - -
    llama:vblora~bank1024_lr5e4 llama:vblora~default
VERA 256 - -
    llama:vera~default
WAVEFT - - -
    llama:waveft~n_frequency_5000 klein:waveft~default
ADALORA 8 32 -
    klein:adalora~default
LORA 64 64 black-forest-labs/FLUX.2-klein-base-4B
    klein:dora~rank64 klein:lora~rank64 klein:lora~rank64_kasa
GLORA 32 - -
    klein:glora~default
GRALORA 32 32 -
    klein:gralora~default
HRA 32 - -
    klein:hra~default
LILY 32 - -
    klein:lily~default
LOHA 32 32 -
    klein:loha~default
LOKR 32 32 -
    klein:lokr~lr1e_3
LORA 32 32 black-forest-labs/FLUX.2-klein-base-4B
    klein:lora~default
MISS 32 - -
    klein:miss~default
OFT 0 - -
    klein:oft~default
OSF - - -
    klein:osf~default
PSOFT 32 - -
    klein:psoft~default
PVERA 32 - -
    klein:pvera~default
VBLORA 32 - -
    klein:vblora~default
VERA 32 - -
    klein:vera~default
LORA 8 16 -
    text:lora_lora_r8
"""
FOLDERS = {
    "llama": "peft_cfg__MetaMathQA_experiments_",
    "klein": "peft_cfg__image_gen_experiments_",
    "text": "peft_cfg__text_generation_benchmark_experiments_",
    "llm": "llm_peft_",
}
MODELS = {"llama": "_llama_3_2_3B_", "klein": "_flux2_klein_", "text": "_", "llm": "_"}
DORA = {
    "peft_cfg__MetaMathQA_experiments_lora_llama_3_2_3B_rank32_dora",
    "peft_cfg__image_gen_experiments_dora_flux2_klein_rank64",
}
FAMILIES = {
    "black-forest-labs/FLUX.2-klein-base-4B": ("flux2_klein_4b", "FLUX.2 klein 4B base"),
    "distilbert-base-uncased": ("distilbert", "distilbert-base-uncased"),
    "gpt2": ("gpt2", "gpt2"),
    "meta-llama/Llama-3.2-3B": ("llama32_3b", "meta-llama/Llama-3.2-3B"),
}


def _rows() -> list[tuple[str, tuple[str, int | None, int | None, str | None]]]:
    """Stem of the file and what is right for it."""
    rows = []
    right: tuple[str, int | None, int | None, str | None] = ("", None, None, None)
    for line in CONFIGURATIONS.strip().splitlines():
        if not line.startswith(" "):
            method, rank, alpha, base = line.split()
            numbers = [None if part == "-" else int(part) for part in (rank, alpha)]
            right = (method, numbers[0], numbers[1], None if base == "-" else base)
            continue
        for short in line.split():
            folder, _, name = short.partition(":")
            stem = FOLDERS[folder] + name.replace("~", MODELS[folder], 1)
            rows.append((stem + ".adapter_config" if folder == "llm" else stem, right))
    return rows


@pytest.mark.parametrize(("stem", "right"), [row for row in _rows() if row[0] in STEMS])
def test_what_is_right_for_a_published_configuration(
    stem: str, right: tuple[str, int | None, int | None, str | None]
) -> None:
    config = AdapterConfig.parse(json.dumps(reference.load(FOLDER, stem)["metadata"]).encode())
    facts = training_facts({}, config)
    found = (config.peft_type, config.r, config.declared_alpha, config.base_model_name_or_path)
    assert found == right
    assert (facts["trainer"], facts["method"]) == ("peft", right[0])
    assert (facts.get("network_dim"), facts.get("network_alpha")) == (right[1] or None, right[2])
    assert facts.get("base_model") == right[3]
    assert facts.get("rslora", False) == stem.endswith("rslora")
    assert facts.get("dora", False) == (stem in DORA)
    claims = claims_of({}, config)
    family = None if claims.first is None else claims.first.family
    assert (family, claims.lineage) == FAMILIES.get(right[3] or "", (None, None))
    assert trigger_words({}) == ()


def test_every_file_has_one_answer() -> None:
    stems = [*RIGHT, *(stem for stem, _ in _rows())]
    assert len(stems) == len(set(stems)) == 17 + 105
