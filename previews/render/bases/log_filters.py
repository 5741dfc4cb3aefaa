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

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["quiet"]


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
