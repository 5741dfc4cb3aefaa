"""A database in which there is no hub, as that of a data directory that was named by mistake."""

from __future__ import annotations

from django.conf import settings
from django.db import DatabaseError, connection


def missing_hub() -> str:
    """Return what to do where the database has no tables of a hub; "" where it has some."""
    try:
        if "registry_user" in connection.introspection.table_names():
            return ""
    except DatabaseError:
        return ""  # it is away, and whoever asked it says so
    return (
        f"There is no hub in {settings.LORARY.data} yet. If yours is elsewhere, set LORARY_DATA "
        "(and LORARY_DATABASE_URL) as it has them; else begin with `manage.py migrate`."
    )
