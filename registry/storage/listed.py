"""What a bucket's list of parts means."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext as _

from registry.errors import SizeMismatch, UploadIncomplete

if TYPE_CHECKING:
    from collections.abc import Sequence

    from registry.storage.base import Part

__all__ = ["chosen_of", "newest_of"]


def newest_of(listed: Sequence[dict[str, Any]], number: int) -> dict[str, Any]:
    """Return what was last sent of a part; some servers list what it replaced, too."""
    return max(
        (part for part in listed if part["PartNumber"] == number),
        key=lambda part: part["LastModified"],
    )


def chosen_of(parts: Sequence[Part], listed: Sequence[dict[str, Any]]) -> list[tuple[int, str]]:
    """Return number and tag of what the file is to be made of.

    Raises:
        SizeMismatch: a part is too long.
        UploadIncomplete: parts are absent or short.
    """
    known = {(part["PartNumber"], part["ETag"]): part for part in listed}
    here = {part["PartNumber"] for part in listed}
    chosen, missing = [], []
    for part in parts:
        found = known.get((part.number, part.tag))
        if found is None and part.number in here:
            found = newest_of(listed, part.number)
        if found is None or found["Size"] < part.size:
            missing.append(part.number)
        elif found["Size"] > part.size:
            text = _("Part %(n)d has %(got)d bytes; it may have %(expected)d.")
            facts = {"n": part.number, "got": found["Size"], "expected": part.size}
            raise SizeMismatch(text % facts, expected=part.size, received=found["Size"])
        else:
            chosen.append((part.number, found["ETag"]))
    if missing:
        raise UploadIncomplete(missing=missing[:1000])
    return chosen
