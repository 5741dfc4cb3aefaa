"""Detects a database without a hub, such as that of a wrong data directory."""

from __future__ import annotations

from django.conf import settings
from django.db import DatabaseError, connection

#: The role, the database, the schema of new tables, and whether the role can create them.
_RIGHTS = """
    SELECT current_user, current_database(), name,
           has_schema_privilege(to_regnamespace(quote_ident(name))::oid, 'CREATE')
    FROM coalesce(current_schema()::text, 'public') AS name
"""


def missing_hub() -> str:
    """Return advice if the database has no tables of a hub, else ""."""
    try:
        if "registry_user" in connection.introspection.table_names():
            return ""
    except DatabaseError:
        return ""  # unavailable: the caller reports that
    return missing_rights() or (
        f"There is no hub in {settings.LORARY.data} yet. If yours is elsewhere, set LORARY_DATA "
        "(and LORARY_DATABASE_URL) to its values; otherwise start with `manage.py migrate`."
    )


def missing_rights() -> str:
    """Return PostgreSQL's error and advice if the hub's role cannot create tables, else "".

    Since PostgreSQL 15, only the owner of a database can create tables in its schema ``public``.
    """
    if connection.vendor != "postgresql":
        return ""
    try:
        with connection.cursor() as cursor:
            cursor.execute(_RIGHTS)
            role, database, schema, can_create = cursor.fetchone()
    except DatabaseError:
        return ""  # unavailable: the caller reports that
    if can_create:
        return ""
    return (
        f"PostgreSQL reports: permission denied for schema {schema}. The role {role} cannot create "
        f"tables in the database {database}. Make it the owner: as the user postgres, run "
        f'`psql -c \'ALTER DATABASE "{database}" OWNER TO "{role}"\'`. To create a database '
        f"with this owner, use `createdb -O {role} NAME`."
    )
