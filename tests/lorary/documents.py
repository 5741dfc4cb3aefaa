"""The shape of the document, written down once, key by key."""

from __future__ import annotations

import math
import unicodedata
from typing import Any, NamedTuple


class Map(NamedTuple):
    """An object with any keys."""

    keys: str
    values: Any


class Maybe(NamedTuple):
    """A value or null."""

    shape: Any


class OneOf(NamedTuple):
    """One of some texts."""

    texts: frozenset[str]


def _one_of(*texts: str) -> OneOf:
    return OneOf(frozenset(texts))


NUMBER = (int, float)
COUNTS = Map("text", int)
RANKS = Map("digits", int)
ANY = object()

DOCUMENT: dict[str, Any] = {
    "schema": int,
    "file": {"name": str, "size_bytes": int, "header_bytes": int, "tensors": int},
    "kind": _one_of(
        "adapter", "checkpoint", "vae", "controlnet", "embedding", "ip_adapter", "lllite",
        "text_encoder", "motion_module", "other",
    ),
    "algorithm": Maybe(str),
    "algorithms": COUNTS,
    "convention": Maybe(str),
    "base": {
        "family": Maybe(str),
        "candidates": [str],
        "allowed": [str],
        "likely": Maybe(str),
        "confidence": _one_of("proven", "narrowed", "claimed", "unknown"),
        "lineage": Maybe(str),
        "claimed": Map("text", ANY),
        "agreement": _one_of("agree", "conflict", "no-claim"),
        "evidence": [{"rule": str, "text": str, "keys": [str]}],
        "checkpoint_ids": [{"key": str, "value": str}],
        "lineage_evidence": [
            {
                "lineage": str,
                "stance": str,
                "confidence": str,
                "rule": str,
                "text": str,
                "source": str,
                "keys": [str],
            }
        ],
    },
    "rank": {"mode": Maybe(int), "min": Maybe(int), "max": Maybe(int), "histogram": RANKS},
    "alpha": {"mode": Maybe(NUMBER), "values_read": int},
    "parts": COUNTS,
    "layers": {
        "modules": int,
        "linear": RANKS,
        "conv": RANKS,
        "expected": Maybe(int),
        "kinds": dict.fromkeys(
            ("attention", "mlp", "conv", "norm", "modulation", "embedder", "other"), int
        ),
        "blocks": [{"name": str, "modules": int, "parameters": int}],
    },
    "parameters": int,
    "dtypes": COUNTS,
    "trigger_words": [
        {"text": str, "source": str, "confidence": _one_of("high", "medium", "low")}
    ],
    "common_tags": [{"text": str, "share": NUMBER}],
    "training": Map("text", ANY),
    "metadata": {
        "keys": int,
        "bytes": int,
        "writer": Maybe(str),
        "title": Maybe(str),
        "description": Maybe(str),
        "author": Maybe(str),
        "license": Maybe(str),
        "usage_hint": Maybe(str),
        "recommended_strength": Maybe(NUMBER),
        "tags": [str],
        "names": [str],
    },
    "findings": [
        {
            "code": str,
            "severity": _one_of("error", "warning", "info"),
            "message": str,
            "evidence": Map("text", ANY),
        }
    ],
}  # fmt: skip
"""Every key of the document, in its order, with the type of its value."""

CLAIMED: dict[str, Any] = {
    "family": Maybe(str),
    "source": Maybe(str),
    "value": Maybe(str),
    "lineage_source": Maybe(str),
    "lineage_value": Maybe(str),
    "lineages": [{"lineage": str, "source": str, "value": str, "is_refuted": bool}],
    "others": [{"family": str, "source": str, "value": str}],
}

REFUSAL: dict[str, Any] = {
    "schema": int,
    "file": {"name": str},
    "error": {"code": str, "message": str, "at": Maybe(int)},
}
"""The document of a file whose header cannot be read."""


def faults(document: dict[str, Any]) -> list[str]:
    """Where a document is not as it has to be."""
    if "error" in document:
        found = _faults(document, REFUSAL, "")
    else:
        found = _faults(document, DOCUMENT, "")
        if not found and document["base"]["claimed"]:
            found = _faults(document["base"]["claimed"], CLAIMED, "base.claimed")
        found = found or _sums(document)
    return found + _unclean(document, "")


def _faults(value: Any, shape: Any, place: str) -> list[str]:
    if shape is ANY:
        return []
    if isinstance(shape, Maybe):
        return [] if value is None else _faults(value, shape.shape, place)
    if isinstance(shape, OneOf):
        return [] if value in shape.texts else [f"{place} is {value!r}"]
    if isinstance(shape, Map):
        return _map_faults(value, shape, place)
    if isinstance(shape, dict):
        return _object_faults(value, shape, place)
    if isinstance(shape, list):
        rows = value if isinstance(value, list) else [None]
        return [fault for one in rows for fault in _faults(one, shape[0], f"{place}[]")]
    is_right = isinstance(value, shape) and isinstance(value, bool) == (shape is bool)
    return [] if is_right else [f"{place} is {value!r}"]


def _object_faults(value: Any, shape: dict[str, Any], place: str) -> list[str]:
    if not isinstance(value, dict) or list(value) != list(shape):
        return [f"{place} is {value!r} without {list(shape)}"]
    return [fault for key in shape for fault in _faults(value[key], shape[key], f"{place}.{key}")]


def _map_faults(value: Any, shape: Map, place: str) -> list[str]:
    if not isinstance(value, dict):
        return [f"{place} is no object"]
    found = [] if shape.keys == "text" else [f"{place}: {k!r}" for k in value if not k.isdigit()]
    return found + [
        fault
        for key, one in value.items()
        for fault in _faults(one, shape.values, f"{place}.{key}")
    ]


def _sums(document: dict[str, Any]) -> list[str]:
    """Numbers that have to agree with each other."""
    layers, rank = document["layers"], document["rank"]
    histogram = {int(key): count for key, count in rank["histogram"].items()}
    split = {**layers["linear"]}
    for key, count in layers["conv"].items():
        split[key] = split.get(key, 0) + count
    leading = {int(key): n for key, n in (layers["linear"] or layers["conv"]).items()}
    best = max(leading, key=lambda key: (leading[key], key), default=rank["mode"])
    checks = {
        "parts": sum(document["parts"].values()) == layers["modules"],
        "kinds": sum(layers["kinds"].values()) == layers["modules"],
        "blocks": sum(block["modules"] for block in layers["blocks"]) == layers["modules"],
        "parameters": sum(b["parameters"] for b in layers["blocks"]) <= document["parameters"],
        "dtypes": sum(document["dtypes"].values()) == document["file"]["tensors"],
        "linear and conv": split == rank["histogram"],
        "rank": rank["mode"] == best
        and rank["min"] == min(histogram, default=None)
        and rank["max"] == max(histogram, default=None),
        "family": document["base"]["family"] in {None, *document["base"]["candidates"][:1]}
        and (document["base"]["family"] is None or len(document["base"]["candidates"]) == 1),
        "allowed": set(document["base"]["candidates"]) <= set(document["base"]["allowed"]),
        "likely": (document["base"]["likely"] is not None)
        == (
            document["kind"] == "adapter"
            and document["base"]["confidence"] == "narrowed"
            and len(document["base"]["candidates"]) > 1
        )
        and document["base"]["likely"] in {None, *document["base"]["candidates"]},
        "evidence": all(len(one["keys"]) <= 5 for one in document["base"]["evidence"]),
        "claim": bool(document["base"]["claimed"].get("family"))
        == (document["base"]["agreement"] != "no-claim"),
        "names": len(document["metadata"]["names"]) <= 100,
    }
    return [f"{name} do not add up" for name, is_right in checks.items() if not is_right]


def _unclean(value: Any, place: str) -> list[str]:
    """Texts that could steer a terminal or hide, and numbers that are no JSON."""
    if isinstance(value, dict):
        found = [fault for key in value for fault in _unclean(key, f"{place} key")]
        return found + [f for key, one in value.items() for f in _unclean(one, f"{place}.{key}")]
    if isinstance(value, list):
        return [fault for one in value for fault in _unclean(one, f"{place}[]")]
    if isinstance(value, float) and not math.isfinite(value):
        return [f"{place} is {value}"]
    if isinstance(value, str) and any(
        unicodedata.category(letter) in {"Cc", "Cs"} or letter in "\u202e\u2066\u200b\ufeff"
        for letter in value
    ):
        return [f"{place} is unclean: {value!r}"]
    return []
