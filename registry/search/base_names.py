"""Common names of base models for searches: titles, ids and usual short names."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from lorary.anatomy import family_title

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Family to further names; its id and title are always searched.
_FAMILIES: Mapping[str, str] = {
    "sd1": "SD 1.5, SD1.5, SD15, SD 1.x, Stable Diffusion 1.5",
    "sd2": "SD 2.1, SD2.1, SD21, SD 2.x, Stable Diffusion 2.1",
    "sdxl": "SDXL 1.0, SD XL",
    "sdxl_refiner": "Stable Diffusion XL refiner",
    "sd3": "SD 3, Stable Diffusion 3",
    "sd35_medium": "SD 3.5 medium, SD3.5, SD35M",
    "sd35_large": "SD 3.5 large, SD3.5, SD35L",
    "flux1": "FLUX, Flux.1, Flux 1, FLUX dev",
    "flux2_dev": "FLUX 2, Flux2",
    "flux2_klein_4b": "FLUX 2, Flux2 klein",
    "flux2_klein_9b": "FLUX 2, Flux2 klein",
    "flux3_klein": "FLUX 3, Flux3 klein",
    "hunyuan_video": "Hunyuan Video",
    "hunyuan_video_1_5": "Hunyuan Video 1.5",
    "hunyuan_image_2_1": "Hunyuan Image 2.1",
    "qwen_image": "Qwen Image, Qwen",
    "z_image": "Z Image, ZImage",
    "wan_1_3b": "Wan 2.1, Wan2.1, Wan video",
    "wan_14b": "Wan 2.1, Wan 2.2, Wan2.1, Wan2.2, Wan video, text-to-video, T2V",
    "wan_14b_i2v": "Wan 2.1, Wan2.1, Wan video, I2V",
    "wan_animate": "Wan 2.2, Wan2.2, Wan video, animate",
    "wan_vace_14b": "Wan 2.1, Wan2.1, Wan video, VACE",
    "wan_vace_1_3b": "Wan 2.1, Wan2.1, Wan video, VACE",
    "wan_5b": "Wan 2.2, Wan2.2, Wan video, TI2V",
    "ltx2_3": "LTX 2.3, LTX 2.5, LTX2",
    "ltx_video": "LTXV, LTX Video",
    "ltx_video_13b": "LTXV, LTX Video",
    "pixart": "PixArt alpha, PixArt sigma",
    "cogvideox_2b": "CogVideo",
    "cogvideox_5b": "CogVideo",
}

#: Part of a lineage, in lower case, to further names.
_LINEAGES: Mapping[str, str] = {
    "pony": "Pony, PonyXL, Pony Diffusion, PDXL",
    "illustrious": "Illustrious, IllustriousXL, ILXL",
    "noob": "NoobAI, NoobAI XL",
    "animagine": "Animagine XL",
    "schnell": "FLUX schnell, Flux.1 S",
    "kontext": "FLUX Kontext",
    "krea": "FLUX Krea",
}


@cache
def names_of(family: str, lineage: str) -> tuple[str, ...]:
    """Return all names of a base model."""
    found = [family, family_title(family), _FAMILIES.get(family, "")] if family else []
    if lineage:
        folded = lineage.casefold()
        found += [lineage, *(more for part, more in _LINEAGES.items() if part in folded)]
    return tuple(name for text in found for name in text.split(", ") if name)
