"""Stored sketches of weights, and the relations that are found by them.

A sketch is written in the transaction that writes its blob. Its relations follow after the commit,
when the sketches of all blobs before are visible; of two that are written at once, the later finds
the earlier. A process that ends in between leaves ``is_related`` unset, and the next one that
relates anything continues.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from django.core.exceptions import ObjectDoesNotExist
from django.db import transaction
from django.db.models import Exists, OuterRef, Q

from lorary.algebra.recognition.relating import Facts, Relation, relation
from lorary.algebra.recognition.sketch import FORM, WeightSketches
from registry.blobs.sketch_index import SketchIndex
from registry.models import (
    Adapter,
    Blob,
    BlobHash,
    BlobRelation,
    BlobSketch,
    FileRole,
    HashKind,
    Version,
    VersionState,
    WeightSketch,
)

log = logging.getLogger(__name__)

#: The index of this process.
INDEX = SketchIndex()

#: Candidates whose sketches are compared; as many more are compared if everybody sees them.
MAX_CANDIDATES = 100

#: Relations of a blob that are written when its sketch is new.
MAX_RELATIONS = 100

_SAME = Relation("same_weights", "", 1.0, 1.0)


def save(*, blob: Blob, sketch: WeightSketches | None, document: Mapping[str, Any]) -> None:
    """Save the sketch of a blob, or that it has none; call it inside a transaction.

    Args:
        document: Its anatomy document.
    """
    vector = b"" if sketch is None else sketch.vector().astype("<f2").tobytes()
    found = Facts.of(document)
    facts = Facts(found.dtype[:16], found.naming[:64], found.run[:64])
    row = BlobSketch.objects.filter(blob=blob).first()
    if row is not None and _facts(row) == facts and is_current(blob=blob, sketch=sketch):
        return  # a new row would leave the old vector in the memory of other processes
    BlobSketch.objects.filter(blob=blob).delete()
    row = BlobSketch.objects.create(
        blob=blob,
        form=FORM,
        vector=vector,
        dtype=facts.dtype,
        naming=facts.naming,
        run=facts.run,
    )
    if sketch is not None:
        WeightSketch.objects.create(sketch=row, data=sketch.to_bytes())


def is_current(*, blob: Blob, sketch: WeightSketches | None) -> bool:
    """Return whether this sketch is the stored one."""
    row = BlobSketch.objects.select_related("weights").filter(blob=blob, form=FORM).first()
    if row is None or sketch is None:
        return row is not None and not row.vector
    return bool(row.vector) and bytes(row.weights.data) == sketch.to_bytes()


def forget(blobs: Collection[int]) -> None:
    """Delete the sketches and relations of blobs whose bytes are deleted."""
    BlobRelation.objects.filter(Q(blob__in=blobs) | Q(other__in=blobs)).delete()
    BlobSketch.objects.filter(blob__in=blobs).delete()


def relate_new(*, most: int | None = None) -> int:
    """Write the relations of sketches that have none yet, and return their number.

    A damaged row is logged and marked as related, so that it doesn't stop the others each time.

    Args:
        most: Number of sketches that are related, the newest; None for all.
    """
    rows = BlobSketch.objects.filter(form=FORM, is_related=False).order_by("-pk")
    keys = list(rows.values_list("pk", flat=True)[:most])
    return sum(_try_relate(key) for key in keys)


def _try_relate(key: int) -> bool:
    try:
        return _relate(key)
    except (ValueError, ArithmeticError, LookupError, ObjectDoesNotExist):
        log.exception("sketch %d can't be related to others", key)
        BlobSketch.objects.filter(pk=key).update(is_related=True)
        return False


def _relate(key: int) -> bool:
    row = (
        BlobSketch.objects.select_related("weights")
        .filter(pk=key, form=FORM, is_related=False)
        .first()
    )
    if row is None:  # done by another process
        return False
    found = dict(_of_same_tensors(row.blob_id))
    if row.vector:
        weights = WeightSketches.from_bytes(bytes(row.weights.data))
        found = related(weights, _facts(row)) | found
    found.pop(row.blob_id, None)
    best = sorted(found.items(), key=lambda item: -abs(item[1].cosine))[:MAX_RELATIONS]
    with transaction.atomic():
        if not BlobSketch.objects.filter(pk=key).update(is_related=True):
            return False
        known = set(Blob.objects.filter(pk__in=found).values_list("pk", flat=True))
        pairs = [(other, one) for other, one in best if other in known]
        rows = [_row(row.blob_id, other, one) for other, one in pairs]
        rows += [_row(other, row.blob_id, one.inverse) for other, one in pairs]
        BlobRelation.objects.bulk_create(
            rows,
            update_conflicts=True,
            unique_fields=["blob", "other"],
            update_fields=["kind", "direction", "cosine", "strength"],
        )
    return True


def _row(blob: int, other: int, found: Relation) -> BlobRelation:
    return BlobRelation(blob_id=blob, other_id=other, **found._asdict())


def _of_same_tensors(blob: int) -> Iterator[tuple[int, Relation]]:
    """Yield blobs with the same tensors, also of files that can't be sketched."""
    own = BlobHash.objects.filter(blob=blob, kind=HashKind.TENSORS).values("value")
    others = BlobHash.objects.filter(kind=HashKind.TENSORS, value__in=own).exclude(blob=blob)
    for other in others.order_by("pk").values_list("blob", flat=True)[:MAX_RELATIONS]:
        yield other, _SAME


def related(weights: WeightSketches, facts: Facts) -> dict[int, Relation]:
    """Return blob id → relation of a sketch to the stored ones.

    The vectors of files screen; the sketches of at most 200 candidates are read and compared.
    """
    wanted = _candidates([one.sketch_id for one in INDEX.nearest(weights.vector())])
    rows = BlobSketch.objects.filter(pk__in=wanted, form=FORM).select_related("weights")
    found = {}
    for row in rows:
        try:
            other = WeightSketches.from_bytes(bytes(row.weights.data))
        except (ValueError, ObjectDoesNotExist):
            log.exception("sketch %d is damaged", row.pk)
            continue
        one = relation(weights, other, facts, _facts(row))
        if one is not None:
            found[row.blob_id] = one
    return found


def _candidates(nearest: list[int]) -> list[int]:
    """Return the nearest sketches that are stored, and more of those that everybody sees.

    So hidden copies of a file, however many, don't take the places of published ones.
    """
    if len(nearest) <= MAX_CANDIDATES:
        return nearest
    listed = Version.objects.filter(
        Adapter.objects.listed_for(None).among("adapter"),
        state__in=(VersionState.PUBLISHED, VersionState.YANKED),
        revision__files__blob=OuterRef("blob"),
        revision__files__role=FileRole.WEIGHTS,
    )
    rows = BlobSketch.objects.filter(pk__in=nearest).annotate(is_listed=Exists(listed))
    found = dict(rows.values_list("pk", "is_listed"))
    stored = [key for key in nearest if key in found]
    others = [key for key in stored[MAX_CANDIDATES:] if found[key]]
    return stored[:MAX_CANDIDATES] + others[:MAX_CANDIDATES]


def _facts(row: BlobSketch) -> Facts:
    return Facts(row.dtype, row.naming, row.run)
