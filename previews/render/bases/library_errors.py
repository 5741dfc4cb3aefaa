"""What libraries raise, as refusals: nobody is shown a traceback for a wrong setting."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from previews.render.errors import BaseUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from previews.render.bases.bases_file import Base

__all__ = ["FOREIGN", "refusing"]

#: What torch, diffusers and transformers raise at a base or a call that does not suit them.
FOREIGN = (
    AssertionError, AttributeError, ImportError, KeyError, OSError, RuntimeError, TypeError,
    ValueError,
)  # fmt: skip


@contextmanager
def refusing(base: Base, what: str) -> Iterator[None]:
    """Turn whatever libraries raise into a refusal: “The base model “x” {what}: …”.

    Raises:
        BaseUnavailable: with the library's own words.
    """
    try:
        yield
    except FOREIGN as error:
        msg = f"The base model “{base.id}” {what}: {error}"
        raise BaseUnavailable(msg) from error
