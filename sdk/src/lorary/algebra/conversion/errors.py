"""Refusals of conversions."""

from __future__ import annotations

from lorary.algebra.errors import AlgebraError
from lorary.anatomy.claims.metadata import clean


def refuse_module(name: str, reason: str, *, code: str = "not_convertible") -> AlgebraError:
    """Return the error for a module that the target can't hold, or that is broken.

    Args:
        name: Name in the file.
        reason: The rest of the sentence, without the full stop.
        code: One of `ALGEBRA_CODES`.
    """
    shown = clean(name)
    message = f"The module “{shown}” {reason}."
    return AlgebraError(message, code=code, module=shown)


def refuse(message: str, *, code: str, **facts: object) -> AlgebraError:
    """Return the error for a file."""
    return AlgebraError(message, code=code, **facts)
