"""The output of `lorary inspect` for many files: one line each."""

from __future__ import annotations

from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size

from lorary.anatomy import Anatomy, Base, Inspection, algorithm_title, family_title
from lorary.cli.output.base_marks import CONFLICT, marked
from lorary.cli.output.inspect_page import CONFIDENCE_STYLES, claimed_title, is_only_claimed
from lorary.cli.output.text import plain, styled
from lorary.sizes import count_bytes

_VERDICT, _METHOD, _SIZE = 24, 14, 9
_GAP = "  "
_LEAST_NAME = 12
_SHORT_TITLES = (
    ("Stable Diffusion XL", "SDXL"),
    ("Stable Diffusion", "SD"),
    ("image-to-video", "I2V"),
)


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns of a line and their widths."""

    name: int
    is_cut: bool = False  # whether longer texts are cut; in a pipe they are complete
    has_method: bool = True  # whether method and rank are shown
    has_size: bool = True  # whether the size is shown

    def fit(self, text: str, wide: int, mark: str = "") -> str:
        """Return a text and its mark, padded or cut to this many columns."""
        room = wide - len(mark)
        if self.is_cut and cell_len(text) > room:
            return f"{set_cell_size(text, room - 1)}…{mark}"
        return f"{text}{mark}{' ' * (room - cell_len(text))}"


def columns_for(longest_name: int, terminal: int | None) -> Columns:
    """Distribute the width of a line; the base model is dropped last.

    Args:
        longest_name: Width of the longest name, in columns.
        terminal: Width of the terminal in columns; None without a terminal.
    """
    if terminal is None:
        return Columns(longest_name)
    with_method = terminal - len(_GAP) - _VERDICT - len(_GAP) - _METHOD
    with_size = with_method - len(_GAP) - _SIZE
    has_size, has_method = with_size >= 2 * _LEAST_NAME, with_method >= _LEAST_NAME
    room = with_size if has_size else with_method if has_method else terminal - len(_GAP) - _VERDICT
    name = min(longest_name, max(_LEAST_NAME, room))
    return Columns(name, is_cut=True, has_method=has_method, has_size=has_size)


def line_of(name: str, inspection: Inspection, columns: Columns) -> str:
    """Return one line about a file: name, base model, method with rank, size."""
    lead = columns.fit(plain(name), columns.name)
    anatomy = inspection.anatomy
    if anatomy is None:
        code = inspection.refusal.code if inspection.refusal else "refused"
        reason = "cannot be read" if code == "unreadable" else f"refused: {code}"
        return f"{lead}{_GAP}{styled(reason, 'red')}"
    parts = [lead, *_columns(anatomy, inspection, columns)]
    if columns.has_size:
        parts.append(styled(count_bytes(anatomy.file.size_bytes), "dim"))
    return _GAP.join(parts).rstrip()


def _columns(anatomy: Anatomy, inspection: Inspection, columns: Columns) -> list[str]:
    """Return the base model and the method; for other kinds of files, the kind instead."""
    if anatomy.kind != "adapter":
        wide = _VERDICT + (len(_GAP) + _METHOD if columns.has_method else 0)
        kind = anatomy.kind.replace("_", " ")
        return [styled(columns.fit(f"not an adapter: {kind}", wide), "yellow")]
    base = anatomy.base
    is_refused = any(found.severity == "error" for found in inspection.findings)
    conflicts = base.agreement == "conflict"
    mark = CONFLICT if conflicts else "!" if is_refused else ""
    style = "red" if conflicts else CONFIDENCE_STYLES.get(base.confidence, "dim")
    cells = [styled(columns.fit(_title(base), _VERDICT, mark), style)]
    if columns.has_method:
        method = algorithm_title(anatomy.algorithm) if anatomy.algorithm else "-"
        rank = "" if anatomy.rank is None else f" {anatomy.rank}"
        cells.append(columns.fit(method + rank, _METHOD))
    return cells


def _title(base: Base) -> str:
    """Return the display name of the base model, with a question mark if it is not proven."""
    if is_only_claimed(base):
        return f"{_short(claimed_title(base))}?"
    likely = None if base.likely is None else _short(family_title(base.likely))
    titles = [_short(family_title(name)) for name in base.candidates]
    return marked(titles, likely, base.confidence)


def _short(title: str) -> str:
    for long, short in _SHORT_TITLES:
        title = title.replace(long, short)
    return title
