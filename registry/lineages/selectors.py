"""Evidence about lineages from the table of the hub's operator."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _

from registry.models import KnownCheckpoint

RULE = "known_hash"
_ESTIMATED = "estimated"
_AUTOV2, _AUTOV1, _SHA256 = 10, 8, 64
_Kind = KnownCheckpoint.IdKind


def with_known(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return an anatomy document with what the operator knows about its checkpoint.

    The evidence is looked up when a document is read, so that an import also applies to files that
    were sent before. It never changes the lineage or the verdict.
    """
    base: Mapping[str, Any] = document.get("base") or {}
    ids = base.get("checkpoint_ids") or ()
    found = [_evidence(one, key) for one, key in _known(ids)] if ids else []
    if not found:
        return document
    evidence = [*found, *(base.get("lineage_evidence") or ())]
    return {**document, "base": {**base, "lineage_evidence": evidence}}


def _known(ids: Iterable[Mapping[str, str]]) -> list[tuple[KnownCheckpoint, str]]:
    """Return the entries for some ids, each lineage once, with the metadata key."""
    found: dict[str, tuple[KnownCheckpoint, str]] = {}
    for one in ids:
        for entry in KnownCheckpoint.objects.filter(_condition(one["key"], one["value"])):
            found.setdefault(entry.lineage, (entry, one["key"]))
    return list(found.values())


def _condition(key: str, value: str) -> Q:
    if key.endswith("_name"):
        return Q(kind=_Kind.NUMBER, value=value)
    if len(value) == _SHA256:
        short = Q(kind=_Kind.AUTOV2, value=value[:_AUTOV2])
        return Q(kind=_Kind.SHA256, value=value) | short
    if len(value) == _AUTOV2:
        # A range, which the index answers; a prefix would read all entries. "g" follows all digits.
        longer = Q(kind=_Kind.SHA256, value__gte=value, value__lt=f"{value}g")
        return Q(kind=_Kind.AUTOV2, value=value) | longer
    return Q(kind=_Kind.AUTOV1, value=value)


def _evidence(entry: KnownCheckpoint, key: str) -> dict[str, Any]:
    values = {"value": entry.value[:_AUTOV2], "lineage": entry.lineage, "name": entry.name}
    named = _("The trainer wrote %(value)s, which this hub knows as %(name)s: %(lineage)s.")
    plain = _("The trainer wrote %(value)s, which this hub knows as %(lineage)s.")
    return {
        "lineage": entry.lineage,
        "stance": "for",
        "confidence": _ESTIMATED,
        "rule": RULE,
        "text": (named if entry.name else plain) % values,
        "source": entry.source,
        "keys": [key],
    }


def listed(lineage: str = "") -> QuerySet[KnownCheckpoint]:
    """Return the entries, of one lineage if it is given, in a stable order."""
    entries = KnownCheckpoint.objects.order_by("lineage", "name", "kind", "value")
    return entries.filter(lineage__iexact=lineage) if lineage else entries
