"""``manage.py restore``: a hub from a backup."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from hub.management.progress import MEND, Help, Meter, amiss
from hub.operations import backup, backup_sets, database_dumps, process_lock
from hub.plurals import counted, size_text
from hub.setting_checks import TAG
from registry.errors import LoraryError

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from hub.operations.backup import Restored
    from hub.operations.backup_sets import BackupSet

EPILOG = """\
The database of LORARY_DATABASE_URL must be empty; for SQLite its file must not exist. Files go into
LORARY_STORAGE; existing ones stay. Rows of an older release are migrated.

Exit code 1: the listed files are not in the backup; all others are restored.

Example: LORARY_DATA=/srv/lorary manage.py restore --from /mnt/backup/lorary
"""

#: What is told of files; the rows are there, so nobody restores again.
BESIDE = "Or restore beside it: name another data directory by LORARY_DATA."
MISSING = f"not in this backup, {MEND}"
DAMAGED = f"damaged in this backup, {MEND}"
FAILED = f"failed, {MEND}"


class Command(BaseCommand):
    """Put rows and files of a set back."""

    help = "Restore a hub from a backup: rows into an empty database, files into the storage."
    requires_system_checks = [TAG]

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare where from, and which set."""
        parser.epilog, parser.formatter_class = EPILOG, Help
        parser.add_argument(
            "--from", required=True, type=Path, dest="folder", metavar="FOLDER", help="of backups"
        )
        parser.add_argument("--set", metavar="NAME", help="the set to restore; default: the newest")
        parser.add_argument("--list", action="store_true", help="only list the sets")
        parser.add_argument("--json", action="store_true", help="one line of JSON")

    def handle(self, *_args: str, **options: Any) -> None:
        """Restore; leave with 1 when files are missing."""
        folder = options["folder"].absolute()
        if options["list"]:
            self._list(backup_sets.sets(folder), is_json=options["json"])
            return
        meter = Meter("restored", is_quiet=options["json"])
        try:
            with (
                process_lock.one_at_a_time(),
                process_lock.alone(BESIDE),
                process_lock.reading(folder),
            ):
                taken = backup_sets.chosen(folder, options["set"])
                told = backup.put_back(folder, taken.name, progress=meter)
        except (
            process_lock.Busy,
            backup_sets.BackupInvalid,
            database_dumps.RowsRefused,
            LoraryError,
        ) as error:
            raise CommandError(str(error)) from error
        meter.end()
        is_whole = told.files.is_whole
        if options["json"]:
            facts = {"ok": is_whole, "lacking": taken.lacking}
            self.stdout.write(json.dumps({**facts, **asdict(told)}))
        else:
            self._say(told, taken)
        sys.exit(0 if is_whole else 1)

    def _list(self, found: list[BackupSet], *, is_json: bool) -> None:
        if is_json:
            facts = [{**asdict(one), "is_whole": one.is_whole} for one in found]
            self.stdout.write(json.dumps(facts))
            return
        for one in found:
            self.stdout.write(f"{one.name}  {_state(one)}".rstrip())

    def _say(self, told: Restored, taken: BackupSet) -> None:
        files = told.files
        done = f"{counted(files.done, 'file')} ({size_text(files.bytes_done)})"
        self.stdout.write(
            f"{told.name} is restored; {done} "
            f"copied to {settings.LORARY.storage} and verified, {files.present:,} already there"
        )
        if not taken.is_whole:
            self.stdout.write(f"This backup is {_state(taken)}. See the whole ones with --list.")
        if again := told.uploads.asked_again:
            self.stdout.write(f"{counted(len(again), 'open upload')} to send all bytes again")
        for line in amiss(files, missing=MISSING, damaged=DAMAGED, failed=FAILED):
            self.stdout.write(line)


def _state(one: BackupSet) -> str:
    """Return what is to be known of a set before it is taken; nothing of one that is whole."""
    if not one.is_readable:
        return "damaged"
    if one.lacking:
        return f"not whole: {counted(one.lacking, 'file')} could not be saved"
    return ""
