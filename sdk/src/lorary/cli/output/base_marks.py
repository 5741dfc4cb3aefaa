"""The signs after a base model in the lists of `lorary inspect` and `lorary list`."""

from __future__ import annotations

from collections.abc import Sequence

#: The metadata names another base model than the one that the tensors prove.
CONFLICT = "≠"
UNPROVEN = "?"
#: What the help of these commands says about the signs.
HELP = (
    "  ?  the base model is not proven: only the metadata names it, or the tensors may\n"
    "     belong to another one. If several are listed, the first one is the most likely\n"
    "  ≠  the metadata names a different base model from the one that the tensors prove"
)


def marked(names: Sequence[str], likely: str | None, confidence: str) -> str:
    """Return the base models that a file may belong to, with a sign if none is proven.

    Args:
        names: All that fit; none if no known one does.
        likely: The most used of several, if there is one; it comes first.
        confidence: That of the verdict.
    """
    if likely is not None:
        return " / ".join([f"{likely}{UNPROVEN}", *(name for name in names if name != likely)])
    is_marked = confidence == "unknown" or (len(names) == 1 and confidence != "proven")
    return f"{' / '.join(names)}{UNPROVEN if is_marked else ''}" if names else "unknown"
