"""Silence for messages that alarm without cause.

Opening a base makes transformers print tables of its weights, and diffusers warns of every
component whose names a file does not have. ``normalise.py`` counts what a file changes, so nothing
is lost with these words.
"""

from __future__ import annotations

import logging
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING

import diffusers.utils.logging as diffusers_log
import transformers.utils.logging as transformers_log

from previews.render.errors import BaseUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from previews.render.bases.bases_file import Base

__all__ = ["FOREIGN", "quiet", "refusing"]


@contextmanager
def quiet() -> Iterator[None]:
    """Keep diffusers, transformers and PEFT silent below critical for the time of the block."""
    before = (diffusers_log.get_verbosity(), transformers_log.get_verbosity())
    transformers_log.disable_progress_bar()  # type: ignore[no-untyped-call]
    diffusers_log.disable_progress_bar()
    diffusers_log.set_verbosity(logging.CRITICAL)
    transformers_log.set_verbosity(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        diffusers_log.set_verbosity(before[0])
        transformers_log.set_verbosity(before[1])


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
