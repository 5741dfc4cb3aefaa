"""Yanks, restores and withdraws versions of packs, and withdraws packs.

```
published ◀──▶ yanked      kept, warned about, not offered
     └─────┬─────┘
           ▼
       withdrawn           number, reason and digest stay (410); the manifest is deleted
```

Withdrawing changes nothing of the adapters that are its parts.
"""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from registry import events
from registry.accounts import permissions
from registry.adapters import services as adapters
from registry.database.row_locks import locked
from registry.errors import StateConflict
from registry.hooks import pack_version_withdrawn
from registry.models import OUT_STATES, Pack, PackVersion, User, VersionState
from registry.packs import publish
from registry.versions.latest import checked_reason


def yank(*, actor: User, version: PackVersion, reason: str) -> PackVersion:
    """Mark a version as no longer recommended; its page shows the reason.

    Raises:
        Invalid: the reason is missing or invalid.
        StateConflict: it was withdrawn.
    """
    return _set_state(actor, version, VersionState.YANKED, checked_reason(reason))


def restore(*, actor: User, version: PackVersion) -> PackVersion:
    """Undo a yank; does nothing if it is not yanked. Raises StateConflict: it was withdrawn."""
    return _set_state(actor, version, VersionState.PUBLISHED, "")


def _set_state(actor: User, version: PackVersion, state: VersionState, reason: str) -> PackVersion:
    user = permissions.require_pack(actor, version.pack)
    with transaction.atomic():
        _lock(version)
        if version.state == VersionState.WITHDRAWN:
            text = _("%(version)s was withdrawn, which cannot be undone.")
            raise StateConflict(text % {"version": version.name}, state=version.state)
        if (version.state, version.yanked_reason) == (state, reason):
            return version
        version.state, version.yanked_reason = state, reason
        version.save(update_fields=["state", "yanked_reason"])
        publish.show_newest(version.pack)
        verb = "pack_version_yanked" if reason else "pack_version_restored"
        _record(user, verb, version.pack, version.name, reason)
    return version


def withdraw(*, actor: User, version: PackVersion, reason: str) -> PackVersion:
    """Withdraw a version for good; does nothing if it was withdrawn for the same reason.

    Raises:
        Invalid: the reason is missing or invalid.
        StateConflict: it was withdrawn for another reason.
        NotFound, Forbidden, Unauthenticated: see ``permissions.require_owner_or_operator``.
    """
    user = permissions.require_owner_or_operator(actor, version.pack)
    text = checked_reason(reason)
    with transaction.atomic():
        _lock(version)
        if version.state == VersionState.WITHDRAWN:
            _require_same(version.name, version.withdrawn_reason, text)
            return version
        _take_down(user, version, text)
        publish.show_newest(version.pack)
    return version


def withdraw_pack(*, actor: User, pack: Pack, reason: str) -> Pack:
    """Withdraw a pack for good, with all versions; it accepts no new ones.

    Its name stays taken, and its page shows the reason. May be repeated with the same reason.

    Raises:
        Invalid: the reason is missing or invalid.
        StateConflict: it was withdrawn for another reason.
        NotFound, Forbidden, Unauthenticated: see ``permissions.require_owner_or_operator``.
    """
    user = permissions.require_owner_or_operator(actor, pack)
    text = checked_reason(reason)
    with transaction.atomic():
        adapters.refresh(pack)
        if pack.withdrawn_reason:
            _require_same(pack.full_name, pack.withdrawn_reason, text)
            return pack
        for version in pack.versions.filter(state__in=OUT_STATES).select_related("pack"):
            _take_down(user, version, text)
        pack.withdrawn_reason = text
        pack.save(update_fields=["withdrawn_reason"])
        publish.show_newest(pack)
        _record(user, "pack_withdrawn", pack, pack.full_name, text)
    return pack


def _require_same(name: str, before: str, reason: str) -> None:
    if before != reason:
        text = _("“%(name)s” was already withdrawn: %(reason)s")
        raise StateConflict(text % {"name": name, "reason": before}, state="withdrawn")


def _take_down(user: User, version: PackVersion, reason: str) -> None:
    """Withdraw one version; the caller holds the lock and updates the lists."""
    version.state, version.withdrawn_reason = VersionState.WITHDRAWN, reason
    version.withdrawn_at, version.withdrawn_by = timezone.now(), user
    version.manifest, version.blob = {}, None
    version.save(
        update_fields=[
            "state", "withdrawn_reason", "withdrawn_at", "withdrawn_by", "manifest", "blob",
        ]
    )  # fmt: skip
    version.variants.all().delete()
    _record(
        user, "pack_version_withdrawn", version.pack, version.name, reason,
        sha256=version.manifest_sha256,
    )  # fmt: skip
    transaction.on_commit(
        lambda: pack_version_withdrawn.send_robust(sender=PackVersion, version_id=version.pk)
    )


def _lock(version: PackVersion) -> None:
    """Lock the pack, and read the version again."""
    locked(Pack.objects.all()).get(pk=version.pack_id)
    version.refresh_from_db()


def _record(user: User, verb: str, pack: Pack, subject: str, reason: str, sha256: str = "") -> None:
    facts: dict[str, Any] = {"reason": reason, **({"sha256": sha256} if sha256 else {})}
    events.record(actor=user, verb=verb, about=pack, subject=subject, **facts)
