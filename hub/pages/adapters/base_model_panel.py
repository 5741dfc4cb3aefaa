"""The verdict: what the author declares, what the file claims, what its tensors prove."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from hub.pages.labels import count, family_label, family_labels, strength_range
from hub.templatetags.lorary import digest, strength
from lorary.anatomy import FAMILIES
from lorary.anatomy.claims.base_models import FILE_NAME, covers
from registry.blobs.anatomies import allowed_families

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from registry.models import Version

    Document = Mapping[str, Any]

MAX_WORDS = 3

_DIGEST = re.compile(r"(0x)?[0-9A-Fa-f]{64}")


@dataclass(frozen=True, slots=True)
class Cell:
    """One answer; struck when the tensors prove another. The note says where it is written."""

    text: str = ""
    note: str = ""
    is_struck: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """One question with three answers; nobody is asked what can be measured."""

    title: str
    declared: Cell
    claimed: Cell
    proven: Cell
    is_measured: bool = False

    @property
    def cells(self) -> tuple[Cell, Cell, Cell]:
        """The answers in the order of the columns."""
        return self.declared, self.claimed, self.proven

    @property
    def is_wrong(self) -> bool:
        """Whether somebody said something else than what is proven."""
        return self.declared.is_struck or self.claimed.is_struck


@dataclass(frozen=True, slots=True)
class Reason:
    """Why the verdict is what it is: a sentence, and the tensors or keys that show it."""

    text: str
    keys: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is known of a version's base model, and how.

    Attributes:
        sentence: The answer.
        conflict: Who said something else, empty when nobody did.
        how: How sure the answer is, in words.
        rows: Every question with its three answers.
        reasons: What shows it, in the order in which it was found.
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
    said = version.family or (base.get("claimed") or {}).get("family") or ""
    name = family_label(said) if said in FAMILIES else base.get("lineage") or family_label(said)
    if name:
        return _("Claimed to fit %(family)s, without proof.") % {"family": name}
    return _("No known base model has these layers.")


def _is_other_allowed(declared: str, base: Document) -> bool:
    """Tell whether the author names another family than the file does, and the tensors allow it."""
    family = base.get("family")
    return bool(family) and declared != family and declared in allowed_families(base)


def _sentence_of_several(declared: str, base: Document) -> str:
    if declared in allowed_families(base):
        text = _(
            "Made for %(family)s, according to its author; adapters for %(others)s look the same."
        )
        return text % _apart(declared, base)
    if base.get("likely"):
        return _("Likely %(family)s.") % {"family": likely(base)}
    return _("Fits one of: %(families)s.") % {"families": family_labels(base["candidates"])}


def likely(base: Document) -> str:
    """Return the likely base model with those that it cannot be told from."""
    return _("%(family)s; adapters for %(others)s look the same") % _apart(base["likely"], base)


def _apart(family: str, base: Document) -> dict[str, str]:
    others = [one for one in allowed_families(base) if one != family]
    return {"family": family_label(family), "others": family_labels(others)}


def is_chosen_by_claim(base: Document) -> bool:
    """Tell whether the file's own word chose the family among those that its tensors allow."""
    rules = [one["rule"] for one in base.get("evidence") or ()]
    return bool(base.get("family")) and base.get("confidence") != "proven" and "claim" in rules


def refuted_lineages(base: Document) -> list[Document]:
    """Return the checkpoints that the file names and its tensors rule out."""
    claimed: Document = base.get("claimed") or {}
    if "lineages" in claimed:
        return [one for one in claimed["lineages"] if one["is_refuted"]]
    source, possible = claimed.get("lineage_source"), base.get("candidates") or ()
    told = [one for one in (claimed, *claimed.get("others", ())) if one.get("family")]
    families = [one["family"] for one in told if one["source"] == source]
    fits = any(covers(family, one) for family in families for one in possible)
    if fits or not families or not possible:
        return []
    return [{"lineage": base["lineage"], "source": source, "value": claimed["lineage_value"]}]


def lineage_of(base: Document) -> str:
    """Return the checkpoint that the file was trained on, empty when nothing credible names it."""
    lineage = base.get("lineage") or ""
    return "" if lineage in {one["lineage"] for one in refuted_lineages(base)} else lineage


def _how_of(declared: str, base: Document) -> str:
    if not _is_other_allowed(declared, base):
        return how(base)
    text = _("Its tensors allow several base models. The file itself says %(family)s.")
    return text % {"family": family_label(base["claimed"]["family"])}


def how(base: Document) -> str:
    """Return how sure a verdict is, and how the file's own word stands to it."""
    return " ".join(filter(None, (_confidence(base), _agreement(base))))


def _confidence(base: Document) -> str:
    if base["confidence"] == "proven":
        return _("Proven: names and shapes of its tensors fit no other known base model.")
    if is_chosen_by_claim(base):
        return _("Its tensors allow several base models; its metadata decides among them.")
    if len(base["candidates"]) > 1 and base["confidence"] != "unknown":
        return _("In all of them the layers that this file changes have the same names and "
                 "shapes, so its tensors cannot distinguish them.")  # fmt: skip
    if base["family"]:
        return _("Likely: weaker evidence rules out the others with such layers.")
    if base["candidates"]:
        return _("Its tensors fit, but those of another model can look the same.")
    return _("No known base model has its layers.")


def _agreement(base: Document) -> str:
    if base["agreement"] == "no-claim":
        return _("The file itself names no known base model.")
    if base["agreement"] != "agree" or not base["candidates"] or is_chosen_by_claim(base):
        return ""
    if base["family"]:
        return _("The metadata of the file agrees.")
    said = {"family": family_label(base["claimed"]["family"])}
    return _("The file itself says %(family)s.") % said


def conflict_of(base: Document) -> str:
    """Return how the file contradicts its own tensors, empty when it does not."""
    if base.get("agreement") != "conflict":
        return ""
    claimed = base["claimed"]
    said = {"family": family_label(claimed["family"]), "source": claimed["source"]}
    if base["candidates"]:
        return (
            _(
                "The file claims %(family)s (%(source)s), but its tensors contradict this. "
                "The tensors decide."
            )
            % said
        )
    return _("The file says %(family)s (%(source)s). Its tensors do not fit that.") % said


def _declared_conflict(version: Version, base: Document) -> str:
    declared, possible = version.declared_family, allowed_families(base)
    if not declared or not possible or declared in possible:
        return ""
    return _(
        "The author declares %(family)s, but the tensors contradict this. The tensors decide."
    ) % {"family": family_label(declared)}


def reasons_of(base: Document) -> list[Reason]:
    """Return what shows the verdict: the tensors first, then each word of the file."""
    reasons = [Reason(one["text"], one["keys"]) for one in base.get("evidence") or ()]
    claimed: Document = base.get("claimed") or {}
    told = [one for one in (claimed, *claimed.get("others", ())) if one.get("family")]
    of_lineage = {one["source"] for one in refuted_lineages(base)}
    of_lineage.add(claimed.get("lineage_source"))
    reasons += [_claim(one) for one in told if one["source"] not in of_lineage]
    return [*reasons, *_lineage_reasons(base)]


def _lineage_reasons(base: Document) -> list[Reason]:
    claimed, lineage = base.get("claimed") or {}, lineage_of(base)
    reasons = []
    if lineage and claimed.get("lineage_source"):
        told = {"source": claimed["lineage_source"], "value": claimed["lineage_value"]}
        reasons.append(_lineage_reason({**told, "lineage": lineage}))
    for one in refuted_lineages(base):
        told_wrong = _lineage_reason(one)
        text = f"{told_wrong.text} {_('Its tensors rule that out.')}"
        reasons.append(Reason(text, told_wrong.keys))
    return reasons


def _lineage_reason(told: Document) -> Reason:
    if told["source"] == FILE_NAME:
        return Reason(_("Its name says %(lineage)s.") % {"lineage": told["lineage"]})
    text = _("Its metadata names the checkpoint %(value)s: %(lineage)s.")
    said = {"value": _quoted(told["value"]), "lineage": told["lineage"]}
    return Reason(text % said, [told["source"]])


def _claim(claim: Document) -> Reason:
    if claim["source"] == FILE_NAME:
        return Reason(_("Its name says %(family)s.") % {"family": family_label(claim["family"])})
    text = _("Its metadata says %(value)s: %(family)s.")
    said = {"value": _quoted(claim["value"]), "family": family_label(claim["family"])}
    return Reason(text % said, [claim["source"]])


def _quoted(value: str) -> str:
    """Return what a key says in quotes, of a digest only its ends."""
    return f"“{digest(value) if _DIGEST.fullmatch(value) else value}”"


def _family_row(version: Version, base: Document) -> Row:
    possible = allowed_families(base)
    claimed: Document = base.get("claimed") or {}
    said, declared = claimed.get("family") or "", version.declared_family
    is_wrong = bool(declared and possible) and declared not in possible
    return Row(
        _("Base"),
        Cell(family_label(declared), is_struck=is_wrong),
        Cell(
            family_label(said),
            claimed.get("source") or "",
            is_struck=base.get("agreement") == "conflict" and bool(possible),
        ),
        Cell(_shown(base)),
    )


def _shown(base: Document) -> str:
    """Return what the tensors say, no surer than they are."""
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
        said, proven = Cell(), Cell(lineage)
    else:
        said, proven = Cell(lineage, source), Cell()
    if refuted and not said.text:
        names = ", ".join(dict.fromkeys(one["lineage"] for one in refuted))
        said = Cell(names, refuted[0]["source"], is_struck=True)
    return Row(_("Lineage"), Cell(version.lineage), said, proven)


def _measured_rows(anatomy: Document) -> list[Row]:
    """Rank, alpha and layers, as the metadata says and as the tensors are."""
    training, ranks = anatomy["training"], anatomy["rank"]["histogram"]
    dim = training.get("network_dim")
    is_wrong = bool(ranks) and isinstance(dim, int) and str(dim) not in ranks
    alpha = _number(anatomy["alpha"]["mode"])
    said_alpha = _number(training.get("network_alpha"))
    is_read = anatomy["alpha"]["values_read"] > 0
    said = Cell(
        said_alpha or ("" if is_read else alpha),
        is_struck=bool(is_read and said_alpha) and said_alpha != alpha,
    )
    measured = (
        (_("Rank"), Cell(_number(dim), is_struck=is_wrong), _ranks(anatomy)),
        (_("Alpha"), said, alpha if is_read else ""),
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
    told = {"mode": rank["mode"], "min": rank["min"], "max": rank["max"]}
    return _("%(mode)s, from %(min)s to %(max)s") % told


def layers(told: Document) -> str:
    """Return ``264 of 264``, or the number alone where it says nothing of a whole.

    Norms come on top of the layers that a whole file is expected to have, and are not compared.
    """
    here = told["modules"] - told["kinds"].get("norm", 0)
    if told["expected"] and 0 < here <= told["expected"]:
        return _("%(here)s of %(all)s") % {"here": count(here), "all": count(told["expected"])}
    return count(told["modules"]) if told["modules"] else ""


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
    return Row(_("Trigger"), Cell(", ".join(version.trigger_words)), claimed, Cell())


def _strength_row(version: Version, anatomy: Document) -> Row:
    claimed = strength((anatomy.get("metadata") or {}).get("recommended_strength"))
    return Row(_("Strength"), Cell(strength_range(version)), Cell(claimed), Cell())
