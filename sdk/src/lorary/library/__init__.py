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
        reasons,
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
    from lorary.library.tidying import (
        apply_moves,
        last_moves,
        moves_of,
        new_moves,
        undo_moves,
        update_index,
    )

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
    "reasons",
    "rows",
    "scan",
    "setting",
    "start",
    "steps_of",
    "sync",
    "undo_moves",
    "unlocked",
    "update_index",
    "update_lock",
    "verify",
    "verify_packs",
]

_NAMES = {
    "lorary.library.calls": [
        "Synced",
        "chosen",
        "frozen_lock",
        "load",
        "lock",
        "reasons",
        "start",
        "steps_of",
        "sync",
        "unlocked",
        "update_lock",
    ],
    "lorary.library.checking": ["Checked", "Outdated", "outdated", "verify", "verify_packs"],
    "lorary.library.hubs": ["Hubs"],
    "lorary.library.importing.journal": ["Journal"],
    "lorary.library.importing.planning": ["Plan", "plan"],
    "lorary.library.importing.publishing": ["ImportResult", "ImportTarget", "Importer"],
    "lorary.library.importing.runs": ["Run", "plan_run"],
    "lorary.library.index.database": ["Index"],
    "lorary.library.index.listing": ["Filters", "Row", "count", "rows"],
    "lorary.library.index.scanning": ["Scanned", "scan"],
    "lorary.library.layouts": ["LAYOUTS"],
    "lorary.library.lockfile": ["Lock", "LockedFile", "LockedPack"],
    "lorary.library.locking": ["Locked"],
    "lorary.library.project": ["Project", "Wish"],
    "lorary.library.settings": ["Setting", "setting"],
    "lorary.library.syncing": ["Options", "Step"],
    "lorary.library.tidying": [
        "apply_moves",
        "last_moves",
        "moves_of",
        "new_moves",
        "undo_moves",
        "update_index",
    ],
}

__getattr__, __dir__ = names_of(__name__, _NAMES)
