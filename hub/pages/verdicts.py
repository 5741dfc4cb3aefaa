"""The verdict: what the author declares, what the file claims, what its tensors prove."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.utils.formats import number_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from hub.pages.words import family_label, strength_range
from hub.templatetags.lorary import strength

if TYPE_CHECKING:
    from collections.abc import Mapping

    from registry.models import Version

    Document = Mapping[str, Any]

__all__ = ["Cell", "Row", "Verdict", "count", "verdict_of"]


@dataclass(frozen=True, slots=True)
class Cell:
    """One answer; struck when the tensors prove another."""

    text: str = ""
    is_struck: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """One question with three answers."""

    title: str
    declared: Cell
    claimed: Cell
    proven: Cell

    @property
    def cells(self) -> tuple[Cell, Cell, Cell]:
        """The answers in the order of the columns."""
        return self.declared, self.claimed, self.proven

    @property
    def is_wrong(self) -> bool:
        """Whether somebody said something else than what is proven."""
        return self.declared.is_struck or self.claimed.is_struck


@dataclass(frozen=True, slots=True)
class Verdict:
    """A sentence and its rows."""

    sentence: str
    rows: list[Row]


def verdict_of(version: Version, anatomy: Document) -> Verdict:
    """Return the verdict of a version from its primary file's anatomy (empty: not read)."""
    answer: Document = anatomy.get("verdict") or {}
    rows = [
        _family_row(version, answer),
        _lineage_row(version, anatomy),
        _rank_row(anatomy),
        _layers_row(anatomy),
        _trigger_row(version, anatomy),
        _strength_row(version, anatomy),
    ]
    told = [row for row in rows if any(cell.text for cell in row.cells)]
    return Verdict(_sentence(version, answer, told), told)


def count(number: int) -> str:
    """Return a whole number with its groups."""
    return number_format(number, 0, use_l10n=True, force_grouping=True)


def _sentence(version: Version, answer: Document, rows: list[Row]) -> str:
    proven = answer.get("proven")
    if proven:
        text = _("Fits %(family)s.") % {"family": family_label(proven)}
    elif answer.get("candidates"):
        names = ", ".join(family_label(one) for one in answer["candidates"])
        text = _("Fits one of: %(families)s. The tensors cannot tell which.") % {"families": names}
    elif version.family:
        text = _("Said to fit %(family)s; the tensors do not prove it.") % {
            "family": family_label(version.family)
        }
    else:
        text = _("No known base model has these layers.")
    wrong = sum(row.is_wrong for row in rows)
    if not wrong:
        return text
    said = ngettext("One thing said was wrong.", "%(n)d things said were wrong.", wrong)
    return f"{text} {said % {'n': wrong}}"


def _family_row(version: Version, answer: Document) -> Row:
    proven = answer.get("proven") or ""
    possible = set(answer.get("candidates") or ()) | ({proven} if proven else set())
    return Row(
        _("Base"),
        _family_cell(version.declared_family, possible),
        _family_cell(answer.get("claimed") or "", possible),
        Cell(family_label(proven) or " / ".join(family_label(one) for one in sorted(possible))),
    )


def _family_cell(family: str, possible: set[str]) -> Cell:
    return Cell(family_label(family), bool(family and possible and family not in possible))


def _lineage_row(version: Version, anatomy: Document) -> Row:
    return Row(_("Lineage"), Cell(version.lineage), Cell(anatomy.get("lineage") or ""), Cell())


def _rank_row(anatomy: Document) -> Row:
    rank, alpha = anatomy.get("rank"), anatomy.get("alpha")
    proven = str(rank or "")
    if rank and alpha is not None and anatomy.get("alpha_source") == "read":
        proven = _("%(rank)s, alpha %(alpha)s") % {"rank": rank, "alpha": f"{alpha:g}"}
    said = (anatomy.get("training") or {}).get("network_dim")
    wrong = bool(rank and isinstance(said, int) and said != rank)
    return Row(_("Rank"), Cell(), Cell("" if said is None else str(said), wrong), Cell(proven))


def _layers_row(anatomy: Document) -> Row:
    modules = anatomy.get("modules")
    return Row(_("Layers"), Cell(), Cell(), Cell(count(modules) if modules else ""))


def _trigger_row(version: Version, anatomy: Document) -> Row:
    claimed = [word["text"] for word in anatomy.get("trigger_words") or ()]
    declared = ", ".join(version.trigger_words)
    return Row(_("Trigger"), Cell(declared), Cell(", ".join(claimed[:3])), Cell())


def _strength_row(version: Version, anatomy: Document) -> Row:
    claimed = strength(anatomy.get("recommended_strength"))
    return Row(_("Strength"), Cell(strength_range(version)), Cell(claimed), Cell())
