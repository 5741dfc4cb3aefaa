"""What the metadata claims about the base model: its family, and its lineage.

A family is an architecture; a lineage is the checkpoint behind it (Pony, FLUX.1 schnell), which
no tensor of an adapter can show.
"""

from __future__ import annotations

import json
import re
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

from lorary.anatomy.families import families
from lorary.anatomy.metadata import present

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["claimed_family", "claimed_lineage"]

_HEX64 = re.compile(r"[0-9a-f]{64}")


@cache
def _claims() -> Mapping[str, Mapping[str, str]]:
    """Metadata key to beginnings of its value to family id."""
    text = (resources.files("lorary.anatomy") / "claims.json").read_text("utf-8")
    found: dict[str, dict[str, str]] = json.loads(text)
    for family in families().values():
        for key, beginnings in family.claims.items():
            found.setdefault(key, {}).update(dict.fromkeys(beginnings, family.id))
    return found


def claimed_family(metadata: Mapping[str, str]) -> tuple[str | None, str | None]:
    """The family that the metadata names.

    Returns:
        The family's id and the metadata key that names it; both None without a claim.
    """
    for key, beginnings in _claims().items():
        value = present(metadata, key)
        if value is None:
            continue
        value = value.lower()
        fits = [text for text in beginnings if value.startswith(text)]
        if fits:
            return beginnings[max(fits, key=len)], key
    # sd-scripts before 2023 wrote nothing but this flag.
    if metadata.get("ss_v2") == "True":
        return "sd2", "ss_v2"
    return None, None


@cache
def _lineages() -> dict[str, dict[str, str]]:
    text = (resources.files("lorary.anatomy") / "lineages.json").read_text("utf-8")
    raw = json.loads(text)
    return {"sha256": raw["sha256"], "civitai": raw["civitai"], "names": dict(raw["names"])}


def claimed_lineage(metadata: Mapping[str, str]) -> str | None:
    """The checkpoint that the adapter was trained on, by the metadata's word.

    The hash of the base file counts first, then Civitai's number in its name, then the name.
    """
    tables = _lineages()
    digest = (present(metadata, "ss_new_sd_model_hash") or "").lower().removeprefix("0x")
    if _HEX64.fullmatch(digest) and digest in tables["sha256"]:
        return tables["sha256"][digest]
    name = (present(metadata, "ss_sd_model_name") or "").lower()
    stem = name.rpartition("/")[2].partition(".")[0]
    if stem in tables["civitai"]:
        return tables["civitai"][stem]
    architecture = (present(metadata, "modelspec.architecture") or "").lower()
    for text, lineage in tables["names"].items():
        if text in name or text in architecture:
            return lineage
    return None
