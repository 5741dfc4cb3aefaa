"""What to do about a finding, for people at a terminal; `docs/findings.md` says more."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_AGAIN = "Save or download it again."
_DECEIT = "Save it again with a current library; if it came from a stranger, do not trust it."
_CONVERT = "Convert it to safetensors, on a machine that you can lose."
_TRIM = "Remove pictures and datasets from the metadata."
_TENSORS_COUNT = "Trust the tensors."

ADVICE: Mapping[str, str] = MappingProxyType(
    {
        "adapter_leftovers": "Nothing, unless you meant to share an adapter.",
        "alpha_differs": _TENSORS_COUNT,
        "alpha_invalid": "Check the trainer's settings: such a module is lost or far too strong.",
        "alpha_orphan": "Nothing: loaders skip it.",
        "checkpoint_leftovers": "Save the adapter alone.",
        "claims_conflict": _TENSORS_COUNT,
        "config_conflict": "Put the adapter_config.json beside the file that it describes.",
        "config_unreadable": "Repair it: without it PEFT cannot load the adapter.",
        "dtype_unknown": "Save it again with a current library.",
        "duplicate_key": _DECEIT,
        "family_ambiguous": "If you know which one it is, say so where you share it.",
        "family_unknown": "If you know the base model, say so where you share it.",
        "file_empty": _AGAIN,
        "file_truncated": _AGAIN,
        "full_weights": "Say so where you share it, or save the adapter alone.",
        "fused_and_split": "Keep one of the two: used together they act twice.",
        "hash_differs": "Write the hash anew or leave it out: programs look files up by it.",
        "hash_placeholder": "Nothing: the trainer could not read its base model.",
        "header_bad_padding": _AGAIN,
        "header_bad_start": "Check where it comes from: it may be no safetensors file at all.",
        "header_invalid_json": _AGAIN,
        "header_not_utf8": _AGAIN,
        "header_too_complex": _DECEIT,
        "header_too_large": _TRIM,
        "hole": _DECEIT,
        "hostile_text": "It is shown as plain text here; remove it before you share the file.",
        "is_archive": "Unpack it and use the .safetensors file inside.",
        "is_gguf": "Use the original safetensors file.",
        "is_hdf5": "Convert it to safetensors.",
        "is_html": "Download the file again, signed in if need be.",
        "is_image": "Look for the weights; this is a picture.",
        "is_json": "Download the file again: this is a server's answer or a configuration.",
        "is_lfs_pointer": "Run git lfs pull.",
        "is_other_model": "Export it as safetensors.",
        "is_pdf": "Look for the weights; this is a document.",
        "is_pickle": _CONVERT,
        "is_text": "Choose the file that the trainer wrote.",
        "is_zip": _CONVERT,
        "magnitude_mismatch": "Save the adapter again.",
        "metadata_conflict": _TENSORS_COUNT,
        "metadata_invalid": "Save it again with text values.",
        "metadata_large": "Remove what nobody reads.",
        "metadata_too_large": _TRIM,
        "metadata_unreadable": "Nothing, or repair the value.",
        "module_twice": "Keep one of the two: used together they act twice.",
        "modules_saved": "Nothing, if the tool you use knows them.",
        "modules_unknown": "Check which base model the trainer used; loaders skip these.",
        "not_an_adapter": "Choose the adapter.",
        "offsets_invalid": _DECEIT,
        "overlap": _DECEIT,
        "pair_incomplete": "Save the adapter again, or drop the half: most loaders stop at it.",
        "privacy_config": "Remove it before you share the file.",
        "privacy_email": "Remove it before you share the file, unless it is meant to be public.",
        "privacy_path": "Remove them before you share the file.",
        "privacy_secret": "Renew the secret, then remove it: whoever has the file has it.",
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
        "too_many_tensors": "Save one adapter in a file.",
        "trailing_bytes": _DECEIT,
        "unknown_keys": "Nothing, if the tool you use knows them.",
    }
)
"""Code to one sentence."""
