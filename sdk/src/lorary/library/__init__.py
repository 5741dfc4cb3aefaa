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
    from lorary.library.checking import Checked, Outdated, outdated, verify, verify_packs
    from lorary.library.hubs import Hubs
    from lorary.library.importing.journal import Journal
    from lorary.library.importing.planning import Plan, plan
    from lorary.library.importing.publishing import Importer, ImportResult, ImportTarget
    from lorary.library.importing.runs import Run, plan_run
    from lorary.library.index.database import Index
    from lorary.library.index.listing import Filters, Row, count, rows
    from lorary.library.index.scanning import Scanned, scan
    from lorary.library.layouts import LAYOUTS
    from lorary.library.lockfile import Lock, LockedFile, LockedPack
    from lorary.library.locking import Locked
    from lorary.library.project import Project, Wish
    from lorary.library.settings import Setting, setting
    from lorary.library.syncing import Options, Step
    from lorary.library.tidying import apply_moves, last_moves, moves_of, new_moves, undo_moves

__all__ = [
    "LAYOUTS",
    "Checked",
    "Filters",
    "Hubs",
    "ImportResult",
    "ImportTarget",
    "Importer",
    "Index",
    "Journal",
    "Lock",
    "Locked",
    "LockedFile",
    "LockedPack",
    "Options",
    "Outdated",
    "Plan",
    "Project",
    "Row",
    "Run",
    "Scanned",
    "Setting",
    "Step",
    "Synced",
    "Wish",
    "apply_moves",
    "chosen",
    "count",
    "frozen_lock",
    "last_moves",
    "load",
    "lock",
    "moves_of",
    "new_moves",
    "outdated",
    "plan",
    "plan_run",
    "rows",
    "scan",
    "setting",
    "start",
    "steps_of",
    "sync",
    "undo_moves",
    "unlocked",
    "update_lock",
    "verify",
    "verify_packs",
]

_HOMES = {
    "Checked": "lorary.library.checking",
    "Filters": "lorary.library.index.listing",
    "Hubs": "lorary.library.hubs",
    "ImportResult": "lorary.library.importing.publishing",
    "ImportTarget": "lorary.library.importing.publishing",
    "Importer": "lorary.library.importing.publishing",
    "Index": "lorary.library.index.database",
    "Journal": "lorary.library.importing.journal",
    "LAYOUTS": "lorary.library.layouts",
    "Lock": "lorary.library.lockfile",
    "Locked": "lorary.library.locking",
    "LockedFile": "lorary.library.lockfile",
    "LockedPack": "lorary.library.lockfile",
    "Options": "lorary.library.syncing",
    "Outdated": "lorary.library.checking",
    "Plan": "lorary.library.importing.planning",
    "Project": "lorary.library.project",
    "Row": "lorary.library.index.listing",
    "Run": "lorary.library.importing.runs",
    "Scanned": "lorary.library.index.scanning",
    "Setting": "lorary.library.settings",
    "Step": "lorary.library.syncing",
    "Synced": "lorary.library.calls",
    "Wish": "lorary.library.project",
    "apply_moves": "lorary.library.tidying",
    "chosen": "lorary.library.calls",
    "count": "lorary.library.index.listing",
    "frozen_lock": "lorary.library.calls",
    "last_moves": "lorary.library.tidying",
    "load": "lorary.library.calls",
    "lock": "lorary.library.calls",
    "moves_of": "lorary.library.tidying",
    "new_moves": "lorary.library.tidying",
    "outdated": "lorary.library.checking",
    "plan": "lorary.library.importing.planning",
    "plan_run": "lorary.library.importing.runs",
    "rows": "lorary.library.index.listing",
    "scan": "lorary.library.index.scanning",
    "setting": "lorary.library.settings",
    "start": "lorary.library.calls",
    "steps_of": "lorary.library.calls",
    "sync": "lorary.library.calls",
    "undo_moves": "lorary.library.tidying",
    "unlocked": "lorary.library.calls",
    "update_lock": "lorary.library.calls",
    "verify": "lorary.library.checking",
    "verify_packs": "lorary.library.checking",
}

__getattr__, __dir__ = names_of(__name__, _HOMES)
