"""The front matter of a repo's README, and what stands for it where there is none."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from hub.protocols.huggingface.repos import shapes
from registry import storage
from registry.cards import fields
from registry.errors import Invalid, StorageAway

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from registry.models import Adapter, File

__all__ = ["card_data"]


def card_data(adapter: Adapter, files: Sequence[File]) -> dict[str, Any]:
    """Return what the fields of an adapter make, with what its README says in place of that."""
    readme = next((file for file in files if file.path == fields.NAME), None)
    if readme is None:
        return shapes.card_data(adapter)
    try:
        said = _front_matter(readme.sha256)
    except (FileNotFoundError, StorageAway, Invalid):
        said = {}  # a document does without
    return {**shapes.card_data(adapter), **said}


@lru_cache(maxsize=256)
def _front_matter(sha256: str) -> Mapping[str, Any]:
    with storage.store().open(sha256) as handle:
        return fields.front_matter(fields.decoded(handle.read(fields.MAX_READ + 1)))
