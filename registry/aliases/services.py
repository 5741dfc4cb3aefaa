"""Creates, moves and removes aliases.

``main`` and ``vN`` are refs too, but are not moved here: publication moves ``main``, and nothing
moves ``vN``. Every move is recorded (``AliasMove``), also for aliases that were removed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, TypeAlias

from django.db import transaction
from django.utils.translation import gettext as _

from registry import events
from registry.accounts import permissions
from registry.adapters import manifests
from registry.adapters import services as adapters
from registry.aliases import selectors as alias_selectors
from registry.errors import Conflict, NameTaken, QuotaExceeded, StateConflict
from registry.models import Adapter, Alias, AliasMove, Revision, User, Version, VersionState
from registry.names import check_alias, key_of
from registry.versions import selectors as version_selectors

MAX_ALIASES = 100


class Anywhere:
    """Type of ``ANYWHERE``: the alias may point at any revision."""


#: A revision, None for no alias, or ``ANYWHERE``.
Expected: TypeAlias = "Revision | Anywhere | None"


ANYWHERE: Final = Anywhere()


def point(
    *,
    actor: User,
    adapter: Adapter,
    name: str,
    to: Revision,
    expected: Expected = ANYWHERE,
    is_branch: bool = False,
) -> Alias:
    """Create or move an alias; if it already points at the revision, nothing is written.

    Args:
        name: Valid by ``registry.names.check_alias``.
        to: A revision of the adapter that is neither a draft nor withdrawn.
        expected: The revision it must point at now; None if it must not exist.
        is_branch: Whether commits may move a new alias. An existing one does not change.

    Raises:
        NameInvalid, NameTaken: the name is invalid, or differs from another only in case.
        Conflict: the alias points elsewhere; ``facts["current"]`` is that revision.
        StateConflict, Gone: the version is a draft, or was withdrawn.
        QuotaExceeded: the adapter has ``MAX_ALIASES``.
        NotFound, Forbidden, Unauthenticated: see ``permissions.require_adapter``.
    """
    user = permissions.require_adapter(actor, adapter)
    check_alias(name)
    with transaction.atomic():
        adapters.refresh(adapter)
        permissions.require_standing(adapter)
        now = alias_selectors.listing(adapter).filter(name=name).first()
        _require_expected(name, now, expected)
        _require_open(to)
        if now is not None and now.revision_id == to.pk:
            return now
        if now is None:
            _require_room(adapter, name)
        alias = manifests.move(actor=user, revision=to, name=name, is_branch=is_branch)
        _record(user, "alias_moved", alias, now.revision if now else None)
    return alias


def remove(*, actor: User, adapter: Adapter, name: str, expected: Expected = ANYWHERE) -> None:
    """Remove an alias. Its history is kept, and it can be created again.

    Raises:
        NameInvalid: owners cannot remove this name.
        Conflict: the alias points elsewhere; ``facts["current"]`` is that revision.
        NotFound: there is no such alias.
        NotFound, Forbidden, Unauthenticated: see ``permissions.require_adapter``.
    """
    user = permissions.require_adapter(actor, adapter)
    check_alias(name)
    with transaction.atomic():
        adapters.refresh(adapter)
        alias = alias_selectors.get(adapter, name)
        _require_expected(name, alias, expected)
        before, alias.revision = alias.revision, None
        alias.save(update_fields=["revision", "updated_at"])
        AliasMove.objects.create(alias=alias, before=before, revision=None, actor=user)
        _record(user, "alias_removed", alias, before)


def _record(user: User, verb: str, alias: Alias, before: Revision | None) -> None:
    events.record(
        actor=user,
        verb=verb,
        about=alias.adapter,
        subject=alias.name,
        before=before.commit if before else None,
        revision=alias.revision.commit if alias.revision else None,
    )


def _require_expected(name: str, now: Alias | None, expected: Expected) -> None:
    if isinstance(expected, Anywhere):
        return
    current = now.revision if now else None
    if current == expected:
        return
    raise Conflict(
        elsewhere(name, _called(current), _called(expected)),
        alias=name,
        current=current.commit if current else None,
        expected=expected.commit if expected else None,
    )


def elsewhere(name: str, current: str, expected: str) -> str:
    """Return the refusal of an alias that does not point where it was expected.

    Args:
        name: The alias.
        current: What it points to; empty without one.
        expected: What it was expected to point to; empty: it was expected not to exist.
    """
    if not current:
        text = _("There is no alias “%(name)s”; it was expected at %(expected)s.")
    elif not expected:
        text = _("“%(name)s” already exists and points to %(current)s.")
    else:
        text = _("“%(name)s” now points to %(current)s, not to %(expected)s.")
    advice = f" {_('Check it before you move it.')}" if expected else ""
    return f"{text % {'name': name, 'current': current, 'expected': expected}}{advice}"


def _called(revision: Revision | None) -> str:
    """Return ``v3``, or the first digits of a revision without a version."""
    if revision is None:
        return ""
    version = revision.versions.exclude(state=VersionState.DRAFT).first()
    return version.name if version else revision.commit[:12]


def _require_open(revision: Revision) -> None:
    """Refuse a draft or a withdrawn version, because other users could not follow the alias."""
    version = Version.objects.filter(revision=revision).first()
    if version is None:
        return
    if version.state == VersionState.DRAFT:
        text = _("%(version)s is a draft. Publish it first.")
        raise StateConflict(text % {"version": version.name}, state=version.state)
    if version.state == VersionState.WITHDRAWN:
        raise version_selectors.gone(version)


def _require_room(adapter: Adapter, name: str) -> None:
    """Refuse more than ``MAX_ALIASES``, and names that differ only in case."""
    names = list(alias_selectors.listing(adapter).values_list("name", flat=True))
    if len(names) > MAX_ALIASES:  # main is one of them and does not count
        text = _("An adapter can have at most %(limit)d aliases. Remove one first.")
        raise QuotaExceeded(text % {"limit": MAX_ALIASES}, limit=MAX_ALIASES)
    require_distinct(name, names)


def require_distinct(name: str, names: Iterable[str]) -> None:
    """Refuse an alias that differs from another only in case. Raises NameTaken."""
    twin = next((one for one in names if key_of(one) == key_of(name)), None)
    if twin is not None:
        text = _("“%(twin)s” already exists, and “%(name)s” differs only in case.")
        raise NameTaken(text % {"twin": twin, "name": name}, name=name)
