"""Headers to start from: what trainers write, put together at random from its pieces."""

from __future__ import annotations

import json
import math
from functools import cache
from typing import TYPE_CHECKING, Any

from lorary.anatomy.families import families
from lorary.anatomy.keys.tensor_names import PREFIXES, SUFFIXES
from lorary.safetensors.tensors import DTYPE_BITS

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

Entry = tuple[str, list[int]]

PREFIX_TEXTS = ("", *PREFIXES)
SUFFIX_TEXTS = (
    *SUFFIXES, ".weight", ".bias", "", ".lora_A.high.weight", "_lora.down.weight",
    ".lora.up.weight", ".processor.qkv_lora1.down.weight", ".poly_lora_A", ".osf_svd_params.S_low",
    ".lora_linear_layer.up.weight", ".adamss_A.0", ".shira_weight", ".lllite_down.0.weight",
)  # fmt: skip
FOREIGN = (
    "emb_params", "string_to_param.*", "clip_l", "lora_controlnet", "image_proj.latents",
    "ip_adapter.1.to_k_ip.weight", "control_model.input_hint_block.0.weight",
    "first_stage_model.encoder.conv_in.weight", "motion_modules.0.proj_in.weight",
    "model.diffusion_model.input_blocks.0.0.weight", "text_model.encoder.layers.0.mlp.fc1.weight",
    "lllite_unet_input_blocks_4_1.down.0.weight", "base_model.vblora_vector_bank", "__metadata__x",
    "internal_xlora_classifier.0.weight", "prompt_embeddings", "diffusion_model.txt_norm.scale",
)  # fmt: skip
SIZES = (
    0, 1, 2, 3, 4, 7, 8, 16, 32, 64, 128, 320, 640, 768, 1024, 1280, 2048, 3072, 4096, 5120, 9216,
    2**16, 2**31 - 1, 2**31, 2**32, 2**53, 2**62, 2**63, 2**64 - 1, 2**64,
)  # fmt: skip
WORDS = (
    "", "None", "null", "nan", "[]", "{}", "[[", '{"a":', "0", "-1", "1e999", "NaN", "16.0", "1e-4",
    "true", "sdxl_base_v1-0", "flux1", "networks.lora", "lycoris.kohya", "networks.dylora",
    "stable-diffusion-xl-v1-base/lora", "(1024, 1024)", "C:\\Users\\ada\\x", "/home/ada/train",
    "ada@example.com", "hf_" + "a" * 34, "<script>alert(1)</script>", "\u202e\u200b\x00", "é" * 40,
    "\U0001f600" * 9, "x" * 5_000, "@" * 300, "(" * 200, "\\" * 100, "/" * 400, "a,b;c|d\n" * 30,
    "1" * 400, "9" * 20 + "." + "9" * 20, "data:image/png;base64," + "A" * 400, "ss_" * 60,
    "2026-13-45T99:99:99", "31e35c80fc4829d14f90153f4c74cd59c90b779f6afe05a74cd6120b893f7e5b",
)  # fmt: skip
KEYS = (
    "format", "name", "software", "training_info", "version", "ot_config", "ot_branch",
    "lora_adapter_metadata", "lycoris_config", "modelspec.architecture", "modelspec.author",
    "modelspec.date", "modelspec.description", "modelspec.hash_sha256", "modelspec.implementation",
    "modelspec.license", "modelspec.lora_default_weight", "modelspec.resolution",
    "modelspec.sai_model_spec", "modelspec.tags", "modelspec.thumbnail", "modelspec.title",
    "modelspec.trigger_phrase", "modelspec.usage_hint", "ss_base_model_version", "ss_bucket_info",
    "ss_clip_skip", "ss_dataset_dirs", "ss_datasets", "ss_epoch", "ss_learning_rate",
    "ss_network_alpha", "ss_network_args", "ss_network_dim", "ss_network_module",
    "ss_new_sd_model_hash", "ss_num_train_images", "ss_output_name", "ss_resolution",
    "ss_sd_model_hash", "ss_sd_model_name", "ss_steps", "ss_tag_frequency", "ss_trained_words",
    "ss_training_comment", "ss_training_started_at", "sshs_legacy_hash", "sshs_model_hash",
    "trigger_words", "activation text", "base_model", "",
)  # fmt: skip
DTYPES = tuple(DTYPE_BITS)
FLOATS = ("F16", "BF16", "F32", "F8_E4M3")
CONFIGS = (
    b"{}",
    b"[]",
    b'{"peft_type":"LORA","r":16,"lora_alpha":8,"target_modules":["to_q"]}',
    b'{"peft_type":"LORA","r":0,"lora_alpha":1e999,"target_modules":".*attn.*","use_dora":1}',
    b'{"peft_type":"OFT","rank_pattern":{"a":"b"},"alpha_pattern":[],"target_modules":null}',
    b'{"r":[1],"base_model_name_or_path":"/home/ada/x","layers_to_transform":[0,-1,"a"]}',
)


def header(random: Random) -> dict[str, Any]:
    """A header as a trainer could have written it, its tensors laid out one after the other."""
    made: dict[str, Any] = {}
    if random.random() < 0.6:
        made["__metadata__"] = metadata(random)
    return made | layout(entries(random))


def entries(random: Random) -> dict[str, Entry]:
    """Tensors of a few modules."""
    maker = random.choice(_MAKERS)
    made: dict[str, Entry] = {}
    for _ in range(random.choice((0, 1, 1, 2, 3, 5, 8))):
        made |= maker(random)
    return made


def _pairs(random: Random) -> dict[str, Entry]:
    """Low-rank pairs on a module that a base model really has."""
    path, out, fan_in = random.choice(random.choice(_modules()))
    prefix = random.choice(PREFIX_TEXTS)
    if prefix.endswith("_"):
        path = path.replace(".", "_")
    rank, dtype = random.choice((1, 4, 8, 16, 64)), random.choice(FLOATS)
    down, up = random.choice(((".lora_down", ".lora_up"), (".lora_A", ".lora_B")))
    made: dict[str, Entry] = {
        f"{prefix}{path}{down}.weight": (dtype, [rank, fan_in]),
        f"{prefix}{path}{up}.weight": (dtype, [out, rank]),
    }
    if random.random() < 0.5:
        made[f"{prefix}{path}.alpha"] = (dtype, [])
    return made


def _pieces(random: Random) -> dict[str, Entry]:
    """One module with any suffixes and any shapes."""
    prefix, path = random.choice(PREFIX_TEXTS), _path(random)
    return {
        f"{prefix}{path}{random.choice(SUFFIX_TEXTS)}": (random.choice(DTYPES), shape(random))
        for _ in range(random.choice((1, 2, 3, 5)))
    }


def _strangers(random: Random) -> dict[str, Entry]:
    """Tensors of files that are no adapters."""
    return {
        random.choice(FOREIGN) + random.choice(("", ".0", ".weight")): (
            random.choice(DTYPES),
            shape(random),
        )
    }


_MAKERS: tuple[Callable[[Random], dict[str, Entry]], ...] = (_pairs, _pairs, _pieces, _strangers)


@cache
def _modules() -> list[list[tuple[str, int, int]]]:
    """Name, width out and width in of modules, by family and naming."""
    return [
        [(path, shape[0], math.prod(shape[1:])) for path, shape in modules.items()]
        for family in families().values()
        for modules in family.namings.values()
    ]


def _path(random: Random) -> str:
    parts = ("blocks", "0", "attn", "to_q", "transformer_blocks", "11", "ff", "net", "conv", "a")
    joint = random.choice((".", ".", "_", "..", "/", " "))
    return joint.join(random.choice(parts) for _ in range(random.choice((1, 2, 4, 7))))


def shape(random: Random) -> list[int]:
    """Mostly two small dimensions, at times something else."""
    usual = random.random() < 0.7
    sizes = SIZES[1:20] if random.random() < 0.95 else SIZES
    return [random.choice(sizes) for _ in range(2 if usual else random.choice((0, 1, 3, 4, 5)))]


def layout(tensors: dict[str, Entry]) -> dict[str, Any]:
    """Entries of a header, one tensor after the other; sizes are rounded where they must be."""
    made = {}
    place = 0
    for name, (dtype, sizes) in tensors.items():
        end = place + math.prod(sizes) * DTYPE_BITS[dtype] // 8
        made[name] = {"dtype": dtype, "shape": sizes, "data_offsets": [place, end]}
        place = end
    return made


def metadata(random: Random) -> dict[str, str]:
    """Keys that trainers write, with anything in them."""
    return {
        random.choice(KEYS): random.choice(WORDS)
        if random.random() < 0.5
        else json.dumps(value(random), ensure_ascii=random.random() < 0.5)
        for _ in range(random.choice((0, 1, 2, 4, 8)))
    }


def value(random: Random, depth: int = 0) -> Any:
    """Any JSON value, up to four levels deep."""
    kind = random.randrange(8 if depth < 4 else 5)
    if kind == 0:
        return random.choice((None, True, False, 0, -1, 7, 10**30, 1.5, 1e308))
    if kind < 5:
        return random.choice(WORDS)
    items = [value(random, depth + 1) for _ in range(random.randrange(4))]
    if kind == 5:
        return items
    names = (*KEYS, "10_ada girl", "tag_frequency", "img_count", "subsets", "class_tokens", "r")
    return {random.choice(names): item for item in items}
