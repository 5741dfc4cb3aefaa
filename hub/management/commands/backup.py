"""``manage.py backup``: copies the database and every file that it refers to."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from hub.http.problems import is_full
from hub.management.options import whole_number
from hub.management.progress import Help, Meter, problem_lines
from hub.operations import backup, backup_sets, database_dumps, process_lock
from hub.operations.failures import place_problem, unreachable
from hub.operations.missing_database import missing_hub
from hub.plurals import counted, size_text
from hub.setting_checks import TAG
from registry.errors import LoraryError, StorageFull
from registry.local_files import is_open, make_folder

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from hub.operations.backup import Backup

EPILOG = """\
You can run this while the hub runs. Files that are already in the folder are not copied again; each
file is verified by its sha256 when it is written.

A folder belongs to the first hub that writes to it. Other hubs are refused, even an empty one that
a wrong LORARY_DATA creates. A hub that was restored from a backup can go on using the same folder.

Exit code 1: the listed files could not be copied, and all other files are in the backup; or nothing
could be saved, and the error says why (with --json also as "error").
Exit code 3: the backup was made, but not all old data was removed; the output says why.

Example: manage.py backup --to /mnt/backup/lorary --keep 14
"""

#: Errors after which nothing was saved.
FAILURES = (
    backup.ForeignFolder,
    database_dumps.RowsRefused,
    LoraryError,
    OSError,
    DatabaseError,
)
NO_LOCKS = (
    "This folder is on a file system without locks: make sure that no other process makes or "
    "restores a backup there at the same time."
)
#: Exit codes.
NOT_WHOLE, NOT_PRUNED = 1, 3


class Command(BaseCommand):
    """Adds a set to a folder of backups."""

    help = "Back up database and files to a folder while the hub runs."
    requires_system_checks = [TAG]

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the options."""
        parser.epilog, parser.formatter_class = EPILOG, Help
        parser.add_argument(
            "--to", required=True, type=Path, metavar="FOLDER", help="folder of the backups"
        )
        parser.add_argument(
            "--keep",
            type=whole_number(1),
            metavar="N",
            help="keep the newest N sets and the newest N complete sets, and remove all others",
        )
        parser.add_argument(
            "--prune-anyway",
            action="store_true",
            help="with --keep: remove old sets even if there are far fewer files than before",
        )
        parser.add_argument(
            "--adopt", action="store_true", help="take over the folder of another hub"
        )
        parser.add_argument("--rows-only", action="store_true", help="back up only the database")
        parser.add_argument("--json", action="store_true", help="one line of JSON")

    def handle(self, *_args: str, **options: Any) -> None:
        """Make a backup; exit with 1 if files are missing, with 3 if pruning was refused."""
        try:
            made, pruned, reason = self._make(options)
        except CommandError as error:
            if options["json"]:
                self.stdout.write(json.dumps({"ok": False, "error": str(error)}))
            raise
        code = NOT_WHOLE if not made.is_whole else NOT_PRUNED if reason else 0
        if options["json"]:
            facts = {"ok": not code, "pruned": pruned, "not_pruned": reason}
            self.stdout.write(json.dumps({**facts, **asdict(made)}))
        else:
            self._say(options["to"].absolute(), made, pruned, reason)
        sys.exit(code)

    def _make(self, options: dict[str, Any]) -> tuple[Backup, int, str]:
        """Return the backup, the number of files removed, and why others were not removed."""
        _require_sensible(options)
        keep, folder = options["keep"], options["to"].absolute()
        meter = Meter("copied", is_quiet=options["json"])
        try:
            make_folder(folder)
            if is_open(folder):
                self.stderr.write(f"Other users of this machine can read it: chmod o= {folder}")
            with process_lock.one_copy_only(), process_lock.writing(folder) as is_alone:
                if not is_alone:
                    self.stderr.write(NO_LOCKS)
                made = backup.make(
                    folder,
                    with_files=not options["rows_only"],
                    adopts=options["adopt"],
                    has_fewer=options["prune_anyway"],
                    progress=meter,
                )
                pruned, reason = _prune(folder, keep) if keep else (0, "")
        except process_lock.Busy as error:  # no failure: the other one records its result
            raise CommandError(str(error)) from error
        except FAILURES as error:
            reason = _reason(error, folder)
            backup.record_failure(folder, reason, with_files=not options["rows_only"])
            raise CommandError(reason) from error
        meter.end()
        return made, pruned, reason

    def _say(self, folder: Path, made: Backup, pruned: int, reason: str) -> None:
        files = made.files
        self.stdout.write(
            f"{made.name} in {folder}: "
            f"{counted(made.blobs, 'file')} ({size_text(made.bytes)}) in all; "
            f"{files.done:,} ({size_text(files.bytes_done)}) new and verified"
        )
        if pruned:
            self.stdout.write(f"{counted(pruned, 'file')} removed (not in any kept backup)")
        if reason:
            self.stdout.write(f"Not all old data was removed: {reason}")
        for line in problem_lines(files):
            self.stdout.write(line)


def _reason(error: Exception, folder: Path) -> str:
    """Return why nothing was saved, with the place."""
    if isinstance(error, OSError | StorageFull):
        return place_problem(folder, error)
    if not isinstance(error, DatabaseError):
        return str(error)
    if is_full(error):
        return f"The disk of the hub's database is full: {error}."
    if away := unreachable(error):
        return away
    message = f"Database error: {error}. Is it this hub's database? Run `manage.py migrate`."
    return missing_hub() or message


def _require_sensible(options: dict[str, Any]) -> None:
    keep = options["keep"]
    if options["prune_anyway"] and not keep:
        message = "--prune-anyway requires --keep N."
        raise CommandError(message)
    if keep and options["adopt"]:
        message = (
            "--adopt and --keep cannot be combined. Run --adopt alone, check the folder, then use "
            "--keep."
        )
        raise CommandError(message)


def _prune(folder: Path, keep: int) -> tuple[int, str]:
    """Prune old sets; return the number of deleted files, and why not everything was deleted."""
    try:
        count, failed = backup_sets.prune(folder, keep)
        return count, place_problem(folder, failed) if failed is not None else ""
    except (backup_sets.SetShrunk, backup_sets.BackupInvalid) as error:
        return 0, str(error)
    except OSError as error:
        return 0, place_problem(folder, error)
