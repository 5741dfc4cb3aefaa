"""Evidence about lineages from the table of the hub's operator."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import reduce
from itertools import product
from operator import or_
from typing import Any

from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _

from registry.models import KnownCheckpoint

RULE = "known_hash"
_ESTIMATED = "estimated"
_AUTOV2, _SHA256 = 10, 64
_Kind = KnownCheckpoint.IdKind
_Form = tuple[str, str]


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
    forms = [(form, one["key"]) for one in ids for form in _forms(one["key"], one["value"])]
    wanted = reduce(or_, (_condition(form) for form, _key in forms))
    entries = list(KnownCheckpoint.objects.filter(wanted).order_by("pk"))
    found: dict[str, tuple[KnownCheckpoint, str]] = {}
    for (form, key), entry in product(forms, entries):
        if _has(entry, form):
            found.setdefault(entry.lineage, (entry, key))
    return list(found.values())


def _forms(key: str, value: str) -> list[_Form]:
    """Return the kinds and values that match an id; the id may be only part of a SHA-256."""
    if key.endswith("_name"):
        return [(_Kind.NUMBER, value)]
    if len(value) in {_AUTOV2, _SHA256}:
        return [(_Kind.SHA256, value), (_Kind.AUTOV2, value[:_AUTOV2])]
    return [(_Kind.AUTOV1, value)]


def _condition(form: _Form) -> Q:
    kind, value = form
    if kind == _Kind.SHA256:
        # A range, which the index answers; a prefix would read all entries. "g" follows all digits.
        return Q(kind=kind, value__gte=value, value__lt=f"{value}g")
    return Q(kind=kind, value=value)


def _has(entry: KnownCheckpoint, form: _Form) -> bool:
    kind, value = form
    stored = entry.value[: len(value)] if kind == _Kind.SHA256 else entry.value
    return (entry.kind, stored) == (kind, value)


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
