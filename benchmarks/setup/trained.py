"""Headers as trainers leave them for SDXL, with everything that they write into the metadata."""

from __future__ import annotations

import json
from itertools import chain
from typing import TYPE_CHECKING

from benchmarks.setup.adapters import modules
from tests.builders.streams import SIZES
from tests.builders.weights import file_of, number

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_Tensor = tuple[str, str, tuple[int, ...]]

WORDS = (
    "hair", "eyes", "dress", "sky", "window", "light", "shadow", "hand", "ribbon", "street",
    "forest", "river", "lantern", "mountain", "jacket", "boots", "smile", "mirror", "garden",
    "tower", "cloud", "night", "morning", "harbour", "bridge", "paper", "engine", "feather",
)  # fmt: skip
SHADES = ("long", "short", "red", "blue", "golden", "dark", "pale", "wet", "old", "torn", "bright")
ENDINGS = ("", " up", " focus", " (close)", " in background")


def write_sparse(path: Path, trainer: str, *, rank: int = 16, seed: int = 0) -> int:
    """Write an adapter whose weights are holes and return its number of tensors.

    Only the alphas are really there.

    Args:
        path: Where to.
        trainer: A key of `TRAINERS`.
        rank: Of all modules.
        seed: Another one gives other tags.
    """
    tensors, metadata = TRAINERS[trainer]
    header: dict[str, object] = {"__metadata__": metadata(rank, seed)}
    place, alphas = 0, []
    for name, dtype, shape in sorted(tensors(rank)):
        end = place + SIZES[dtype] * _product(shape)
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [place, end]}
        if not shape:
            alphas.append((place, number(dtype, rank / 2)))
        place = end
    raw = json.dumps(header, separators=(",", ":"), ensure_ascii=False)  # as the library does
    with path.open("wb") as file:
        start = file.write(file_of(raw.encode()))
        for at, value in alphas:
            file.seek(start + at)
            file.write(value)
        file.truncate(start + place)
    return len(header) - 1


def _product(shape: Iterable[int]) -> int:
    total = 1
    for length in shape:
        total *= length
    return total


def _kohya_tensors(rank: int) -> Iterator[_Tensor]:
    for name, wide, out in modules():
        yield f"lora_unet_{name}.alpha", "F16", ()
        yield f"lora_unet_{name}.lora_down.weight", "F16", (rank, wide)
        yield f"lora_unet_{name}.lora_up.weight", "F16", (out, rank)


def _diffusers_tensors(rank: int) -> Iterator[_Tensor]:
    places = chain(
        _blocks(),
        _encoder("text_encoder", depth=12, width=768),
        _encoder("text_encoder_2", depth=32, width=1280),
    )
    for name, wide, out in places:
        yield f"{name}.lora_A.weight", "BF16", (rank, wide)
        yield f"{name}.lora_B.weight", "BF16", (out, rank)


def _blocks() -> Iterator[tuple[str, int, int]]:
    """Yield module, width in, width out, in the names of diffusers."""
    stacks = (
        *((f"down_blocks.1.attentions.{n}", 640, 2) for n in range(2)),
        *((f"down_blocks.2.attentions.{n}", 1280, 10) for n in range(2)),
        ("mid_block.attentions.0", 1280, 10),
        *((f"up_blocks.0.attentions.{n}", 1280, 10) for n in range(3)),
        *((f"up_blocks.1.attentions.{n}", 640, 2) for n in range(3)),
    )
    for place, width, depth in stacks:
        yield f"unet.{place}.proj_in", width, width
        yield f"unet.{place}.proj_out", width, width
        for index in range(depth):
            block = f"unet.{place}.transformer_blocks.{index}"
            for layer in ("to_q", "to_k", "to_v", "to_out.0"):
                context = 2048 if layer in {"to_k", "to_v"} else width
                yield f"{block}.attn1.{layer}", width, width
                yield f"{block}.attn2.{layer}", context, width
            yield f"{block}.ff.net.0.proj", width, 8 * width
            yield f"{block}.ff.net.2", 4 * width, width


def _encoder(part: str, *, depth: int, width: int) -> Iterator[tuple[str, int, int]]:
    for index in range(depth):
        layer = f"{part}.text_model.encoder.layers.{index}"
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            yield f"{layer}.self_attn.{name}", width, width
        yield f"{layer}.mlp.fc1", width, 4 * width
        yield f"{layer}.mlp.fc2", 4 * width, width


def _tags(seed: int, count: int = 1_100) -> dict[str, int]:
    texts = (f"{shade} {word}{end}" for end in ENDINGS for word in WORDS for shade in SHADES)
    chosen = {text: 1 + (seed + 7919 * place) % 97 for place, text in enumerate(texts)}
    return {"noirgirl": 120} | dict(list(chosen.items())[:count])


def _kohya_metadata(rank: int, seed: int) -> dict[str, str]:
    tags = _tags(seed)
    buckets = {
        str(n): {"resolution": [640 + 64 * n, 1408 - 64 * n], "count": 3 + n} for n in range(12)
    }
    subset = {
        "img_count": 120, "num_repeats": 10, "color_aug": False, "flip_aug": False,
        "random_crop": False, "shuffle_caption": True, "keep_tokens": 1, "image_dir": "10_noirgirl",
        "class_tokens": "noirgirl", "is_reg": False, "caption_dropout_rate": 0.05,
    }  # fmt: skip
    dataset = {
        "is_dreambooth": True, "batch_size_per_device": 4, "num_train_images": 1200,
        "num_reg_images": 0, "resolution": [1024, 1024], "enable_bucket": True,
        "min_bucket_reso": 256, "max_bucket_reso": 2048, "bucket_info": {"buckets": buckets},
        "tag_frequency": {"10_noirgirl": dict(list(tags.items())[:600])}, "subsets": [subset],
    }  # fmt: skip
    plain: dict[str, str] = {
        f"ss_{name}": "None"
        for name in (
            "adaptive_noise_scale", "caption_dropout_every_n_epochs", "face_crop_aug_range",
            "huber_c", "huber_schedule", "ip_noise_gamma", "loss_type", "lowram", "max_bucket_reso",
            "max_validation_steps", "min_snr_gamma", "multires_noise_discount", "new_vae_hash",
            "noise_offset_random_strength", "num_reg_images", "optimizer_args", "prior_loss_weight",
            "scale_weight_norms", "training_comment", "vae_hash", "vae_name", "zero_terminal_snr",
        )
    }  # fmt: skip
    return plain | {
        "modelspec.architecture": "stable-diffusion-xl-v1-base/lora",
        "modelspec.date": "2026-03-01T10:00:00",
        "modelspec.encoder_layer": "1",
        "modelspec.implementation": "https://github.com/Stability-AI/generative-models",
        "modelspec.prediction_type": "epsilon",
        "modelspec.resolution": "1024x1024",
        "modelspec.sai_model_spec": "1.0.0",
        "modelspec.title": "noir girl",
        "ss_base_model_version": "sdxl_base_v1-0",
        "ss_batch_size_per_device": "4",
        "ss_bucket_info": json.dumps({"buckets": buckets, "mean_img_ar_error": 0.02}),
        "ss_clip_skip": "None",
        "ss_dataset_dirs": json.dumps({"10_noirgirl": {"n_repeats": 10, "img_count": 120}}),
        "ss_datasets": json.dumps([dataset]),
        "ss_epoch": "10",
        "ss_learning_rate": "0.0001",
        "ss_lr_scheduler": "cosine",
        "ss_max_train_steps": "3000",
        "ss_mixed_precision": "bf16",
        "ss_network_alpha": str(rank / 2),
        "ss_network_args": json.dumps({"dropout": "0.1"}),
        "ss_network_dim": str(rank),
        "ss_network_module": "networks.lora",
        "ss_new_sd_model_hash": "31e35c80fc4829d14f90153f4c74cd59c90b779f6afe05a74cd6120b893f7e5b",
        "ss_num_batches_per_epoch": "300",
        "ss_num_epochs": "10",
        "ss_num_train_images": "1200",
        "ss_optimizer": "bitsandbytes.optim.adamw.AdamW8bit(weight_decay=0.01)",
        "ss_output_name": "noir",
        "ss_resolution": "(1024, 1024)",
        "ss_sd_model_hash": "e6bb9ea8",
        "ss_sd_model_name": "sd_xl_base_1.0.safetensors",
        "ss_sd_scripts_commit_hash": "3a8ff3a4d1d5f3b2f1c1e1e5d6f7a8b9c0d1e2f3",
        "ss_seed": str(42 + seed),
        "ss_steps": "3000",
        "ss_tag_frequency": json.dumps({"10_noirgirl": tags}),
        "ss_text_encoder_lr": "0.0",
        "ss_training_finished_at": "1772359200.5",
        "ss_training_started_at": "1772352000.5",
        "ss_unet_lr": "0.0001",
        "sshs_legacy_hash": "0a1b2c3d",
        "sshs_model_hash": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    }


def _diffusers_metadata(rank: int, seed: int) -> dict[str, str]:
    settings: dict[str, object] = {
        "alpha_pattern": {}, "auto_mapping": None, "base_model_name_or_path": None,
        "bias": "none", "init_lora_weights": "gaussian", "lora_alpha": rank // 2,
        "lora_dropout": 0.0, "peft_type": "LORA", "r": rank, "rank_pattern": {},
        "revision": None, "target_modules": ["to_k", "to_out.0", "to_q", "to_v"],
        "use_dora": False, "use_rslora": False,
    }  # fmt: skip
    parts = ("unet", "text_encoder", "text_encoder_2")
    packed = {f"{part}.{name}": value for part in parts for name, value in settings.items()}
    return {"format": "pt", "seed": str(seed), "lora_adapter_metadata": json.dumps(packed)}


TRAINERS = {
    "kohya": (_kohya_tensors, _kohya_metadata),
    "diffusers": (_diffusers_tensors, _diffusers_metadata),
}
"""Trainer to what gives its tensors (by rank) and its metadata (by rank and seed)."""
