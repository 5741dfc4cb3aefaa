"""Recognises the program that wrote an adapter by its metadata."""

from __future__ import annotations

from collections.abc import Mapping

from lorary.anatomy.claims.metadata import first_text, parsed_json, public_text, raw_text

_MUSUBI = frozenset(
    f"networks.lora_{name}"
    for name in (
        "flux_2", "framepack", "hidream_o1", "hv_1_5", "ideogram4", "kandinsky", "krea2",
        "qwen_image", "wan", "zimage",
    )
)  # fmt: skip
"""Network modules that only musubi-tuner has; sd-scripts also has `networks.lora_flux`."""

_MUSUBI_LABELS = frozenset(
    {"flux_kontext", "framepack", "hunyuan_video", "hunyuan_video_1_5", "wan", "z_image"}
)
_MUSUBI_DATASET = ('"video_directory"', '"image_directory"', '"video_jsonl_file"', '"frame_stride"')
_SD_SCRIPTS = ("ss_sd_scripts_commit_hash", "ss_dataset_dirs", "ss_tag_frequency", "ss_session_id")
_DIFFUSERS = frozenset({"format", "lora_adapter_metadata"})
_MAX_CHARS = 20_000


def trainer_of(metadata: Mapping[str, str]) -> str | None:
    """Return the name of the program that trained or wrote the file, or None."""
    software = parsed_json(metadata, "software")
    if isinstance(software, dict) and isinstance(software.get("name"), str):
        return public_text(software["name"], 60) or None
    if not metadata.keys().isdisjoint({"ot_branch", "ot_revision", "ot_config"}):
        return "OneTrainer"
    if "lycoris_config" in metadata:
        return "SimpleTuner"
    if "lora_adapter_metadata" in metadata and _DIFFUSERS.issuperset(metadata):
        return "diffusers"  # with more keys, another program wrote them for diffusers
    return _kohya_like(metadata)


def _kohya_like(metadata: Mapping[str, str]) -> str | None:
    """Return the trainer of a file with `ss_` keys."""
    module = first_text(metadata, "ss_network_module") or ""
    if module == "network.lora":  # not `networks.`
        return "traintrain"
    datasets = raw_text(metadata, "ss_datasets")[:_MAX_CHARS]
    if module in _MUSUBI or any(mark in datasets for mark in _MUSUBI_DATASET):
        return "musubi-tuner"
    if any(metadata.get(key) for key in _SD_SCRIPTS):
        return "sd-scripts"
    if first_text(metadata, "ss_base_model_version") in _MUSUBI_LABELS and module:
        return "musubi-tuner"
    is_known = module.startswith(("networks.", "kohya-ss/", "lycoris.", "sd_scripts."))
    return "sd-scripts" if is_known else None
