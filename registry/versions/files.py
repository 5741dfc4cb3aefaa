"""The file behind an address: in one question for nearly everybody, else the long way."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from django.utils.translation import gettext as _

from registry.adapters import selectors as adapter_selectors
from registry.compiled_queries import Compiled, integer, text
from registry.errors import Forbidden
from registry.models import OUT_STATES, Access, Adapter, File, User, Visibility
from registry.names import key_of
from registry.versions import selectors as version_selectors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django.contrib.auth.models import AnonymousUser
    from django.db.models import QuerySet

#: What sending needs, for ``served_of``; all columns of five tables cost more than the question.
SENT = (
    "path",
    "is_primary",
    "blob__sha256",
    "blob__size_bytes",
    "blob__is_stored",
    "revision__versions__adapter__visibility",
    "revision__versions__adapter__access",
)
_NUMBER = re.compile(r"v([1-9][0-9]{0,8})\Z")


class Bytes(NamedTuple):
    """Of a blob what sending needs: a row of the model costs more than the question."""

    sha256: str
    size_bytes: int
    is_stored: bool


@dataclass(frozen=True, slots=True)
class Served:
    """A file of a version, and whether everybody may see it."""

    path: str
    is_primary: bool
    blob: Bytes
    version_id: int
    is_public: bool


def get(
    user: User | AnonymousUser | None, owner: str, name: str, version: str, path: str
) -> Served:
    """Return the file at ``owner/name``, version (or alias, or revision) and path.

    Raises:
        NotFound, Gone, Moved: see ``adapters.get``, ``versions.get`` and ``versions.file``.
        Forbidden: see ``require_access``.
    """
    found = _plain(user, owner, name, version, path)
    if found is not None:
        return found
    adapter = adapter_selectors.get(user, owner, name)
    require_access(user, adapter)
    row = version_selectors.get(user, adapter, version)
    file = version_selectors.file(row, path)
    blob = Bytes(file.blob.sha256, file.blob.size_bytes, file.blob.is_stored)
    is_public = is_for_everybody(adapter.visibility, adapter.access)
    return Served(file.path, file.is_primary, blob, row.pk, is_public)


def served_of(version_id: int, row: Sequence[Any]) -> Served:
    """Return what the columns ``SENT`` tell of a file, as the database's driver gives them."""
    path, is_primary, sha256, size_bytes, is_stored, visibility, access = row
    blob = Bytes(sha256, size_bytes, bool(is_stored))
    return Served(path, bool(is_primary), blob, version_id, is_for_everybody(visibility, access))


def is_for_everybody(visibility: str, access: str) -> bool:
    """Whether a cache that serves several people may keep files of an adapter with these."""
    return visibility == Visibility.PUBLIC and access == Access.OPEN


def require_access(user: User | AnonymousUser | None, adapter: Adapter) -> None:
    """Let those pass who may have the bytes of an adapter that they may see.

    Raises:
        Forbidden: it is gated; ``facts["access"]`` says how.
    """
    if adapter.access == Access.OPEN:
        return
    if not Adapter.objects.open_to(user).filter(pk=adapter.pk).exists():
        text = _("“%(name)s” is gated: only those whom its owner lets in may have its files.")
        raise Forbidden(text % {"name": adapter.full_name}, access=adapter.access)


def _plain(
    user: User | AnonymousUser | None, owner: str, name: str, version: str, path: str
) -> Served | None:
    """Return what is out under its present name and number; None says nothing about the rest."""
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
    is_bound = token is not None and token.is_bound  # the question for users knows no tokens
    if user is None or not user.is_authenticated or is_bound:
        row = _FOR_STRANGERS.first(**values)
    else:
        row = _FOR_USERS.first(**values, user_id=user.pk)
    if row is None:
        return None
    version_id, *sent = row
    return served_of(version_id, sent)


def _rows(
    owner: str, name: str, number: int, path: str, user_id: int | None = None
) -> QuerySet[File, Any]:
    """Return the question behind ``_plain``; keys for names, ids for people."""
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
    return rows.order_by().values_list("revision__versions", *SENT)[:1]


_STANDS = {"owner": text("owner"), "name": text("name"), "path": text("path")}
_FOR_STRANGERS = Compiled(_rows, **_STANDS, number=integer(1))
_FOR_USERS = Compiled(_rows, **_STANDS, number=integer(1), user_id=integer(2))
