"""Describing, yanking, restoring and discarding versions; withdrawals are in ``withdraw.py``."""

from __future__ import annotations

from django.db import transaction
from django.utils.translation import gettext as _

from registry import events
from registry.accounts import permissions
from registry.blobs import anatomies
from registry.errors import AlreadyPublished, StateConflict
from registry.models import OUT_STATES, User, Version, VersionState
from registry.versions import details as version_details
from registry.versions import latest
from registry.versions import publish as publishing
from registry.versions.details import Details, Edit


def describe(*, actor: User, version: Version, details: Details | Edit) -> Version:
    """Change the description of a version, not README.md; see ``cards.services.edit_version``.

    Args:
        actor: Who edits it.
        version: The version.
        details: All details, or a function that changes the current ones: it gets them under the
            lock, so that two simultaneous edits of different details both stay.

    Raises:
        Invalid: a detail is invalid.
        StateConflict: it was withdrawn.
    """
    user = permissions.require_adapter(actor, version.adapter)
    with transaction.atomic():
        latest.lock(version)
        details = details(Details.of(version)) if callable(details) else details
        version_details.check(details)
        if version.state == VersionState.WITHDRAWN:
            text = _("%(version)s was withdrawn and can no longer be edited.")
            raise StateConflict(text % {"version": version.name}, state=version.state)
        before = _preview_inputs(version)
        version_details.describe(version, details)
        version_details.measure(version)
        version.save(update_fields=version_details.COLUMNS)
        latest.update_lists_of(version)
        events.record(
            actor=user, verb="version_edited", about=version.adapter, subject=version.name
        )
        if version.state == VersionState.PUBLISHED and _preview_inputs(version) != before:
            publishing.send_published(version)
    return version


def _preview_inputs(version: Version) -> tuple[object, ...]:
    """Return the details that previews depend on."""
    return (
        version.trigger_words, version.strength, version.strength_min, version.strength_max,
    )  # fmt: skip


def remeasure(*, version: Version) -> bool:
    """Copy the columns that lists show from a new anatomy; return whether they changed.

    Descriptions are not changed. If a published version has a new family, its previews are rendered
    again.
    """
    with transaction.atomic():
        latest.lock(version)
        before = anatomies.Facts.of(version)
        version_details.measure(version)
        if anatomies.Facts.of(version) == before:
            return False
        version.save(update_fields=[*before._fields, "size_bytes"])
        latest.update_lists_of(version, is_edit=False)
        if version.state == VersionState.PUBLISHED and version.family != before.family:
            publishing.send_published(version)
    return True


def yank(*, actor: User, version: Version, reason: str) -> Version:
    """Mark a version as no longer recommended; its page shows the reason.

    Raises:
        Invalid: the reason is missing or invalid.
        StateConflict: drafts and withdrawn versions cannot be yanked.
    """
    return _set_state(actor, version, VersionState.YANKED, latest.checked_reason(reason))


def restore(*, actor: User, version: Version) -> Version:
    """Undo a yank; does nothing if the version is not yanked.

    Raises:
        StateConflict: it is a draft or withdrawn.
    """
    return _set_state(actor, version, VersionState.PUBLISHED, "")


def _set_state(actor: User, version: Version, state: VersionState, reason: str) -> Version:
    """Set a public version to published or yanked."""
    user = permissions.require_adapter(actor, version.adapter)
    with transaction.atomic():
        latest.lock(version)
        if version.state not in OUT_STATES:
            raise StateConflict(_not_out(version), state=version.state)
        if (version.state, version.yanked_reason) == (state, reason):
            return version
        version.state, version.yanked_reason = state, reason
        version.save(update_fields=["state", "yanked_reason"])
        latest.show_newest(version.adapter)
        events.record(
            actor=user,
            verb="version_yanked" if reason else "version_restored",
            about=version.adapter,
            subject=version.name,
            reason=reason,
        )
    return version


def _not_out(version: Version) -> str:
    if version.state == VersionState.WITHDRAWN:
        return _("%(version)s was withdrawn, which cannot be undone.") % {"version": version.name}
    return _("Only published versions can be yanked.")


def discard(*, actor: User, version: Version) -> None:
    """Delete a draft; its number is not used again.

    Raises:
        AlreadyPublished: it is not a draft.
    """
    user = permissions.require_adapter(actor, version.adapter)
    with transaction.atomic():
        latest.lock(version)
        if version.state != VersionState.DRAFT:
            text = _("%(version)s is published and cannot be discarded. Yank it, or withdraw it.")
            raise AlreadyPublished(text % {"version": version.name}, version=version.name)
        latest.delete_draft(version)
        events.record(
            actor=user, verb="version_discarded", about=version.adapter, subject=version.name
        )
