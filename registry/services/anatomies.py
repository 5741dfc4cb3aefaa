"""What is kept of a header: the anatomy of a blob, as pages, lists and API read it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from registry.models import BlobAnatomy
from registry.services import details

if TYPE_CHECKING:
    from lorary.anatomy import Anatomy
    from registry.models import Blob

__all__ = ["document_of", "keep"]

#: What a lineage is read from when only the name tells it.
FILE_NAME = "file name"


def document_of(anatomy: Anatomy) -> dict[str, Any]:
    """Return the document to keep; it names no file, for the bytes may be several people's."""
    document: dict[str, Any] = anatomy.to_dict()
    base, claimed = document["base"], document["base"]["claimed"]
    if claimed.get("lineage_source") == FILE_NAME:
        base = {**base, "claimed": {**claimed, "lineage_value": None}}
    return {**document, "base": base, "file": {**document["file"], "name": ""}}


def keep(*, blob: Blob, anatomy: Anatomy) -> None:
    """Write the anatomy of a blob over the one before; call it inside a transaction."""
    document = document_of(anatomy)
    facts = details.facts_of(document)
    BlobAnatomy.objects.update_or_create(
        blob=blob,
        defaults={
            "kind": document["kind"],
            "family": document["base"]["family"] or "",
            "algorithm": facts.algorithm,
            "rank": facts.rank,
            "document": document,
        },
    )
