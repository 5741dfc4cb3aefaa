"""Settings, disk and access rights of this machine."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Literal

from django.conf import settings
from django.core.checks import ERROR

from hub.config import stored_key
from hub.operations.diagnosis.report import FREE_SPACE, Report
from hub.operations.exposed_files import exposed
from hub.operations.probes import MIN_FREE_BYTES
from hub.setting_checks import check_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Free space below which uploads may fail.
LOW_SPACE_BYTES = 2 * 2**30


def _settings() -> Iterator[Report]:
    found = check_settings()
    for message in found:
        state: Literal["warning", "error"] = "error" if message.level >= ERROR else "warning"
        yield Report("settings", state, str(message.msg), str(message.hint or ""))
    stored = stored_key(settings.LORARY.data)
    if stored and stored != settings.LORARY.secret_key:
        path = settings.LORARY.data / "secret_key"
        yield Report(
            "settings",
            "warning",
            f"LORARY_SECRET_KEY is set, and {path} contains another key, which is not used.",
            "Delete the file. If the variable were unset, sessions of the old key would be valid.",
        )
    elif not found:
        yield Report("settings", "ok", "All settings are valid.")


def _space() -> Iterator[Report]:
    free = free_bytes()
    message = f"{free / 2**30:.1f} GiB free in {settings.LORARY.data}."
    if free < MIN_FREE_BYTES:
        yield Report("space", "error", f"The disk is full: {message}", FREE_SPACE)
    elif free < LOW_SPACE_BYTES:
        hint = "Free space, or move LORARY_DATA or LORARY_STORAGE."
        yield Report("space", "warning", message, hint)
    else:
        yield Report("space", "ok", message)


def free_bytes() -> int:
    """Return the free bytes of the disk with the data directory."""
    return shutil.disk_usage(settings.LORARY.data).free


def _rights() -> Iterator[Report]:
    """Report files that other users of this machine can read."""
    places = " ".join(str(path) for path in exposed())
    if not places:
        yield Report(
            "rights", "ok", "Other users of this machine cannot read the database or the files."
        )
        return
    hint = f"Run `chmod o= {places}`."
    if settings.LORARY.accel:
        hint = f"Add nginx's user to their group and restart nginx. {hint}"
    yield Report("rights", "warning", f"Other users can read {places}.", hint)


PROBES = {
    "settings": _settings,
    "space": _space,
    "rights": _rights,
}
