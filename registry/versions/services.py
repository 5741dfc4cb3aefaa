"""Changes of a version: its description, yank, restore; ``withdraw`` takes its bytes away."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import transaction
from django.utils.translation import gettext as _

from registry import events
from registry.accounts import permissions
from registry.blobs import anatomies
from registry.errors import AlreadyPublished, StateConflict
from registry.models import OUT_STATES, Version, VersionState
from registry.versions import details as version_details
from registry.versions import latest
from registry.versions import publish as publishing

if TYPE_CHECKING:
    from registry.models import User
    from registry.versions.details import Details


def describe(*, actor: User, version: Version, details: Details) -> Version:
    """Change what is said about a version as a README says it; its files never change.

    Raises:
        Invalid: a detail does not fit.
        StateConflict: it was withdrawn.
    """
    user = permissions.require_adapter(actor, version.adapter)
    version_details.check(details)
    with transaction.atomic():
        latest.lock(version)
        if version.state == VersionState.WITHDRAWN:
            text = _("%(version)s was withdrawn and can no longer be edited.")
            raise StateConflict(text % {"version": version.name}, state=version.state)
        before = _rendered_by(version)
        version_details.describe(version, details)
        version_details.measure(version)
        version.save(update_fields=version_details.SAID)
        if version.adapter.latest_version_id == version.pk:
            latest.show(version.adapter, version)
        events.record(
            actor=user, verb="version_edited", adapter=version.adapter, subject=version.name
        )
        if version.state == VersionState.PUBLISHED and _rendered_by(version) != before:
            publishing.send_published(version)
    return version


def _rendered_by(version: Version) -> tuple[object, ...]:
    """Return what is said of a version that its pictures follow."""
    return (
        version.trigger_words, version.strength, version.strength_min, version.strength_max,
    )  # fmt: skip


def remeasure(*, version: Version) -> bool:
    """Copy from a renewed anatomy what lists show; whether that is something else than before.

    What people said stays. A published version's new family is told to the previews.
    """
    with transaction.atomic():
        latest.lock(version)
        before = _measured(version)
        version_details.measure(version)
        if _measured(version) == before:
            return False
        version.save(update_fields=["family", "algorithm", "rank", "size_bytes"])
        if version.adapter.latest_version_id == version.pk:
            latest.show(version.adapter, version)
        if version.state == VersionState.PUBLISHED and version.family != before.family:
            publishing.send_published(version)
    return True


def _measured(version: Version) -> anatomies.Facts:
    return anatomies.Facts(version.family, version.algorithm, version.rank)


def yank(*, actor: User, version: Version, reason: str) -> Version:
    """Keep a version but stop offering it; whoever looks at it reads why.

    Raises:
        Invalid: there is no reason, or it does not fit.
        StateConflict: drafts and withdrawn versions cannot be yanked.
    """
    return _offer(actor, version, VersionState.YANKED, latest.checked_reason(reason))


def restore(*, actor: User, version: Version) -> Version:
    """Offer a yanked version again; one that is offered stays as it is.

    Raises:
        StateConflict: it is a draft, or was withdrawn.
    """
    return _offer(actor, version, VersionState.PUBLISHED, "")


def _offer(actor: User, version: Version, state: VersionState, reason: str) -> Version:
    """Change whether a version that is out is offered."""
    user = permissions.require_adapter(actor, version.adapter)
    with transaction.atomic():
        latest.lock(version)
        if version.state not in OUT_STATES:
            raise StateConflict(_not_out(version), state=version.state)
        if (version.state, version.yanked_reason) == (state, reason):
            return version
        version.state, version.yanked_reason = state, reason
        version.save(update_fields=["state", "yanked_reason"])
        latest.show(version.adapter, latest.newest(version.adapter))
        events.record(
            actor=user,
            verb="version_yanked" if reason else "version_restored",
            adapter=version.adapter,
            subject=version.name,
            reason=reason,
        )
    return version


def _not_out(version: Version) -> str:
    if version.state == VersionState.WITHDRAWN:
        return _("%(version)s was withdrawn, which cannot be undone.") % {"version": version.name}
    return _("Only published versions can be yanked.")


def discard(*, actor: User, version: Version) -> None:
    """Drop a draft; its number is not given again.

    Raises:
        AlreadyPublished: it is no draft.
    """
    user = permissions.require_adapter(actor, version.adapter)
    with transaction.atomic():
        latest.lock(version)
        if version.state != VersionState.DRAFT:
            text = _("%(version)s is published and kept. Yank it, or withdraw it.")
            raise AlreadyPublished(text % {"version": version.name}, version=version.name)
        latest.drop(version)
        events.record(
            actor=user, verb="version_discarded", adapter=version.adapter, subject=version.name
        )
