"""What is said about a version, written down: by a person, or by a README."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import transaction
from django.utils.translation import gettext as _

from registry.errors import StateConflict
from registry.models import VersionState
from registry.services import access, events, offers, releasing
from registry.services import details as details_of

if TYPE_CHECKING:
    from registry.models import User, Version
    from registry.services.details import Details

__all__ = ["describe"]


def describe(*, actor: User, version: Version, details: Details) -> Version:
    """Change what is said about a version as a README says it; its files never change.

    Raises:
        Invalid: a detail does not fit.
        StateConflict: it was withdrawn.
    """
    user = access.require_adapter(actor, version.adapter)
    details_of.check(details)
    with transaction.atomic():
        offers.lock(version)
        if version.state == VersionState.WITHDRAWN:
            text = _("%(version)s was withdrawn; what is said about it stays as it was.")
            raise StateConflict(text % {"version": version.name}, state=version.state)
        before = _rendered_by(version)
        details_of.describe(version, details)
        details_of.measure(version)
        version.save(update_fields=details_of.SAID)
        if version.adapter.latest_version_id == version.pk:
            offers.show(version.adapter, version)
        events.record(
            actor=user, verb="version_edited", adapter=version.adapter, subject=version.name
        )
        if version.state == VersionState.PUBLISHED and _rendered_by(version) != before:
            releasing.tell(version)
    return version


def _rendered_by(version: Version) -> tuple[object, ...]:
    """Return what is said of a version that its pictures follow."""
    return (
        version.trigger_words, version.strength, version.strength_min, version.strength_max,
    )  # fmt: skip
