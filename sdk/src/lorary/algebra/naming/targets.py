"""How each target spells modules and tensors.

    kohya      lora_unet_double_blocks_0_img_attn_qkv.lora_down.weight  + .alpha
    comfyui    diffusion_model.double_blocks.0.img_attn.qkv.lora_A.weight  + .alpha
    diffusers  transformer.transformer_blocks.0.attn.to_q.lora_A.weight
    peft       base_model.model.transformer_blocks.0.attn.to_q.lora_A.weight

Sources: kohya's sd-scripts and musubi-tuner (`networks/lora*.py`), ComfyUI's `comfy/lora.py`,
diffusers' `loaders/lora_pipeline.py`, PEFT's `utils/save_and_load.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from lorary.algebra.naming.relations import FamilyNames, Pieces

TARGETS = ("kohya", "peft", "diffusers", "comfyui")
"""The namings that files are converted to."""

ALIASES = {"original": "comfyui"}

_BY_CONVENTION: Mapping[str, str] = {
    "kohya": "kohya", "kohya_diffusers_blocks": "kohya", "kohya_sgm_blocks": "kohya",
    "onetrainer_legacy": "kohya", "simpletuner_lycoris": "kohya",
    "bare_native": "comfyui", "comfyui_diffusion_model": "comfyui", "omi": "comfyui",
    "xlabs": "comfyui",
    "peft": "peft",
}  # fmt: skip
_KOHYA_LIKE = frozenset({"kohya", "comfyui"})
_PEFT = {"down": ".lora_A.weight", "up": ".lora_B.weight"}
_KOHYA = {"down": ".lora_down.weight", "up": ".lora_up.weight", "mid": ".lora_mid.weight"}
_SUFFIXES: Mapping[str, Mapping[str, str]] = {
    "kohya": {**_KOHYA, "alpha": ".alpha", "magnitude": ".dora_scale"},
    "comfyui": {**_PEFT, "alpha": ".alpha", "magnitude": ".dora_scale"},
    "diffusers": {
        **_PEFT, "magnitude": ".lora_magnitude_vector", "up_bias": ".lora_B.bias",
    },
    "peft": {
        **_PEFT, "magnitude": ".lora_magnitude_vector", "up_bias": ".lora_B.bias",
        "embedding_down": ".lora_embedding_A", "embedding_up": ".lora_embedding_B",
    },
}  # fmt: skip

# The text encoders of ComfyUI's checkpoints, and the level around their modules.
_COMFYUI_ENCODERS = {
    "clip_l": "clip_l.transformer.",
    "clip_g": "clip_g.transformer.",
    "clip_h": "clip_h.transformer.",
    "t5_xxl": "t5xxl.transformer.",
    "qwen3_0_6b": "qwen3_06b.transformer.model.",
    "gemma2_2b": "gemma2_2b.transformer.model.",
}
_KOHYA_ENCODERS = {
    "text_encoder": "lora_te1_",
    "text_encoder_2": "lora_te2_",
    "text_encoder_3": "lora_te3_",
}


class Component(NamedTuple):
    """A model of a pipeline that a file adapts.

    Attributes:
        name: Its name in diffusers: `unet`, `transformer`, `text_encoder`, …
        encoder: Id of the text encoder, None for other components.
    """

    name: str
    encoder: str | None = None


def target_of(convention: str | None) -> str:
    """Return the target whose names are nearest to those of a file convention."""
    return _BY_CONVENTION.get(convention or "", "diffusers")


def is_stored_with_alpha(target: str) -> bool:
    """Return whether a target stores the alpha of each module as a tensor."""
    return target in _KOHYA_LIKE


def suffixes(target: str, roles: Mapping[str, object]) -> Mapping[str, str]:
    """Return the endings of a target's tensor names, by role.

    Args:
        roles: The roles of the module. ComfyUI reads a core only beside kohya's endings.
    """
    if target == "comfyui" and "mid" in roles:
        return _SUFFIXES["kohya"]
    return _SUFFIXES[target]


def namings_of(names: FamilyNames, target: str) -> tuple[str, ...]:
    """Return the namings of a family that a target's tools read, the one to write first.

    ComfyUI and kohya's scripts read Z-Image's projections split or fused.
    """
    known = names.namings
    if target not in _KOHYA_LIKE:
        return (names.hub,)
    if target == "kohya":
        first = names.family.kohya
    else:
        first = next((one for one in ("comfyui", "sgm", "native") if one in known), names.hub)
    return (first, "fused") if "fused" in known else (first,)


def has_encoders(names: FamilyNames, target: str, parts: Iterable[str]) -> bool:
    """Return whether a target has names for the text encoders among the parts of a file."""
    known = [names.family.text_encoders.get(part) for part in parts]
    return target != "comfyui" or all(
        not _COMFYUI_ENCODERS.keys().isdisjoint(ids) for ids in known if ids
    )


def target_path(names: FamilyNames, target: str, pieces: Pieces) -> str | None:
    """Return the module of a target that has exactly these pieces, in this order, or None."""
    for naming in namings_of(names, target):
        for path in _by_pieces(names, naming).get(pieces, ()):
            return path
    return None


def target_modules(names: FamilyNames, target: str) -> Mapping[str, Pieces]:
    """Return the modules of the naming that a target writes."""
    return names.namings.get(namings_of(names, target)[0], {})


_INDEXES: dict[tuple[str, str], Mapping[Pieces, tuple[str, ...]]] = {}


def _by_pieces(names: FamilyNames, naming: str) -> Mapping[Pieces, tuple[str, ...]]:
    key = (names.family.id, naming)
    if key not in _INDEXES:
        found: dict[Pieces, tuple[str, ...]] = {}
        for path, pieces in names.namings.get(naming, {}).items():
            found[pieces] = (*found.get(pieces, ()), path)
        _INDEXES[key] = found
    return _INDEXES[key]


def spelled(target: str, component: Component, path: str, *, is_alone: bool, is_only: bool) -> str:
    """Return a module's name in a file of a target.

    Args:
        path: Dotted name in the component.
        is_alone: The file adapts no other component.
        is_only: The family has no other text encoder.

    Raises:
        KeyError: ComfyUI's name of the text encoder is not known.
    """
    if target == "kohya":
        prefix = "lora_unet_"
        if component.name.startswith("text_encoder"):
            prefix = "lora_te_" if is_only else _KOHYA_ENCODERS[component.name]
        return prefix + path.replace(".", "_")
    if target == "comfyui":
        if component.name.startswith("text_encoder"):
            return f"text_encoders.{_COMFYUI_ENCODERS[component.encoder or '']}{path}"
        return f"diffusion_model.{path}"
    if target == "peft":
        is_plain = is_alone and component.name in {"unet", "transformer", "text_encoder"}
        return (
            f"base_model.model.{path}" if is_plain else f"{component.name}.base_model.model.{path}"
        )
    return f"{component.name}.{path}"
