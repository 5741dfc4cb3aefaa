"""Finds published versions whose weights are related to a file's, as far as a user may see them.

Other users' private and unlisted adapters are never among the results, and nothing counts them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from django.contrib.auth.models import AnonymousUser
from django.db.models import Case, Min, When
from django.db.models.functions import Abs

from lorary.algebra.recognition.relating import COPIES, Facts
from lorary.algebra.recognition.relating import Relation as Found
from lorary.algebra.recognition.sketch import WeightSketches
from registry.blobs import sketches
from registry.models import (
    Adapter,
    Blob,
    BlobRelation,
    File,
    FileRole,
    User,
    Version,
    VersionState,
)

Viewer = User | AnonymousUser | None

#: Relations that are read for each version that is wanted, and the most versions.
READ_FOR_EACH, MAX_VERSIONS = 10, 200

#: Blobs whose versions are read at a time.
_CHUNK = 50

#: Relation of a version that has the very same file.
SAME_FILE = "same_file"

_SHOWN = (VersionState.PUBLISHED, VersionState.YANKED)


class Relative(NamedTuple):
    """A version with a related file.

    Attributes:
        kind: ``same_file`` or a ``Relation``.
        direction: ``from`` if the file in question was made from this one, ``to`` if this one was
            made from it, "" if that can't be told.
        cosine: Estimate of the cosine of the two updates.
        strength: Norm of the update of the file in question, divided by that of this one.
        version: The version; its adapter and namespace are loaded.
        file: The related file.
    """

    kind: str
    direction: str
    cosine: float
    strength: float
    version: Version
    file: File

    @property
    def is_copy(self) -> bool:
        """Whether both files have the same origin without further training."""
        return self.kind == SAME_FILE or self.kind in COPIES


def of_version(
    user: Viewer,
    version: Version,
    files: Iterable[File] | None = None,
    *,
    most: int = MAX_VERSIONS,
) -> list[Relative]:
    """Return the relatives of a version's weights, the closest first.

    Args:
        files: Its files, if they have been read.
        most: About how many are wanted; relatives that the user may not see take places, too.
    """
    rows = version.files if files is None else files
    own = {file.blob_id for file in rows if file.role == FileRole.WEIGHTS}
    if not own:
        return []
    same = dict.fromkeys(own, Found("same_weights", "", 1.0, 1.0))
    return _visible(user, stored(own, most) | same, own, version, most)


def of_blob(user: Viewer, blob: Blob) -> list[Relative]:
    """Return the relatives of a blob, the closest first."""
    return _visible(user, stored({blob.pk}), set(), None)


def of_sketch(user: Viewer, weights: WeightSketches, facts: Facts) -> list[Relative]:
    """Return the relatives of a file that is not stored, the closest first."""
    return _visible(user, sketches.related(weights, facts), set(), None)


def stored(blobs: set[int], most: int = MAX_VERSIONS) -> dict[int, Found]:
    """Return blob id → relation of one of these blobs to it, the closest ones."""
    rows = BlobRelation.objects.filter(blob__in=blobs).order_by(Abs("cosine"), "-pk").reverse()
    found: dict[int, Found] = {}
    for other, *facts in rows.values_list("other", *Found._fields)[: most * READ_FOR_EACH]:
        found.setdefault(other, Found(*facts))
    return found


def _visible(
    user: Viewer,
    found: Mapping[int, Found],
    own: set[int],
    version: Version | None,
    most: int = MAX_VERSIONS,
) -> list[Relative]:
    """Return the relatives that a user may see; those with one of the ``own`` blobs are equal."""
    if not found:
        return []
    versions = _versions(user, _by_closeness(found, own), version, most)
    files = File.objects.filter(blob__in=list(found), role=FileRole.WEIGHTS)
    best: dict[int, Relative] = {}
    for file in files.filter(revision__in=versions).select_related("blob").order_by("path"):
        one = found[file.blob_id]
        kind = SAME_FILE if file.blob_id in own else one.kind
        row = versions[file.revision_id]
        relative = Relative(kind, one.direction, one.cosine, one.strength, row, file)
        if row.pk not in best or _closeness(relative) > _closeness(best[row.pk]):
            best[row.pk] = relative
    return sorted(best.values(), key=_closeness, reverse=True)


def _by_closeness(found: Mapping[int, Found], own: set[int]) -> list[int]:
    def closeness(blob: int) -> tuple[bool, bool, float]:
        return blob in own, found[blob].kind in COPIES, abs(found[blob].cosine)

    return sorted(found, key=closeness, reverse=True)


def _versions(
    user: Viewer, blobs: list[int], version: Version | None, most: int
) -> dict[int, Version]:
    """Return revision id → version that the user may see, of the first blobs that have some."""
    listed = Adapter.objects.listed_for(user).among("adapter")
    shown = Version.objects.filter(listed, state__in=_SHOWN).exclude(
        pk=0 if version is None else version.pk
    )
    versions: dict[int, Version] = {}
    for begin in range(0, len(blobs), _CHUNK):
        chunk = blobs[begin : begin + _CHUNK]
        place = Case(*(When(revision__files__blob=key, then=n) for n, key in enumerate(chunk)))
        nearest = (
            shown.filter(revision__files__blob__in=chunk, revision__files__role=FileRole.WEIGHTS)
            .annotate(place=Min(place))
            .order_by("place", "published_at", "pk")
            .values_list("pk", flat=True)[:most]
        )
        rows = shown.select_related("adapter__namespace", "revision", "author")
        versions |= {row.revision_id: row for row in rows.filter(pk__in=list(nearest))}
        if len(versions) >= most:
            break
    return versions


def _closeness(relative: Relative) -> tuple[bool, bool, float]:
    return relative.kind == SAME_FILE, relative.is_copy, abs(relative.cosine)
