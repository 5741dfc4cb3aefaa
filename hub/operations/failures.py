"""Sentences about a place or a database that cannot be used."""

from __future__ import annotations

from django.db import DatabaseError

from hub.http.problems import is_unconnected
from registry.errors import StorageFull

UNREACHABLE = "Check LORARY_DATABASE_URL, and that its server is running or its folder exists."


def place_problem(place: object, error: OSError | StorageFull) -> str:
    """Return a sentence that names the folder or bucket that could not be used, and the reason.

    Args:
        place: What was used; an error about one file names that instead.
    """
    reason = error.__cause__ or error if isinstance(error, StorageFull) else error
    if isinstance(reason, OSError):
        return f"Cannot use {reason.filename or place}: {reason.strerror or reason}."
    return f"Cannot use {place}: {reason}"


def unreachable(error: DatabaseError) -> str:
    """Return a sentence with advice if an error says that the database is away, else ""."""
    if not is_unconnected(error):
        return ""
    reason = " ".join(str(error).split())
    end = "" if reason.endswith((".", "?")) else "."
    return f"The database cannot be reached: {reason}{end} {UNREACHABLE}"
