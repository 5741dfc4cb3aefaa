"""Returns the file for an address: one compiled query for most requests, several for others."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from django.contrib.auth.models import AnonymousUser
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from registry.adapters import selectors as adapter_selectors
from registry.database.compiled_queries import Compiled, integer, text
from registry.errors import Forbidden
from registry.models import OUT_STATES, Access, Adapter, File, User, Visibility
from registry.names import key_of
from registry.versions import selectors as version_selectors

#: Columns for ``served_of``; reading all columns of five tables costs more than the query.
SERVED = (
    "path",
    "is_primary",
    "variant",
    "blob__sha256",
    "blob__size_bytes",
    "blob__is_stored",
    "revision__versions__adapter__visibility",
    "revision__versions__adapter__access",
    "revision__versions__adapter__blocked_reason",
)
_NUMBER = re.compile(r"v([1-9][0-9]{0,8})\Z")


class Bytes(NamedTuple):
    """The columns of a blob that sending needs; a model instance costs more than the query."""

    sha256: str
    size_bytes: int
    is_stored: bool


@dataclass(frozen=True, slots=True)
class Served:
    """A file of a version, and whether it is public."""

    path: str
    is_primary: bool
    variant: str
    blob: Bytes
    version_id: int
    is_public: bool


def get(
    user: User | AnonymousUser | None, owner: str, name: str, version: str, path: str
) -> Served:
    """Return the file at ``owner/name``, version (or alias, or revision) and path."""
    found = _quick(user, owner, name, version, path)
    if found is not None:
        return found
    adapter = adapter_selectors.get(user, owner, name)
    require_access(user, adapter)
    row = version_selectors.get(user, adapter, version)
    file = version_selectors.file(row, path)
    blob = Bytes(file.blob.sha256, file.blob.size_bytes, file.blob.is_stored)
    is_public = is_for_everybody(adapter.visibility, adapter.access, adapter.blocked_reason)
    return Served(file.path, file.is_primary, file.variant, blob, row.pk, is_public)


def served_of(version_id: int, row: Sequence[Any]) -> Served:
    """Return a file from the raw values of the columns ``SERVED``."""
    path, is_primary, variant, sha256, size_bytes, is_stored, *listing = row
    blob = Bytes(sha256, size_bytes, bool(is_stored))
    is_public = is_for_everybody(*listing)
    return Served(path, bool(is_primary), variant, blob, version_id, is_public)


def is_for_everybody(visibility: str, access: str, blocked_reason: str) -> bool:
    """Whether shared caches may store files of an adapter with these columns."""
    return visibility == Visibility.PUBLIC and access == Access.OPEN and not blocked_reason


def require_access(user: User | AnonymousUser | None, adapter: Adapter) -> None:
    """Require that the user may download files of an adapter that they can see.

    Raises:
        Forbidden: it is gated; ``facts["access"]`` is the kind of gate.
    """
    if adapter.access == Access.OPEN:
        return
    if not Adapter.objects.open_to(user).filter(pk=adapter.pk).exists():
        text = _(
            "“%(name)s” is gated: only users with the owner's permission can download its files."
        )
        raise Forbidden(text % {"name": adapter.full_name}, access=adapter.access)


def _quick(
    user: User | AnonymousUser | None, owner: str, name: str, version: str, path: str
) -> Served | None:
    """Return a public file by current names and version number; None if the query finds none."""
    number = _NUMBER.match(version)
    if number is None:
        return None
    values: dict[str, str | int] = {
        "owner": key_of(owner),
        "name": key_of(name),
        "number": int(number[1]),
        "path": path,
    }
    token = user.access_token if user is not None and user.is_authenticated else None
    is_bound = token is not None and token.is_bound  # the compiled query ignores tokens
    if user is None or not user.is_authenticated or is_bound:
        row = _FOR_STRANGERS.first(**values)
    else:
        row = _FOR_USERS.first(**values, user_id=user.pk)
    if row is None:
        return None
    version_id, *columns = row
    return served_of(version_id, columns)


def _rows(
    owner: str, name: str, number: int, path: str, user_id: int | None = None
) -> QuerySet[File, Any]:
    """Return the query behind ``_quick``; names are keys."""
    user = None if user_id is None else User(pk=user_id)
    seen = Adapter.objects.visible_to(user).filter(
        key=name, namespace__key=owner, access=Access.OPEN
    )
    rows = File.objects.filter(
        path=path,
        revision__versions__number=number,
        revision__versions__state__in=OUT_STATES,
        revision__versions__adapter__in=seen,
    )
    return rows.order_by().values_list("revision__versions", *SERVED)[:1]


_NAMES = {"owner": text("owner"), "name": text("name"), "path": text("path")}
_FOR_STRANGERS = Compiled(_rows, **_NAMES, number=integer(1))
_FOR_USERS = Compiled(_rows, **_NAMES, number=integer(1), user_id=integer(2))
