"""What to do about each finding, for a terminal; `docs/findings.md` has the details."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

_AGAIN = "Save or download it again."
_DECEIT = "Save it again with a current library; if it came from a stranger, do not trust it."
_CONVERT = "Convert it to safetensors on an isolated machine."
_TRIM = "Remove pictures and datasets from the metadata."
_TENSORS_COUNT = "Trust the tensors."

ADVICE: Mapping[str, str] = MappingProxyType(
    {
        "adapter_leftovers": "Nothing, unless you meant to share an adapter.",
        "alpha_differs": _TENSORS_COUNT,
        "alpha_invalid": "Check the trainer's settings: the effect is zero or far too strong.",
        "alpha_orphan": "Nothing: loaders skip it.",
        "checkpoint_leftovers": "Save only the adapter.",
        "claims_conflict": _TENSORS_COUNT,
        "config_conflict": "Put the adapter_config.json beside the file that it describes.",
        "config_unreadable": "Repair it: without it PEFT cannot load the adapter.",
        "dtype_unknown": "Save it again with a current library.",
        "duplicate_key": _DECEIT,
        "family_ambiguous": "If you know which one it is, mention it where you share the file.",
        "family_unknown": "If you know the base model, mention it where you share the file.",
        "file_empty": _AGAIN,
        "file_truncated": _AGAIN,
        "full_weights": "Mention it where you share it, or save only the adapter.",
        "fused_and_split": "Keep one of the two: otherwise the change is applied twice.",
        "hash_differs": "Update or remove the hash: programs look up files by it.",
        "hash_placeholder": "Remove it, or replace it with the real hash.",
        "header_bad_padding": _AGAIN,
        "header_bad_start": "Check where it comes from: it may not be a safetensors file.",
        "header_invalid_json": _AGAIN,
        "header_not_utf8": _AGAIN,
        "header_too_complex": _DECEIT,
        "header_too_large": f"Check that it is a safetensors file. {_TRIM}",
        "hole": _DECEIT,
        "hostile_text": "It is shown as plain text here; remove it before you share the file.",
        "is_archive": "Unpack it and use the .safetensors file inside.",
        "is_gguf": "Use the original safetensors file.",
        "is_hdf5": "Convert it to safetensors.",
        "is_html": "Download the file again; sign in first if necessary.",
        "is_image": "Look for the weights; this is a picture.",
        "is_json": "Download the file again: this is a server's response or a configuration file.",
        "is_lfs_pointer": "Run git lfs pull.",
        "is_other_model": "Export it as safetensors.",
        "is_pdf": "Look for the weights; this is a document.",
        "is_pickle": _CONVERT,
        "is_text": "Choose the file that the trainer wrote.",
        "is_zip": _CONVERT,
        "magnitude_mismatch": "Save the adapter again.",
        "metadata_conflict": _TENSORS_COUNT,
        "metadata_invalid": "Save it again with text values.",
        "metadata_large": "Remove unused metadata.",
        "metadata_too_large": _TRIM,
        "metadata_unreadable": "Nothing, or repair the value.",
        "module_twice": "Keep one of the two: otherwise the change is applied twice.",
        "modules_saved": "Nothing, if the tool you use knows them.",
        "modules_unknown": "Check which base model the trainer used; loaders skip these.",
        "not_an_adapter": "Choose the adapter.",
        "offsets_invalid": _DECEIT,
        "overlap": _DECEIT,
        "pair_incomplete": "Save the adapter again, or remove the half: most loaders fail on it.",
        "privacy_config": "Remove it before you share the file.",
        "privacy_email": "Remove it before you share the file, unless it is meant to be public.",
        "privacy_path": "Remove them before you share the file.",
        "privacy_secret": "Revoke the secret, then remove it: anyone with the file can read it.",
        "privacy_user": "Remove it before you share the file.",
        "rank_differs": _TENSORS_COUNT,
        "rank_mismatch": "Save the adapter again.",
        "shape_invalid": _DECEIT,
        "size_mismatch": _AGAIN,
        "tensor_empty": "Save the adapter again.",
        "tensor_fields_invalid": _DECEIT,
        "tensor_name_invalid": "Rename the tensor; if it came from a stranger, do not trust it.",
        "tensor_not_float": "Save it as F16, BF16, F32 or F8.",
        "thumbnail_left_out": "Nothing: pictures inside metadata are never shown.",
        "too_many_tensors": "Save each adapter in its own file.",
        "trailing_bytes": _DECEIT,
        "unknown_keys": "Nothing, if the tool you use knows them.",
    }
)
"""Finding code to a sentence of advice."""
