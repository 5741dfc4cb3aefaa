"""The verdict panel: declared by the author, claimed by the file, proven by its tensors."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from hub.pages.labels import count, family_label, family_labels, strength_range
from hub.templatetags.lorary import digest, strength
from lorary.anatomy import FAMILIES
from lorary.anatomy.claims.base_models import FILE_NAME, covers
from registry.blobs.anatomies import allowed_families, claimed_family
from registry.models import Version

Document = Mapping[str, Any]

MAX_WORDS = 3

_DIGEST = re.compile(r"(0x)?[0-9A-Fa-f]{64}")


@dataclass(frozen=True, slots=True)
class Cell:
    """One answer and its source; it is struck out if the tensors prove another."""

    text: str = ""
    note: str = ""
    is_struck: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """A row with three answers; measured values have no declared one."""

    title: str
    declared: Cell
    claimed: Cell
    proven: Cell
    is_measured: bool = False

    @property
    def cells(self) -> tuple[Cell, Cell, Cell]:
        """Return the answers in the order of the columns."""
        return self.declared, self.claimed, self.proven

    @property
    def is_wrong(self) -> bool:
        """Whether a declared or claimed value contradicts the proven one."""
        return self.declared.is_struck or self.claimed.is_struck


@dataclass(frozen=True, slots=True)
class Reason:
    """A reason for the verdict: a sentence, and the tensors or keys that show it."""

    text: str
    keys: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """The verdict on a version's base model.

    Attributes:
        sentence: The answer.
        conflict: A sentence about a contradicting declaration or claim, otherwise empty.
        how: A sentence about the confidence.
        rows: Rows with three answers each.
        reasons: The reasons, in the order of the evidence.
    """

    sentence: str
    conflict: str = ""
    how: str = ""
    rows: list[Row] = field(default_factory=list)
    reasons: list[Reason] = field(default_factory=list)


def verdict_of(version: Version, anatomy: Document) -> Verdict:
    """Return the verdict of a version from its primary file's anatomy (empty: not read)."""
    base: Document = anatomy.get("base") or {}
    rows = [
        _family_row(version, base),
        _lineage_row(version, base),
        *(_measured_rows(anatomy) if anatomy else ()),
        _trigger_row(version, anatomy),
        _strength_row(version, anatomy),
    ]
    return Verdict(
        sentence=_sentence(version, base),
        conflict=conflict_of(base) or _declared_conflict(version, base),
        how=_how_of(version.declared_family, base) if base else "",
        rows=[row for row in rows if any(cell.text for cell in row.cells)],
        reasons=reasons_of(base),
    )


def _sentence(version: Version, base: Document) -> str:
    family, declared = base.get("family"), version.declared_family
    candidates: Sequence[str] = base.get("candidates") or ()
    if _is_other_allowed(declared, base):
        return _sentence_of_several(declared, base)
    if family:
        return _("Fits %(family)s.") % {"family": family_label(family)}
    if candidates and base["confidence"] == "unknown":
        return _("May fit %(family)s.") % {"family": family_labels(candidates)}
    if candidates:
        return _sentence_of_several(declared, base)
    claimed = version.family or (base.get("claimed") or {}).get("family") or ""
    name = (
        family_label(claimed)
        if claimed in FAMILIES
        else base.get("lineage") or family_label(claimed)
    )
    if name:
        return _("Claimed to fit %(family)s, without proof.") % {"family": name}
    return _("No known base model has these layers.")


def _is_other_allowed(declared: str, base: Document) -> bool:
    """Whether the author declares another family than the file claims, and the tensors allow it."""
    family = base.get("family")
    return bool(family) and declared != family and declared in allowed_families(base)


def _sentence_of_several(declared: str, base: Document) -> str:
    stated = claimed_family(base)
    if stated and declared in {"", stated}:
        text = _(
            "Made for %(family)s, stated by the file; adapters for %(others)s have the same "
            "structure."
        )
        return text % _apart(stated, base)
    if declared in allowed_families(base):
        text = _(
            "Made for %(family)s, according to its author; adapters for %(others)s have the same "
            "structure."
        )
        return text % _apart(declared, base)
    if base.get("likely"):
        return _("Likely %(family)s.") % {"family": likely(base)}
    return _("Fits one of: %(families)s.") % {"families": family_labels(base["candidates"])}


def likely(base: Document) -> str:
    """Return the likely base model with those that it cannot be distinguished from."""
    text = _("%(family)s; adapters for %(others)s have the same structure")
    return text % _apart(base["likely"], base)


def _apart(family: str, base: Document) -> dict[str, str]:
    others = [one for one in allowed_families(base) if one != family]
    return {"family": family_label(family), "others": family_labels(others)}


def is_chosen_by_claim(base: Document) -> bool:
    """Whether the file's claim decided between families that its tensors allow."""
    rules = [one["rule"] for one in base.get("evidence") or ()]
    return bool(base.get("family")) and base.get("confidence") != "proven" and "claim" in rules


def refuted_lineages(base: Document) -> list[Document]:
    """Return the checkpoints that the file claims and its tensors rule out."""
    claimed: Document = base.get("claimed") or {}
    if "lineages" in claimed:
        return [one for one in claimed["lineages"] if one["is_refuted"]]
    source, possible = claimed.get("lineage_source"), base.get("candidates") or ()
    claims = [one for one in (claimed, *claimed.get("others", ())) if one.get("family")]
    families = [one["family"] for one in claims if one["source"] == source]
    fits = any(covers(family, one) for family in families for one in possible)
    if fits or not families or not possible:
        return []
    return [{"lineage": base["lineage"], "source": source, "value": claimed["lineage_value"]}]


def lineage_of(base: Document) -> str:
    """Return the checkpoint that the file was trained on; "" without a credible claim."""
    lineage = base.get("lineage") or ""
    return "" if lineage in {one["lineage"] for one in refuted_lineages(base)} else lineage


def _how_of(declared: str, base: Document) -> str:
    if not _is_other_allowed(declared, base):
        return how(base)
    text = _("Its tensors allow several base models. The file itself says %(family)s.")
    return text % {"family": family_label(base["claimed"]["family"])}


def how(base: Document) -> str:
    """Return sentences about the confidence of a verdict, and its agreement with the claims."""
    return " ".join(filter(None, (_confidence(base), _agreement(base))))


def _confidence(base: Document) -> str:
    if base["confidence"] == "proven":
        return _("Proven: names and shapes of its tensors fit no other known base model.")
    if is_chosen_by_claim(base):
        return _("Its tensors allow several base models; its metadata decides among them.")
    if len(base["candidates"]) > 1 and base["confidence"] != "unknown":
        return _("The layers that this file changes have the same names and shapes in all of these "
                 "base models, so its tensors cannot distinguish them.")  # fmt: skip
    if base["family"]:
        return _("Likely: several base models have these layers, but weaker evidence rules out "
                 "the others.")  # fmt: skip
    if base["candidates"]:
        return _("Its tensors fit, but adapters for another model can have the same structure.")
    return _("No known base model has its layers.")


def _agreement(base: Document) -> str:
    if base["agreement"] == "no-claim":
        return _("The file itself names no known base model.")
    if base["agreement"] != "agree" or not base["candidates"] or is_chosen_by_claim(base):
        return ""
    if base["family"]:
        return _("The metadata of the file agrees.")
    values = {"family": family_label(base["claimed"]["family"])}
    return _("The file itself says %(family)s.") % values


def conflict_of(base: Document) -> str:
    """Return a sentence if the file's claim contradicts its tensors, otherwise ""."""
    if base.get("agreement") != "conflict":
        return ""
    claimed = base["claimed"]
    values = {"family": family_label(claimed["family"]), "source": claimed["source"]}
    if base["candidates"]:
        return (
            _(
                "The file claims %(family)s (%(source)s), but its tensors contradict this. "
                "The tensors decide."
            )
            % values
        )
    return (
        _("The file says %(family)s (%(source)s). Its tensors do not fit that base model.") % values
    )


def _declared_conflict(version: Version, base: Document) -> str:
    declared, possible = version.declared_family, allowed_families(base)
    if not declared or not possible or declared in possible:
        return ""
    return _(
        "The author declares %(family)s, but the tensors contradict this. The tensors decide."
    ) % {"family": family_label(declared)}


def reasons_of(base: Document) -> list[Reason]:
    """Return the reasons of the verdict: the tensors first, then the claims."""
    reasons = [Reason(one["text"], one["keys"]) for one in base.get("evidence") or ()]
    claimed: Document = base.get("claimed") or {}
    claims = [one for one in (claimed, *claimed.get("others", ())) if one.get("family")]
    of_lineage = {one["source"] for one in refuted_lineages(base)}
    of_lineage.add(claimed.get("lineage_source"))
    evidence = base.get("lineage_evidence") or ()
    reasons += [_claim(one) for one in claims if one["source"] not in of_lineage]
    return [*reasons, *_lineage_reasons(base), *_unidentified(base), *map(_found, evidence)]


def _unidentified(base: Document) -> list[Reason]:
    """Return that the lineage was measured and none was identified, if that is so."""
    measured: Document = base.get("measured_lineage") or {}
    if not measured or measured["lineage"]:
        return []
    return [Reason(_("Measured: %(text)s") % {"text": measured["text"]})]


def _found(evidence: Document) -> Reason:
    """Return measured or estimated evidence of a lineage."""
    is_measured = evidence["confidence"] == "measured"
    text = (
        _("Measured: %(text)s %(source)s")
        if is_measured
        else _("Estimate: %(text)s Source: %(source)s")
    )
    return Reason(text % {"text": evidence["text"], "source": evidence["source"]}, evidence["keys"])


def _lineage_reasons(base: Document) -> list[Reason]:
    claimed, lineage = base.get("claimed") or {}, lineage_of(base)
    reasons = []
    if lineage and claimed.get("lineage_source"):
        claim = {"source": claimed["lineage_source"], "value": claimed["lineage_value"]}
        reasons.append(_lineage_reason({**claim, "lineage": lineage}))
    for one in refuted_lineages(base):
        told_wrong = _lineage_reason(one)
        text = f"{told_wrong.text} {_('Its tensors rule that out.')}"
        reasons.append(Reason(text, told_wrong.keys))
    return reasons


def _lineage_reason(claim: Document) -> Reason:
    if claim["source"] == FILE_NAME:
        return Reason(_("Its file name says %(lineage)s.") % {"lineage": claim["lineage"]})
    text = _("Its metadata names the checkpoint %(value)s: %(lineage)s.")
    values = {"value": _quoted(claim["value"]), "lineage": claim["lineage"]}
    return Reason(text % values, [claim["source"]])


def _claim(claim: Document) -> Reason:
    if claim["source"] == FILE_NAME:
        return Reason(
            _("Its file name says %(family)s.") % {"family": family_label(claim["family"])}
        )
    text = _("Its metadata says %(value)s: %(family)s.")
    values = {"value": _quoted(claim["value"]), "family": family_label(claim["family"])}
    return Reason(text % values, [claim["source"]])


def _quoted(value: str) -> str:
    """Return the value of a key in quotes; digests are shortened."""
    return f"“{digest(value) if _DIGEST.fullmatch(value) else value}”"


def _family_row(version: Version, base: Document) -> Row:
    possible = allowed_families(base)
    claimed: Document = base.get("claimed") or {}
    claim, declared = claimed.get("family") or "", version.declared_family
    is_wrong = bool(declared and possible) and declared not in possible
    return Row(
        _("Base"),
        Cell(family_label(declared), is_struck=is_wrong),
        Cell(
            family_label(claim),
            claimed.get("source") or "",
            is_struck=base.get("agreement") == "conflict" and bool(possible),
        ),
        Cell(_shown(base)),
    )


def _shown(base: Document) -> str:
    """Return the proven family, or the possible ones."""
    named = " / ".join(family_label(one) for one in base.get("candidates") or ())
    is_set = len(base.get("candidates") or ()) > 1 and base["confidence"] != "unknown"
    if not named or base["confidence"] == "proven" or is_set:
        return named
    if not base["family"] or is_chosen_by_claim(base):
        return _("%(family)s possible") % {"family": named}
    return _("%(family)s likely") % {"family": named}


def _lineage_row(version: Version, base: Document) -> Row:
    claimed, lineage = base.get("claimed") or {}, lineage_of(base)
    source, refuted = claimed.get("lineage_source") or "", refuted_lineages(base)
    if lineage and not source:
        claim, proven = Cell(), Cell(lineage)
    else:
        claim, proven = Cell(lineage, source), Cell()
    if refuted and not claim.text:
        names = ", ".join(dict.fromkeys(one["lineage"] for one in refuted))
        claim = Cell(names, refuted[0]["source"], is_struck=True)
    return Row(_("Lineage"), Cell(version.lineage), claim, proven)


def _measured_rows(anatomy: Document) -> list[Row]:
    """Return rank, alpha and layers, as claimed by the metadata and as measured."""
    training, ranks = anatomy["training"], anatomy["rank"]["histogram"]
    dim = training.get("network_dim")
    is_wrong = bool(ranks) and isinstance(dim, int) and str(dim) not in ranks
    alpha = _number(anatomy["alpha"]["mode"])
    said_alpha = _number(training.get("network_alpha"))
    is_read = anatomy["alpha"]["values_read"] > 0
    claim = Cell(
        said_alpha or ("" if is_read else alpha),
        is_struck=bool(is_read and said_alpha) and said_alpha != alpha,
    )
    measured = (
        (_("Rank"), Cell(_number(dim), is_struck=is_wrong), _ranks(anatomy)),
        (_("Alpha"), claim, alpha if is_read else ""),
        (_("Layers"), Cell(), layers(anatomy["layers"])),
    )
    return [
        Row(title, Cell(), claimed, Cell(proven), is_measured=True)
        for title, claimed, proven in measured
    ]


def _ranks(anatomy: Document) -> str:
    rank = anatomy["rank"]
    if not rank["histogram"]:
        return ""
    if rank["min"] == rank["max"]:
        return str(rank["mode"])
    values = {"mode": rank["mode"], "min": rank["min"], "max": rank["max"]}
    return _("%(mode)s, from %(min)s to %(max)s") % values


def layers(layer_counts: Document) -> str:
    """Return ``264 of 264``, or only the number if the expected total is unknown.

    Norms are not counted, as the expected total does not include them.
    """
    here = layer_counts["modules"] - layer_counts["kinds"].get("norm", 0)
    if layer_counts["expected"] and 0 < here <= layer_counts["expected"]:
        return _("%(here)s of %(all)s") % {
            "here": count(here),
            "all": count(layer_counts["expected"]),
        }
    return count(layer_counts["modules"]) if layer_counts["modules"] else ""


def _number(value: object) -> str:
    return f"{value:g}" if isinstance(value, int | float) else str(value or "")


def _trigger_row(version: Version, anatomy: Document) -> Row:
    words = anatomy.get("trigger_words") or ()
    sources = list(dict.fromkeys(word["source"] for word in words[:MAX_WORDS]))
    more = len(words) - MAX_WORDS
    text = ", ".join(word["text"] for word in words[:MAX_WORDS])
    if more > 0:
        text += ngettext(" and %(n)d more", " and %(n)d more", more) % {"n": more}
    claimed = Cell(text, sources[0] if len(sources) == 1 else "")
    return Row(_("Trigger words"), Cell(", ".join(version.trigger_words)), claimed, Cell())


def _strength_row(version: Version, anatomy: Document) -> Row:
    claimed = strength((anatomy.get("metadata") or {}).get("recommended_strength"))
    return Row(_("Strength"), Cell(strength_range(version)), Cell(claimed), Cell())
