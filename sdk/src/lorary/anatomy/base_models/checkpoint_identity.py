"""Which family and lineage a whole model (checkpoint) has, by its header.

The tensors prove the family. Nothing in them shows the lineage, so it is taken from a hash, the
metadata or the file's name, if it fits the family.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from lorary.anatomy.base_models.checkpoint_family import checkpoint_families
from lorary.anatomy.claims.lineages import lineages
from lorary.anatomy.claims.metadata import first_text
from lorary.anatomy.claims.vocabulary import covers, lineage_of_label
from lorary.safetensors import Header

_TITLES = ("modelspec.title", "general.name", "ss_output_name", "ss_sd_model_name")
_MOST_VALUE = 200


class Checkpoint(NamedTuple):
    """What is known about a checkpoint.

    Attributes:
        families: Families that the tensors allow; () if it is no checkpoint of a known family.
        lineage: The lineage that a hash or a name claims; None if unknown.
    """

    families: tuple[str, ...]
    lineage: str | None

    @property
    def family(self) -> str | None:
        """The only family that is possible, None if there are several or none."""
        return self.families[0] if len(self.families) == 1 else None


def identify_checkpoint(header: Header, *, name: str = "", autov1: str = "") -> Checkpoint:
    """Return family and lineage of a checkpoint.

    Args:
        header: Its header.
        name: The file's name.
        autov1: Its old short hash: 8 digits of the SHA-256 of the 64 KiB after the first MiB.
    """
    found = checkpoint_families(header.tensors) if header.tensors else {}
    least = min(found.values(), default=0)
    families = tuple(family for family, lacking in found.items() if lacking == least)
    table = lineages()
    for lineage in _claimed(header, name, autov1):
        claimed = table.family_of(lineage)
        fitting = tuple(one for one in families if claimed is None or covers(claimed, one))
        if fitting:
            return Checkpoint(fitting, lineage)
    return Checkpoint(families, None)


def _claimed(header: Header, name: str, autov1: str) -> Iterator[str]:
    """Yield the lineages that are claimed, the most trusted first."""
    table = lineages()
    known = table.by_hash(autov1) if autov1 else None
    if known is not None:
        yield known
    for key in _TITLES:
        yield from table.by_name(first_text(header.metadata, key, most=_MOST_VALUE) or "")
    yield from table.by_name(name[:_MOST_VALUE])
    label = first_text(header.metadata, "modelspec.architecture", most=_MOST_VALUE) or ""
    variant = lineage_of_label(label)
    if variant is not None:
        yield variant
