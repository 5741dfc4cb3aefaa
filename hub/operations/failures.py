"""Sentences about a place or a database that cannot be used."""

from __future__ import annotations

from registry.errors import StorageFull


def place_problem(place: object, error: OSError | StorageFull) -> str:
    """Return a sentence that names the folder or bucket that could not be used, and the reason.

    Args:
        place: What was used; an error about one file names that instead.
    """
    reason = error.__cause__ or error if isinstance(error, StorageFull) else error
    if isinstance(reason, OSError):
        return f"Cannot use {reason.filename or place}: {reason.strerror or reason}."
    return f"Cannot use {place}: {reason}"
