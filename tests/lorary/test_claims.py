"""What metadata claims about the base model."""

from __future__ import annotations

import hashlib
import json

import pytest

from lorary.anatomy.claims.base_models import Claim, Targets, best_lineage, claims_of, covers
from lorary.anatomy.claims.config import AdapterConfig
from lorary.anatomy.claims.vocabulary import family_of_checkpoint, family_of_label

PONY = "67ab2fd8ec439a89b3fedb15cc65f54336af163c7eb5e4f2acc98f090a29b0b3"


@pytest.mark.parametrize(
    ("label", "family"),
    [
        # sd-scripts
        ("sd_v1", "sd1"), ("sd_v1_v", "sd1"), ("sd_v2", "sd2"), ("sd_v2_v", "sd2"),
        ("sdxl_base_v1-0", "sdxl"), ("sdxl_base_v0-9", "sdxl"), ("medium", "sd3"),
        ("5-medium", "sd35_medium"), ("5-large", "sd35_large"), ("5-large-turbo", "sd35_large"),
        ("flux1", "flux1"), ("chroma", "chroma"), ("lumina2", "lumina2"), ("anima", "anima"),
        ("hunyuan-image-2.1", "hunyuan_image_2_1"),
        # musubi-tuner
        ("hunyuan_video", "hunyuan_video"), ("wan", "wan"), ("framepack", "framepack"),
        ("flux_kontext", "flux1"), ("flux_2_dev", "flux2_dev"),
        ("flux_2_klein_4b", "flux2_klein_4b"), ("flux_2_klein_9b", "flux2_klein_9b"),
        ("qwen_image", "qwen_image"), ("qwen_image_edit", "qwen_image"),
        ("qwen_image_layered", "qwen_image"), ("kandinsky5", "kandinsky5"),
        ("hunyuan_video_1_5", "hunyuan_video_1_5"), ("z_image", "z_image"),
        ("hidream_o1_image", "hidream_o1"), ("ideogram4", "ideogram4"), ("krea2", "krea2"),
        # ai-toolkit
        ("sd_1.5", "sd1"), ("sd_2.1", "sd2"), ("sdxl_1.0", "sdxl"), ("flux.1", "flux1"),
        ("flux.1_kontext", "flux1"), ("flux2", "flux2"), ("flux2_klein_9b", "flux2_klein_9b"),
        ("wan_2.1", "wan"), ("wan_2.2_14b", "wan_14b"), ("wan_2.2_5b", "wan_5b"),
        ("zimage", "z_image"), ("hidream_i1", "hidream_i1"), ("ltx2", "ltx2"),
        ("ltxav", "ltx2"), ("ltxv_2b", "ltx_video"), ("LTXV-13B", "ltx_video_13b"),
        ("ltx-video-0.9.7", "ltx_video_13b"), ("sana", "sana"), ("Sana_600M", "sana_600m"),
        ("sana-video", "sana_video"),
        ("omnigen2", "omnigen2"),
        # ModelSpec, OneTrainer, SimpleTuner
        ("stable-diffusion-v1/lora", "sd1"), ("stable-diffusion-v2-768-v/lora", "sd2"),
        ("stable-diffusion-xl-v1-base/lora", "sdxl"),
        ("stable-diffusion-xl-v1-refiner/lora", "sdxl_refiner"),
        ("stable-diffusion-3/lora", "stable_diffusion_3"),
        ("stable-diffusion-3-5-large/lora", "sd35_large"),
        ("stable-diffusion-3-3-5-large/lora", "sd35_large"),
        ("Flux.1-dev/lora", "flux1"), ("Flux.2/lora", "flux2"), ("Z-Image/lora", "z_image"),
        ("Flux.2-klein-4b/lora", "flux2_klein_4b"), ("hunyuan-video/lora", "hunyuan_video"),
        ("hunyuan-video-1.5/lora", "hunyuan_video_1_5"), ("Kandinsky-5/lora", "kandinsky5"),
        ("wan-2_1-image2video-14b/lora", "wan_14b_i2v"), ("wan-2_2-ti2v-5b/lora", "wan_5b"),
        ("wan-2_1-text2video-1_3b/lora", "wan_1_3b"), ("wan2.1/lora", "wan"),
        ("anima-preview/lora", "anima"), ("lorary-miniature/lora", "miniature"),
        # extractors, and words of people
        ("FLUX_KLEIN_9B", "flux2_klein_9b"), ("sdxl_", "sdxl"), ("Pony", "sdxl"),
        ("Illustrious", "sdxl"), ("Kolors", "kolors"), ("PonyV7", "auraflow"),
        # no claims
        ("something new", None), ("", None), ("animatediff", None), ("zeta_chroma", None),
        ("x" * 120, None),
    ],
)  # fmt: skip
def test_labels_of_every_trainer_name_a_family(label: str, family: str | None) -> None:
    assert family_of_label(label) == family


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("v1-5-pruned-emaonly.ckpt", "sd1"), ("animefull-final-pruned.ckpt", "sd1"),
        ("v2-1_768-ema-pruned.safetensors", "sd2"), ("sd_xl_base_0.9.safetensors", "sdxl"),
        ("Lightricks/LTX-Video", "ltx_video"), ("ltxv-2b-0.9.8-distilled", "ltx_video"),
        ("Lightricks/LTX-Video-0.9.7-dev", "ltx_video_13b"), ("ltx-2-19b-dev", "ltx2"),
        ("ltxv-13b-0.9.8-dev.safetensors", "ltx_video_13b"),
        ("Efficient-Large-Model/Sana_600M_512px_diffusers", "sana_600m"),
        ("Efficient-Large-Model/SANA-Video_2B_480p_diffusers", "sana_video"),
        ("facebook/DiT-XL-2-256", "dit_xl"), ("EasyAnimateV5.1-12b-zh", "easyanimate"),
        ("segmind/SSD-1B", "ssd_1b"), ("Segmind-Vega.safetensors", "segmind_vega"),
        ("etri-vilab/koala-lightning-1b", "koala_1b"),
        ("MS_Flux_1d_V3.safetensors", "flux1"), ("Chroma1-HD.safetensors", "chroma"),
        ("monochromatic_v3.safetensors", None), ("anima-base-v1.0.safetensors", "anima"),
        ("animation_mix.safetensors", None), ("z_image_turbo_bf16", "z_image"),
        ("wan2.2_t2v_high_noise_14B_fp16", "wan_14b"), ("Wan-AI/Wan2.2-TI2V-5B", "wan_5b"),
        ("Wan-AI/Wan2.1-I2V-14B-720P-Diffusers", "wan_14b_i2v"),
        ("Wan-AI/Wan2.1-T2V-1.3B", "wan_1_3b"), ("sd3.5_large.safetensors", "sd35_large"),
        ("stabilityai/stable-diffusion-3.5-medium", "sd35_medium"),
        ("black-forest-labs/FLUX.2-klein-base-4B", "flux2_klein_4b"),
        ("Kwai-Kolors/Kolors-diffusers", "kolors"), ("THUDM/CogVideoX-5b", "cogvideox_5b"),
        ("meta-llama/Llama-3.2-3B", "llama32_3b"), ("meta-llama/Meta-Llama-3-8B", "llama3_8b"),
        ("Qwen/Qwen2.5-7B-Instruct", "qwen25_7b"), ("Qwen/Qwen3-0.6B", "qwen3_0_6b"),
        ("google/gemma-2-9b", "gemma2_9b"), ("mistralai/Mistral-7B-v0.1", "mistral_7b"),
        ("gpt2", "gpt2"), ("distilbert-base-uncased", "distilbert"), ("my-model", None),
    ],
)  # fmt: skip
def test_names_of_checkpoints_name_a_family(name: str, family: str | None) -> None:
    assert family_of_checkpoint(name) == family


@pytest.mark.parametrize(
    ("name", "families"),
    [
        ("ponyDiffusionV6XL.safetensors", ["sdxl"]), ("noobaiXLNAIXL_vPred10Version", ["sdxl"]),
        ("illustriousPonyMix", ["sdxl"]), ("chroma-flux1-dev", ["chroma", "flux1"]),
        ("wan2.2_t2v_high_noise_14B_fp16", ["wan_14b"]), ("wan22_mine", ["wan22"]),
        ("ponytail_v2", []), ("notPony", []),
    ],
)  # fmt: skip
def test_the_lineages_of_a_name_name_families(name: str, families: list[str]) -> None:
    config = AdapterConfig.of({"base_model_name_or_path": name})
    for found in (claims_of({"ss_sd_model_name": name}), claims_of({}, config)):
        told = [found.first, *found.others] if found.first else []
        assert [claim.family for claim in told if claim] == families


@pytest.mark.parametrize(
    ("module", "family"),
    [
        ("networks.lora_wan", "wan"),
        ("networks.lora_framepack", "framepack"),
        ("networks.lora_flux", "flux"),
        ("networks.lora_flux_2", "flux2"),
        ("networks.lora_sd3", "stable_diffusion_3"),
    ],
)
def test_a_network_module_names_a_family_or_a_group(module: str, family: str) -> None:
    found = claims_of({"ss_network_module": module})
    assert found.first == Claim(family, "ss_network_module", module)
    assert found.is_specific


@pytest.mark.parametrize("module", ["networks.lora", "network.lora", "lycoris.kohya", "lora"])
def test_modules_for_every_model_are_no_claims(module: str) -> None:
    assert claims_of({"ss_network_module": module, "ss_v2": "False"}).first is None


def test_every_claim_is_kept_with_its_source() -> None:
    found = claims_of(
        {
            "ss_base_model_version": "sdxl_base_v1-0",
            "modelspec.architecture": "stable-diffusion-xl-v1-base/lora",
            "ss_new_sd_model_hash": PONY,
            "ss_sd_model_name": "C:\\models\\me\\290640.safetensors",
            "ss_v2": "True",
        }
    )
    assert found.first == Claim("sdxl", "ss_base_model_version", "sdxl_base_v1-0")
    assert [(claim.family, claim.source) for claim in found.others] == [
        ("sdxl", "modelspec.architecture"),
        ("sdxl", "ss_new_sd_model_hash"),
        ("sdxl", "ss_sd_model_name"),
        ("sd2", "ss_v2"),
    ]
    assert found.others[2].value == "290640.safetensors"


@pytest.mark.parametrize(
    ("metadata", "first", "specific"),
    [
        # The parent's label is written on the derived too …
        ({"ss_base_model_version": "flux1"}, "flux1", False),
        ({"ss_base_model_version": "sdxl_base_v1-0"}, "sdxl", False),
        ({"ss_base_model_version": "hunyuan_video"}, "hunyuan_video", False),
        ({"modelspec.architecture": "flux-1-dev/lora"}, "flux1", False),
        # … unless the checkpoint is known.
        ({"ss_base_model_version": "flux1", "ss_sd_model_name": "flux1-dev.sft"}, "flux1", True),
        ({"ss_base_model_version": "sdxl_", "ss_new_sd_model_hash": PONY}, "sdxl", True),
        # The derived one's label is meant, whoever writes it.
        ({"ss_base_model_version": "flux1", "modelspec.architecture": "chroma"}, "chroma", True),
        ({"ss_base_model_version": "sdxl_", "ss_sd_model_name": "Kolors.sft"}, "kolors", True),
        ({"ss_base_model_version": "sdxl_", "ss_sd_model_name": "SSD-1B.sft"}, "ssd_1b", True),
        ({"ss_network_module": "networks.lora_framepack"}, "framepack", True),
        # A family goes before the group that includes it.
        ({"ss_base_model_version": "flux2", "ss_sd_model_name": "flux-2-klein-4b.sft"},
         "flux2_klein_4b", True),
        ({"ss_network_module": "networks.lora_flux", "modelspec.architecture": "flux-1-dev"},
         "flux1", False),
        # ai-toolkit's default for models that it did not know.
        ({"ss_base_model_version": "sd_1.5", "software": '{"name": "ai-toolkit"}'}, "sd1", False),
        ({"ss_base_model_version": "sd_1.5", "software": "{}", "ss_sd_model_name": "flux1-dev"},
         "flux1", True),
        ({"ss_base_model_version": "sd_v1"}, "sd1", True),
        ({"ss_v2": "True"}, "sd2", True),
    ],
)  # fmt: skip
def test_the_claim_to_trust_most_comes_first(
    metadata: dict[str, str], first: str, specific: bool
) -> None:
    found = claims_of(metadata)
    assert found.first is not None
    assert (found.first.family, found.is_specific) == (first, specific)


@pytest.mark.parametrize(
    ("claimed", "family", "covered"),
    [
        ("sdxl", "sdxl", True),
        ("wan", "wan_5b", True),
        ("flux2", "flux2_klein", True),
        ("flux2_klein", "flux2", False),
        ("flux", "chroma", True),
        ("flux1", "chroma", False),
        ("wan_14b", "wan_14b_i2v", False),
        ("unheard of", "sdxl", False),
    ],
)
def test_a_group_covers_its_families(claimed: str, family: str, covered: bool) -> None:
    assert covers(claimed, family) == covered


@pytest.mark.parametrize(
    ("metadata", "lineage", "source"),
    [
        ({"ss_new_sd_model_hash": f"0x{PONY.upper()}"}, "Pony Diffusion V6 XL",
         "ss_new_sd_model_hash"),
        ({"ss_sd_model_hash": PONY[:10]}, "Pony Diffusion V6 XL", "ss_sd_model_hash"),
        ({"ss_sd_model_hash": "e577480d"}, "Pony Diffusion V6 XL", "ss_sd_model_hash"),
        ({"ss_sd_model_name": "/models/290640.safetensors"}, "Pony Diffusion V6 XL",
         "ss_sd_model_name"),
        ({"ss_sd_model_name": "Illustrious-XL-v0.1.safetensors"}, "Illustrious",
         "ss_sd_model_name"),
        ({"modelspec.architecture": "flux-1-dev/lora"}, "FLUX.1 dev", "modelspec.architecture"),
        ({"ss_base_model_version": "flux_kontext", "modelspec.architecture": "Flux.1-dev/lora"},
         "FLUX.1 Kontext", "ss_base_model_version"),
        ({"ss_base_model_version": "wan_2.1"}, "Wan 2.1", "ss_base_model_version"),
        ({"modelspec.architecture": "wan2.1/lora"}, None, None),  # written for every Wan
        ({"ss_base_model_version": "qwen_image_edit"}, "Qwen-Image-Edit", "ss_base_model_version"),
        ({"ss_new_sd_model_hash": "IsADirectory"}, None, None),
        ({"ss_new_sd_model_hash": hashlib.sha256().hexdigest()},
         None, None),
        ({"ss_new_sd_model_hash": "0" * 64}, None, None),
        ({"ss_new_sd_model_hash": "d62fc392ecb143cfb947b2a801609e8f"}, None, None),
        ({"ss_base_model_version": "sd_1.5"}, None, None),
        ({"ss_base_model_version": "ponytail"}, None, None),
        ({"ss_sd_model_name": "illustriousPonyMix"}, "Illustrious, Pony", "ss_sd_model_name"),
        ({}, None, None),
    ],
)  # fmt: skip
def test_lineages_are_told_with_their_source(
    metadata: dict[str, str], lineage: str | None, source: str | None
) -> None:
    found = best_lineage(claims_of(metadata).lineages)
    assert found[:2] == (lineage, source)
    assert (found[2] is None) == (lineage is None)


def test_only_the_name_of_a_file_tells_wan_two_point_two() -> None:
    found = claims_of({}, None, "/home/me/Wan2.2_I2V_high_noise.safetensors")
    assert found.first is None
    source, value = "file name", "Wan2.2_I2V_high_noise.safetensors"
    assert best_lineage(found.lineages) == ("Wan 2.2", source, value)
    assert claims_of({}, None, "wand2.25.safetensors").lineages == ()


@pytest.mark.parametrize(
    ("base", "family", "lineage"),
    [
        ("meta-llama/Llama-3.2-3B", "llama32_3b", "meta-llama/Llama-3.2-3B"),
        ("gpt2", "gpt2", "gpt2"),
        ("stabilityai/stable-diffusion-xl-base-1.0", "sdxl", "SDXL 1.0"),
        ("somebody/unheard-of", None, "somebody/unheard-of"),
        ("/home/me/models/Llama-3.2-3B", "llama32_3b", None),
        ("C:\\Users\\me\\secret-model", None, None),
    ],
)
def test_a_configuration_names_the_base_model(
    base: str, family: str | None, lineage: str | None
) -> None:
    config = AdapterConfig.of({"base_model_name_or_path": base})
    found = claims_of({}, config)
    assert (found.first.family if found.first else None) == family
    assert found.lineage == lineage
    assert "/home" not in str(found)
    assert "Users" not in str(found)
    if found.first:
        assert found.first.source == "adapter_config.base_model_name_or_path"
    embedded = {"lora_adapter_metadata": json.dumps({"unet.base_model_name_or_path": base})}
    inside = claims_of(embedded)
    assert (inside.first and inside.first.family, inside.lineage) == (
        family,
        lineage,
    )


def test_the_configuration_of_onetrainer_names_the_base_model() -> None:
    settings = {"model_type": "FLUX_DEV_1", "base_model_name": "/home/me/flux1-dev.safetensors"}
    found = claims_of({"ot_config": json.dumps(settings)})
    assert found.first == Claim("flux1", "ot_config.model_type", "FLUX_DEV_1")
    assert found.others == (Claim("flux1", "ot_config.base_model_name", "flux1-dev.safetensors"),)
    assert (found.lineage, found.is_specific) == ("FLUX.1 dev", True)
    assert claims_of({"ot_config": '{"model_type": 3, "base_model_name": []}'}).first is None


@pytest.mark.parametrize(
    ("fields", "targets"),
    [
        ({"target_modules": ["to_q"]}, Targets(("to_q",), ())),
        ({"target_modules": ["to_q"], "exclude_modules": ["a"]}, Targets(("to_q",), ("a",))),
        ({"target_modules": r".*\.to_q"}, Targets(r".*\.to_q", ())),
        ({"target_modules": ["to_q"], "layers_to_transform": [1]}, None),
        ({"target_modules": ["to_q"], "exclude_modules": "a.*"}, None),
        ({"target_modules": "all-linear"}, None),
        ({"target_modules": []}, None),
        ({}, None),
    ],
)
def test_targets_are_the_denoisers(fields: dict[str, object], targets: Targets | None) -> None:
    assert claims_of({}, AdapterConfig.of(fields)).targets == targets
    inside = {f"transformer.{name}": value for name, value in fields.items()}
    inside["text_encoder.target_modules"] = ["q_proj"]
    assert claims_of({"lora_adapter_metadata": json.dumps(inside)}).targets == targets


def test_secrets_in_values_are_not_repeated() -> None:
    token = "hf_" + "a" * 34
    found = claims_of({"ss_sd_model_name": f"flux1-dev {token}", "ss_base_model_version": token})
    assert found.first is not None
    assert token not in str(found)
