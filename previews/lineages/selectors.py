"""Reads of measured lineages: which pictures count, and the evidence in anatomy documents."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from django.utils.translation import gettext as _

from previews.models import MeasuredLineage, Sample, SampleKind, SampleState
from previews.render.lineage.verdict import METHOD, MOST
from registry.models import OUT_STATES, Version

#: Rule and confidence of the evidence.
RULE, CONFIDENCE = "denoising", "measured"


def pictures_of(version: Version) -> list[Sample]:
    """Return the pictures that are measured: the newest that say their prompt."""
    rows = version.samples.filter(
        state=SampleState.READY, kind=SampleKind.PICTURE, blob__is_stored=True
    )
    listed = rows.select_related("blob").order_by("-id")
    return [one for one in listed if one.facts.get("prompt")][:MOST]


def measured_of(version: Version) -> MeasuredLineage | None:
    """Return what was measured of a version, None if nothing was."""
    return measured_by_version([version]).get(version.pk)


def measured_by_version(versions: Iterable[Version]) -> dict[int, MeasuredLineage]:
    """Return version id → what was measured; one query for all versions.

    Records by another method are left out, and those without bases, which only say that nothing
    could be compared.
    """
    wanted = [one.pk for one in versions if one.state in OUT_STATES]
    rows = MeasuredLineage.objects.filter(version__in=wanted, method=METHOD)
    return {row.version_id: row for row in rows if row.document["bases"]}


def with_measured(
    document: Mapping[str, Any], measured: MeasuredLineage | None
) -> Mapping[str, Any]:
    """Return a version's anatomy document with what was measured of its lineage.

    Measured evidence comes before estimates. The claimed lineage stays as it is.
    """
    base = document.get("base")
    if measured is None or not base:
        return document
    evidence = [*_evidence(measured), *(base.get("lineage_evidence") or ())]
    text = f"{sentence(measured)} {size_of(measured)}"
    shown = {**measured.document, "text": text, "measured_at": measured.measured_at}
    return {**document, "base": {**base, "lineage_evidence": evidence, "measured_lineage": shown}}


def _evidence(measured: MeasuredLineage) -> Iterator[dict[str, Any]]:
    """Yield the evidence for the best lineage, and against those that are significantly worse."""
    best, *others = measured.document["bases"]
    if measured.lineage:
        yield _item(best["lineage"], "for", sentence(measured), measured)
    passed = {best["lineage"], *(one["lineage"] for one in others if not one["is_significant"])}
    for one in others:
        if one["lineage"] not in passed:
            passed.add(one["lineage"])
            text = _("%(lineage)s denoises the author's pictures worse than %(best)s: %(how)s.")
            values = {"lineage": one["lineage"], "best": best["lineage"], "how": _how_much(one)}
            yield _item(one["lineage"], "against", text % values, measured)


def _item(lineage: str, stance: str, text: str, measured: MeasuredLineage) -> dict[str, Any]:
    return {
        "lineage": lineage,
        "stance": stance,
        "confidence": CONFIDENCE,
        "rule": RULE,
        "text": text,
        "source": size_of(measured),
        "keys": [],
    }


def sentence(measured: MeasuredLineage) -> str:
    """Return what was measured in words, also if no lineage is identified."""
    best, *others = measured.document["bases"]
    apart = [one for one in others if one["lineage"] != best["lineage"]]
    nearest = next((one for one in apart if not one["is_significant"]), apart[0])
    values = {"best": best["lineage"], "other": nearest["lineage"], "how": _how_much(nearest)}
    if measured.lineage:
        text = _(
            "%(best)s denoises the author's pictures best; with the next best, %(other)s, %(how)s."
        )
        return text % values
    text = _("Cannot tell: the difference between %(best)s and %(other)s is not certain (%(how)s).")
    return text % values


def _how_much(one: Mapping[str, Any]) -> str:
    values = {"value": f"{one['difference']:.1%}", "error": f"{one['standard_error']:.1%}"}
    return _("the error is %(value)s larger, ± %(error)s") % values


def size_of(measured: MeasuredLineage) -> str:
    """Return how much was measured."""
    recipe = measured.document["recipe"]
    values = {
        "pictures": len(recipe["pictures"]),
        "levels": len(recipe["levels"]),
        "seeds": len(recipe["seeds"]),
        "bases": len(measured.document["bases"]),
        "percent": f"{recipe['significance']:.0%}",
    }
    return _(
        "%(pictures)d pictures × %(levels)d noise levels × %(seeds)d seeds on %(bases)d base "
        "models; standard error over pictures, significant at %(percent)s."
    ) % values  # fmt: skip
