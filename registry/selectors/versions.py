"""Versions and files by the names people use for them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from django.utils.translation import gettext as _

from registry.errors import Gone, NotFound
from registry.models import Alias, Version, VersionState

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser
    from django.db.models import QuerySet

    from registry.models import Adapter, File, User

__all__ = ["LATEST", "file", "get", "listing"]

LATEST = "latest"

_NUMBER = re.compile(r"v([1-9][0-9]{0,8})\Z")
_COMMIT = re.compile(r"[0-9a-f]{40}\Z")


def listing(user: User | AnonymousUser | None, adapter: Adapter) -> QuerySet[Version]:
    """Return versions, newest first; drafts only for those who may publish here."""
    rows = adapter.versions.select_related("adapter", "adapter__namespace", "revision", "author")
    if user is not None and user.is_authenticated and adapter.namespace.is_writable_by(user):
        return rows
    return rows.exclude(state=VersionState.DRAFT)


def get(user: User | AnonymousUser | None, adapter: Adapter, name: str = LATEST) -> Version:
    """Return the version that ``v3``, an alias, a revision or ``latest`` names.

    Raises:
        NotFound: no such version, or a draft of somebody else's.
    """
    rows = listing(user, adapter)
    version = _by_name(rows, adapter, name)
    if version is None:
        raise NotFound(
            _("“%(adapter)s” has no version “%(version)s”.")
            % {"adapter": adapter.full_name, "version": name[:96]}
        )
    return version


def _by_name(rows: QuerySet[Version], adapter: Adapter, name: str) -> Version | None:
    if name == LATEST:
        return _latest(rows, adapter)
    if number := _NUMBER.match(name):
        return rows.filter(number=int(number[1])).first()
    if _COMMIT.match(name):
        return rows.filter(revision__commit=name).first()
    alias = Alias.objects.filter(adapter=adapter, name=name).first()
    return rows.filter(revision=alias.revision_id).first() if alias else None


def _latest(rows: QuerySet[Version], adapter: Adapter) -> Version | None:
    if adapter.latest_version_id is not None:
        return rows.filter(pk=adapter.latest_version_id).first()
    return rows.first()


def file(version: Version, path: str) -> File:
    """Return a file of a version.

    Raises:
        NotFound: no such path.
        Gone: the version was withdrawn; its digests stay on its page.
    """
    if version.state == VersionState.WITHDRAWN:
        raise Gone(version.withdrawn_reason)
    found = version.files.filter(path=path).first()
    if found is None:
        raise NotFound(_("This version has no file “%(path)s”.") % {"path": path[:255]})
    return found
