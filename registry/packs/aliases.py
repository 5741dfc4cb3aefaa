"""Creates, moves and removes aliases of packs' versions; every move is recorded."""

from __future__ import annotations

from typing import TypeAlias

from django.db import transaction
from django.utils.translation import gettext as _

from registry import events
from registry.accounts import permissions
from registry.adapters import services as adapters
from registry.aliases.services import ANYWHERE, Anywhere, elsewhere, require_distinct
from registry.errors import Conflict, QuotaExceeded
from registry.models import Pack, PackAlias, PackAliasMove, PackVersion, User, VersionState
from registry.names import check_alias
from registry.packs import selectors

MAX_ALIASES = 100


#: A version, None for no alias, or ``ANYWHERE``.
Expected: TypeAlias = "PackVersion | Anywhere | None"


def point(
    *, actor: User, pack: Pack, name: str, to: PackVersion, expected: Expected = ANYWHERE
) -> PackAlias:
    """Create or move an alias; if it points at the version already, nothing is written.

    Args:
        name: Valid by ``registry.names.check_alias``.
        to: A version of the pack that was not withdrawn.
        expected: The version it must point at now; None if it must not exist.

    Raises:
        NameInvalid, NameTaken: the name is invalid, or differs from another only in case.
        Conflict: the alias points elsewhere; ``facts["current"]`` is that version.
        Gone: the version was withdrawn.
        QuotaExceeded: the pack has ``MAX_ALIASES``.
        NotFound, Forbidden, Unauthenticated: see ``permissions.require_pack``.
    """
    user = permissions.require_pack(actor, pack)
    check_alias(name)
    with transaction.atomic():
        adapters.refresh(pack)
        permissions.require_standing(pack)
        alias = PackAlias.objects.select_related("version").filter(pack=pack, name=name).first()
        before = alias.version if alias else None
        _require_expected(name, before, expected)
        to.refresh_from_db()
        if to.state == VersionState.WITHDRAWN:
            raise selectors.gone_version(to)
        if alias is not None and before == to:
            return alias
        if before is None:
            _require_room(pack, name)
        alias = alias or PackAlias(pack=pack, name=name)
        alias.version = to
        alias.save()
        _record(user, "pack_alias_moved", alias, before)
    return alias


def remove(*, actor: User, pack: Pack, name: str, expected: Expected = ANYWHERE) -> None:
    """Remove an alias. Its history is kept, and it can be created again.

    Raises:
        NameInvalid: owners cannot remove this name.
        Conflict: the alias points elsewhere; ``facts["current"]`` is that version.
        NotFound: there is no such alias.
        NotFound, Forbidden, Unauthenticated: see ``permissions.require_pack``.
    """
    user = permissions.require_pack(actor, pack)
    check_alias(name)
    with transaction.atomic():
        adapters.refresh(pack)
        alias = selectors.alias(pack, name)
        _require_expected(name, alias.version, expected)
        before, alias.version = alias.version, None
        alias.save(update_fields=["version", "updated_at"])
        _record(user, "pack_alias_removed", alias, before)


def _record(user: User, verb: str, alias: PackAlias, before: PackVersion | None) -> None:
    after = alias.version
    PackAliasMove.objects.create(alias=alias, before=before, after=after, actor=user)
    events.record(
        actor=user,
        verb=verb,
        about=alias.pack,
        subject=alias.name,
        before=before.name if before else None,
        version=after.name if after else None,
    )


def _require_expected(name: str, current: PackVersion | None, expected: Expected) -> None:
    if isinstance(expected, Anywhere) or current == expected:
        return
    now, then = current.name if current else None, expected.name if expected else None
    raise Conflict(elsewhere(name, now or "", then or ""), alias=name, current=now, expected=then)


def _require_room(pack: Pack, name: str) -> None:
    """Refuse more than ``MAX_ALIASES``, and names that differ only in case."""
    names = list(selectors.aliases(pack).values_list("name", flat=True))
    if len(names) >= MAX_ALIASES:
        text = _("A pack can have at most %(limit)d aliases. Remove one first.")
        raise QuotaExceeded(text % {"limit": MAX_ALIASES}, limit=MAX_ALIASES)
    require_distinct(name, names)
