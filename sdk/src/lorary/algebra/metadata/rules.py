"""The metadata of files that the algebra makes, and what of it describes the training.

A resized file keeps its metadata: it is still the same training. What depends on the weights is
corrected or dropped. A merged file has another origin: it keeps what all its parts share of
ModelSpec and of the base model, and gains `modelspec.merged_from`.

Source: ModelSpec 1.0.1, https://github.com/Stability-AI/ModelSpec.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Mapping, Sequence

from lorary.algebra.files import DATA_HASH
from lorary.anatomy.claims.config import METADATA_KEY
from lorary.anatomy.claims.metadata import parsed_json

OPERATION = "lorary.operation"
"""Metadata key of how a file was made: a JSON object."""

_TRAINING_PREFIXES = ("ss_", "sshs_", "ot_")
_TRAINING_KEYS = frozenset({"lycoris_config", "software", "training_info", "version"})
"""Keys of ai-toolkit, SimpleTuner and others that describe a training run."""

# Hashes of the weights; after a change of the weights they would be wrong.
_HASHES = frozenset({"sshs_model_hash", "sshs_legacy_hash", DATA_HASH})
# What tools read to tell the base model; without it A1111 takes every file for SD 1.
_BASE_KEYS = ("ss_base_model_version", "ss_v2")
_SHARED_SPECS = ("architecture", "implementation", "prediction_type", "resolution")


def is_training_key(key: str) -> bool:
    """Return whether a metadata key describes the training, in the words of any trainer.

    Keys that tools read to tell the base model are not among them.
    """
    return key not in _BASE_KEYS and (key.startswith(_TRAINING_PREFIXES) or key in _TRAINING_KEYS)


def resized_metadata(
    metadata: Mapping[str, str], modules: Sequence[tuple[int, float]]
) -> dict[str, str]:
    """Return the metadata of a resized file.

    PEFT's configuration is dropped: its ranks and alphas are no longer right, and the new factors
    need none. Hashes of the weights are dropped, too.

    Args:
        metadata: The metadata of the original.
        modules: New rank and scale of each module.
    """
    stale = {*_HASHES, METADATA_KEY}
    found = {key: value for key, value in metadata.items() if key not in stale}
    alphas = {rank * scale for rank, scale in modules}
    new = {
        "ss_network_dim": _one({rank for rank, _ in modules}),
        "ss_network_alpha": _one(alphas),
    }
    return found | {key: value for key, value in new.items() if key in found}


def operation_on(metadata: Mapping[str, str], made: Mapping[str, object]) -> str:
    """Return the value of `lorary.operation` for a file that is made of another one.

    Args:
        metadata: The metadata of the other file, whose operation becomes `source`.
        made: The new operation.
    """
    source = parsed_json(metadata, OPERATION)
    if isinstance(source, dict):
        with contextlib.suppress(RecursionError):  # it can be read, but not nested once more
            return _compact({**made, "source": source})
    return _compact(made)


def _compact(value: Mapping[str, object]) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _one(values: Iterable[float]) -> str:
    """Return a number that all modules share, else kohya's word for ranks that differ."""
    found = list(values)
    return f"{found[0]:.10g}" if len(found) == 1 else "Dynamic"


def merged_metadata(
    parts: Sequence[tuple[str, float, Mapping[str, str]]], operation: Mapping[str, object]
) -> dict[str, str]:
    """Return the metadata of a merged file.

    Args:
        parts: File name, strength and metadata of each part.
        operation: How they were merged, for `lorary.operation`.
    """
    names = [name for name, _, _ in parts]
    shared = [f"modelspec.{key}" for key in _SHARED_SPECS] + list(_BASE_KEYS)
    all_metadata = [metadata for _, _, metadata in parts]
    found = {
        key: all_metadata[0][key]
        for key in ("format", *shared)
        if len({metadata.get(key) for metadata in all_metadata}) == 1 and key in all_metadata[0]
    }
    made = {
        **operation,
        "parts": [{"file": name, "strength": strength} for name, strength, _ in parts],
    }
    return found | {
        "modelspec.sai_model_spec": "1.0.1",
        "modelspec.title": " + ".join(name.removesuffix(".safetensors") for name in names),
        "modelspec.merged_from": ", ".join(names),
        OPERATION: _compact(made),
    }
