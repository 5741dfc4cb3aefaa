"""Whose a folder of backups is: ``<folder>/hub`` has the identity of the hub that writes there.

Two hubs in one folder push out each other's sets: the empty one that a wrong ``LORARY_DATA`` makes,
or a new one after the loss of a disk, would cost the very backups that are needed then.

A folder from before there were identities belongs to the first hub whose rows know each file that
any of its sets names. Digests stay in the rows for ever, so the hub that made the sets does.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from django.db import connection
from django.utils.translation import gettext as _

from hub.operations import backup_sets
from hub.plurals import counted
from registry import identity
from registry.durable import flush

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Foreign", "claim", "owner_of"]

_FILE = "hub"


class Foreign(Exception):
    """The folder belongs to another hub; the text says what to do."""


def claim(folder: Path, *, adopts: bool = False) -> None:
    """Make a folder of backups this hub's, unless it is another's.

    Args:
        folder: Of backups; it is there.
        adopts: Take it over, whosever it is.

    Raises:
        Foreign: it is another's.
    """
    own, owner = identity.own(), owner_of(folder)
    if owner == own:
        return
    if owner and not adopts:
        raise Foreign(_advised(_("%(folder)s has the backups of another hub."), folder))
    if not adopts and (strange := identity.unknown(_named_by_sets(folder))):
        text = _("%(folder)s has backups that name %(files)s unknown to this hub.")
        raise Foreign(_advised(text, folder, files=counted(strange, "file")))
    _keep_rows()
    backup_sets.write(folder / _FILE, f"{own}\n")
    flush(folder)


def owner_of(folder: Path) -> str:
    """Return the identity of the hub whose backups are there, "" when the folder says none."""
    try:
        return (folder / _FILE).read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return ""


def _advised(what: str, folder: Path, **facts: str) -> str:
    advice = _(
        "Nothing was changed. See whether LORARY_DATA and LORARY_DATABASE_URL are this hub's. Name "
        "another folder for a new hub, or restore from this one. If it shall be this hub's from "
        "now on, say --adopt."
    )
    return f"{what % {'folder': folder, **facts}} {advice}"


def _named_by_sets(folder: Path) -> Iterator[str]:
    for one in backup_sets.sets(folder):
        with suppress(FileNotFoundError):  # of a damaged set; the others tell as well
            for sha256, _size in backup_sets.named_in(folder / "sets" / one.name):
                yield sha256


def _keep_rows() -> None:
    """Have the disk keep the identity before the folder has it; PostgreSQL does by itself."""
    if connection.vendor == "sqlite":
        log = Path(f"{connection.settings_dict['NAME']}-wal")
        with suppress(FileNotFoundError):  # nothing is in the log
            flush(log)
            flush(log.parent)
