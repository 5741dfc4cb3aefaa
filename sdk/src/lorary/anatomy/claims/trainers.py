"""Which program wrote an adapter, told by the marks that each leaves in the metadata."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lorary.anatomy.claims.metadata import parsed, present, text_of, told

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["trainer_of"]

_MUSUBI = frozenset(
    {
        "networks.lora_flux_2",
        "networks.lora_framepack",
        "networks.lora_hidream_o1",
        "networks.lora_hv_1_5",
        "networks.lora_ideogram4",
        "networks.lora_kandinsky",
        "networks.lora_krea2",
        "networks.lora_qwen_image",
        "networks.lora_wan",
        "networks.lora_zimage",
    }
)
"""Network modules that only musubi-tuner has; `networks.lora_flux` is in sd-scripts too."""

_MUSUBI_LABELS = frozenset(
    {"flux_kontext", "framepack", "hunyuan_video", "hunyuan_video_1_5", "wan", "z_image"}
)
_MUSUBI_DATASET = ('"video_directory"', '"image_directory"', '"video_jsonl_file"', '"frame_stride"')
_SD_SCRIPTS = ("ss_sd_scripts_commit_hash", "ss_dataset_dirs", "ss_tag_frequency", "ss_session_id")
_DIFFUSERS = frozenset({"format", "lora_adapter_metadata"})
_MOST_LOOKED_AT = 20_000


def trainer_of(metadata: Mapping[str, str]) -> str | None:
    """Name of the program that trained or wrote the file, None when nothing tells."""
    software = parsed(metadata, "software")
    if isinstance(software, dict) and isinstance(software.get("name"), str):
        return told(software["name"], 60) or None
    for key, name in (("ot_branch", "OneTrainer"), ("ot_revision", "OneTrainer")):
        if key in metadata:
            return name
    if "ot_config" in metadata:
        return "OneTrainer"
    if "lycoris_config" in metadata:
        return "SimpleTuner"
    if "lora_adapter_metadata" in metadata and _DIFFUSERS.issuperset(metadata):
        return "diffusers"  # whatever else is there another program wrote, by diffusers' rules
    return _kohya_like(metadata)


def _kohya_like(metadata: Mapping[str, str]) -> str | None:
    """Tell apart the trainers that write `ss_` keys."""
    module = present(metadata, "ss_network_module") or ""
    if module == "network.lora":  # without the s
        return "traintrain"
    datasets = text_of(metadata, "ss_datasets")[:_MOST_LOOKED_AT]
    if module in _MUSUBI or any(mark in datasets for mark in _MUSUBI_DATASET):
        return "musubi-tuner"
    if any(metadata.get(key) for key in _SD_SCRIPTS):
        return "sd-scripts"
    if present(metadata, "ss_base_model_version") in _MUSUBI_LABELS and module:
        return "musubi-tuner"
    is_known = module.startswith(("networks.", "kohya-ss/", "lycoris.", "sd_scripts."))
    return "sd-scripts" if is_known else None
