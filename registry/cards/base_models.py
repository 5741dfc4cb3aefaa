"""Base models and pipelines of a README, by their names on the Hugging Face Hub.

A family is an architecture; a repo on the Hub is a checkpoint of it. The base model of an adapter
is the repo of its lineage, or else the first one of its family.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from lorary.anatomy import FAMILIES

#: Family → repo of its first checkpoint.
BY_FAMILY: Mapping[str, str] = {
    "auraflow": "fal/AuraFlow",
    "chroma": "lodestones/Chroma1-HD",
    "cogvideox_2b": "zai-org/CogVideoX-2b",
    "cogvideox_5b": "zai-org/CogVideoX-5b",
    "cogview4": "zai-org/CogView4-6B",
    "flux1": "black-forest-labs/FLUX.1-dev",
    "flux2_dev": "black-forest-labs/FLUX.2-dev",
    "flux2_klein_4b": "black-forest-labs/FLUX.2-klein-4B",
    "flux2_klein_9b": "black-forest-labs/FLUX.2-klein-9B",
    "hidream_i1": "HiDream-ai/HiDream-I1-Full",
    "hunyuan_dit": "Tencent-Hunyuan/HunyuanDiT-v1.2-Diffusers",
    "hunyuan_video": "hunyuanvideo-community/HunyuanVideo",
    "kolors": "Kwai-Kolors/Kolors-diffusers",
    "ltx_video": "Lightricks/LTX-Video",
    "ltx_video_13b": "Lightricks/LTX-Video-0.9.7-dev",
    "lumina2": "Alpha-VLLM/Lumina-Image-2.0",
    "mochi": "genmo/mochi-1-preview",
    "pixart": "PixArt-alpha/PixArt-XL-2-1024-MS",
    "qwen_image": "Qwen/Qwen-Image",
    "sana": "Efficient-Large-Model/Sana_1600M_1024px_diffusers",
    "sana_600m": "Efficient-Large-Model/Sana_600M_1024px_diffusers",
    "sd1": "stable-diffusion-v1-5/stable-diffusion-v1-5",
    "sd2": "stabilityai/stable-diffusion-2-1",
    "sd3": "stabilityai/stable-diffusion-3-medium-diffusers",
    "sd35_large": "stabilityai/stable-diffusion-3.5-large",
    "sd35_medium": "stabilityai/stable-diffusion-3.5-medium",
    "sdxl": "stabilityai/stable-diffusion-xl-base-1.0",
    "sdxl_refiner": "stabilityai/stable-diffusion-xl-refiner-1.0",
    "segmind_vega": "segmind/Segmind-Vega",
    "ssd_1b": "segmind/SSD-1B",
    "wan_14b": "Wan-AI/Wan2.1-T2V-14B-Diffusers",
    "wan_14b_i2v": "Wan-AI/Wan2.1-I2V-14B-480P-Diffusers",
    "wan_1_3b": "Wan-AI/Wan2.1-T2V-1.3B-Diffusers",
    "wan_5b": "Wan-AI/Wan2.2-TI2V-5B-Diffusers",
    "z_image": "Tongyi-MAI/Z-Image-Turbo",
}

#: Family and lineage → repo, if it differs from the family's.
BY_LINEAGE: Mapping[tuple[str, str], str] = {
    ("flux1", "FLUX.1 Fill"): "black-forest-labs/FLUX.1-Fill-dev",
    ("flux1", "FLUX.1 Kontext"): "black-forest-labs/FLUX.1-Kontext-dev",
    ("flux1", "FLUX.1 Krea"): "black-forest-labs/FLUX.1-Krea-dev",
    ("flux1", "FLUX.1 schnell"): "black-forest-labs/FLUX.1-schnell",
    ("flux2_klein_4b", "FLUX.2 klein 4B base"): "black-forest-labs/FLUX.2-klein-base-4B",
    ("flux2_klein_9b", "FLUX.2 klein 9B base"): "black-forest-labs/FLUX.2-klein-base-9B",
    ("qwen_image", "Qwen-Image-Edit"): "Qwen/Qwen-Image-Edit",
    ("sdxl", "Illustrious"): "OnomaAIResearch/Illustrious-xl-early-release-v0",
    ("wan_14b", "Wan 2.2"): "Wan-AI/Wan2.2-T2V-A14B-Diffusers",
    ("wan_14b", "Wan 2.2 T2V A14B"): "Wan-AI/Wan2.2-T2V-A14B-Diffusers",
    ("z_image", "Z-Image"): "Tongyi-MAI/Z-Image",
}

Medium = Literal["picture", "video", "sound"]

#: Prefixes of ids of families that do not make pictures.
_VIDEO = ("wan", "hunyuan_video", "framepack", "ltx", "mochi", "cogvideo", "easyanimate",
          "kandinsky5", "kandinsky6", "sana_video", "cosmos_7b", "cosmos_14b", "consisid",
          "animatediff", "stable_video_diffusion")  # fmt: skip
_SOUND = ("stable_audio", "ace_step")
_VIDEO_EXCEPTIONS = ("kandinsky5_img",)

PIPELINES = {"picture": "text-to-image", "video": "text-to-video", "sound": "text-to-audio"}

#: Families whose input is a picture.
_FROM_IMAGE = {"wan_14b_i2v": "image-to-video", "framepack": "image-to-video"}


def base_model(family: str, lineage: str = "") -> str:
    """Return the repo of the base model on the Hub; "" if unknown."""
    return BY_LINEAGE.get((family, lineage)) or BY_FAMILY.get(family, "")


def lineages_for(repo: str) -> list[str]:
    """Return the lineages whose base model is a repo."""
    return [key[1] for key, one in BY_LINEAGE.items() if one.casefold() == repo.casefold()]


def families_for(repo: str) -> list[str]:
    """Return the families whose base model is a repo."""
    return [family for family, one in BY_FAMILY.items() if one.casefold() == repo.casefold()]


def medium_of(family: str) -> Medium:
    """Return the medium of a family; pictures by default."""
    if family.startswith(_SOUND):
        return "sound"
    is_video = family.startswith(_VIDEO) and not family.startswith(_VIDEO_EXCEPTIONS)
    return "video" if is_video else "picture"


def pipeline_of(family: str) -> str:
    """Return the Hub's ``pipeline_tag`` of a family."""
    return _FROM_IMAGE.get(family) or PIPELINES[medium_of(family)]


def families_doing(pipeline: str) -> list[str]:
    """Return the families of a ``pipeline_tag``; "" (no family) makes pictures."""
    return [family for family in ("", *FAMILIES) if pipeline_of(family) == pipeline]
