"""Handles messages and exceptions of torch, diffusers and transformers."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import diffusers.utils.logging as diffusers_log
import transformers.utils.logging as transformers_log

from previews.render.bases.bases_file import Base
from previews.render.errors import BaseUnavailable


@contextmanager
def quiet() -> Iterator[None]:
    """Silence diffusers, transformers and PEFT, which warn about valid files."""
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


#: Exceptions that libraries raise for an unsuitable base or call.
LIBRARY_ERRORS = (
    AssertionError, AttributeError, ImportError, KeyError, OSError, RuntimeError, TypeError,
    ValueError,
)  # fmt: skip


@contextmanager
def as_unavailable(base: Base, what: str) -> Iterator[None]:
    """Raise ``BaseUnavailable`` (“The base model “x” {what}: …”) for exceptions of libraries."""
    try:
        yield
    except LIBRARY_ERRORS as error:
        msg = f"The base model “{base.id}” {what}: {error}"
        raise BaseUnavailable(msg) from error
