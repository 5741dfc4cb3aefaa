"""Folders of adapters: those that ``lorary.toml`` describes, and those that people have.

Importing this package is cheap: everything below is loaded at its first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lorary.lazy import names_of

if TYPE_CHECKING:
    from lorary.library.calls import (
        Synced,
        chosen,
        frozen_lock,
        load,
        lock,
        start,
        steps_of,
        sync,
        unlocked,
        update_lock,
    )
    from lorary.library.checking import Checked, Outdated, outdated, verify
    from lorary.library.hubs import Hubs
    from lorary.library.index.database import Index
    from lorary.library.index.listing import Filters, Row, rows
    from lorary.library.index.scanning import Scanned, scan
    from lorary.library.layouts import LAYOUTS
    from lorary.library.lockfile import Lock, LockedFile, LockedPack
    from lorary.library.locking import Locked
    from lorary.library.project import Project, Wish
    from lorary.library.settings import Setting, setting
    from lorary.library.syncing import Options, Step

__all__ = [
    "LAYOUTS",
    "Checked",
    "Filters",
    "Hubs",
    "Index",
    "Lock",
    "Locked",
    "LockedFile",
    "LockedPack",
    "Options",
    "Outdated",
    "Project",
    "Row",
    "Scanned",
    "Setting",
    "Step",
    "Synced",
    "Wish",
    "chosen",
    "frozen_lock",
    "load",
    "lock",
    "outdated",
    "rows",
    "scan",
    "setting",
    "start",
    "steps_of",
    "sync",
    "unlocked",
    "update_lock",
    "verify",
]

_HOMES = {
    "Checked": "lorary.library.checking",
    "Filters": "lorary.library.index.listing",
    "Hubs": "lorary.library.hubs",
    "Index": "lorary.library.index.database",
    "LAYOUTS": "lorary.library.layouts",
    "Lock": "lorary.library.lockfile",
    "Locked": "lorary.library.locking",
    "LockedFile": "lorary.library.lockfile",
    "LockedPack": "lorary.library.lockfile",
    "Options": "lorary.library.syncing",
    "Outdated": "lorary.library.checking",
    "Project": "lorary.library.project",
    "Setting": "lorary.library.settings",
    "Row": "lorary.library.index.listing",
    "Scanned": "lorary.library.index.scanning",
    "Step": "lorary.library.syncing",
    "Synced": "lorary.library.calls",
    "Wish": "lorary.library.project",
    "chosen": "lorary.library.calls",
    "frozen_lock": "lorary.library.calls",
    "load": "lorary.library.calls",
    "lock": "lorary.library.calls",
    "outdated": "lorary.library.checking",
    "setting": "lorary.library.settings",
    "rows": "lorary.library.index.listing",
    "scan": "lorary.library.index.scanning",
    "start": "lorary.library.calls",
    "steps_of": "lorary.library.calls",
    "sync": "lorary.library.calls",
    "unlocked": "lorary.library.calls",
    "update_lock": "lorary.library.calls",
    "verify": "lorary.library.checking",
}

__getattr__, __dir__ = names_of(__name__, _HOMES)
