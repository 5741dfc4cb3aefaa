"""What is said about a version, written down: by a person, or by a README."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import transaction
from django.utils.translation import gettext as _

from registry import events
from registry.accounts import permissions
from registry.errors import StateConflict
from registry.models import VersionState
from registry.versions import details as version_details
from registry.versions import latest, publish

if TYPE_CHECKING:
    from registry.models import User, Version
    from registry.versions.details import Details

__all__ = ["describe"]


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
            text = _("%(version)s was withdrawn; what is said about it stays as it was.")
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
            publish.tell(version)
    return version


def _rendered_by(version: Version) -> tuple[object, ...]:
    """Return what is said of a version that its pictures follow."""
    return (
        version.trigger_words, version.strength, version.strength_min, version.strength_max,
    )  # fmt: skip
