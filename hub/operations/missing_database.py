"""Detects a database without a hub, such as that of a wrong data directory."""

from __future__ import annotations

from django.conf import settings
from django.db import DatabaseError, connection


def missing_hub() -> str:
    """Return advice if the database has no tables of a hub, else ""."""
    try:
        if "registry_user" in connection.introspection.table_names():
            return ""
    except DatabaseError:
        return ""  # unavailable: the caller reports that
    return (
        f"There is no hub in {settings.LORARY.data} yet. If yours is elsewhere, set LORARY_DATA "
        "(and LORARY_DATABASE_URL) to its values; otherwise start with `manage.py migrate`."
    )
