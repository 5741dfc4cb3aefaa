"""``manage.py restore``: restores a hub from a backup."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from hub.management.progress import MEND, Help, Meter, problem_lines
from hub.operations import backup, backup_sets, database_dumps, process_lock
from hub.operations.backup import Restored
from hub.operations.backup_sets import BackupSet
from hub.operations.failures import place_problem
from hub.plurals import counted, size_text
from hub.setting_checks import TAG
from registry.errors import LoraryError, StorageFull

EPILOG = """\
The database of LORARY_DATABASE_URL must be empty; for SQLite, the file must not exist. Files are
copied into LORARY_STORAGE; existing ones stay. The database of an older release is migrated; that
of a newer one is refused.

Without --set, the newest complete set is restored, or the newest readable one if none is complete;
newer incomplete or damaged ones are skipped and named. A set with only the database counts as
complete if it records that the files were in a bucket. --list shows age, number and size of the
files, release, and what is wrong.

Exit code 1: the listed files are not in the backup; all others are restored.

Example: LORARY_DATA=/srv/lorary manage.py restore --from /mnt/backup/lorary
"""

#: Age from which on sets are listed with days.
DAYS_FROM_H = 48
#: Descriptions of files. They do not advise another restore, because the database is restored.
BESIDE = "Or restore to another data directory: set LORARY_DATA."
MISSING = f"not in this backup; {MEND}"
DAMAGED = f"damaged in this backup; {MEND}"
FAILED = f"failed; {MEND}"


class Command(BaseCommand):
    help = "Restore a hub from a backup: rows into an empty database, files into the storage."
    requires_system_checks = [TAG]

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.epilog, parser.formatter_class = EPILOG, Help
        parser.add_argument(
            "--from",
            required=True,
            type=Path,
            dest="folder",
            metavar="FOLDER",
            help="folder of the backups",
        )
        parser.add_argument(
            "--set", metavar="NAME", help="the set to restore; default: the newest complete one"
        )
        parser.add_argument(
            "--newer-anyway",
            action="store_true",
            help="restore a set of a newer release, whose database this one may not know",
        )
        parser.add_argument("--list", action="store_true", help="only list the sets, oldest first")
        parser.add_argument("--json", action="store_true", help="one line of JSON")

    def handle(self, *_args: str, **options: Any) -> None:
        """Restore; exit with 1 if files are missing."""
        folder = options["folder"].absolute()
        if options["list"]:
            self._list(folder, is_json=options["json"])
            return
        meter = Meter("restored", is_quiet=options["json"])
        try:
            with (
                process_lock.one_copy_only(),
                process_lock.exclusive(BESIDE),
                process_lock.reading(folder),
            ):
                taken = backup_sets.chosen(folder, options["set"])
                skipped = [] if options["set"] else _newer(folder, taken)
                result = backup.restore(
                    folder, taken.name, takes_newer=options["newer_anyway"], progress=meter
                )
        except StorageFull as error:  # the store's errors about one file are in the result
            raise CommandError(place_problem(settings.LORARY.storage, error)) from error
        except OSError as error:
            raise CommandError(place_problem(folder, error)) from error
        except (
            process_lock.Busy,
            backup_sets.BackupInvalid,
            database_dumps.RowsRefused,
            LoraryError,
        ) as error:
            raise CommandError(str(error)) from error
        meter.end()
        is_whole = result.files.is_whole
        if options["json"]:
            names = [one.name for one in skipped]
            facts = {"ok": is_whole, "lacking": taken.lacking, "skipped": names}
            self.stdout.write(json.dumps({**facts, **asdict(result)}))
        else:
            self._say(result, taken, skipped)
        sys.exit(0 if is_whole else 1)

    def _list(self, folder: Path, *, is_json: bool) -> None:
        try:
            found = backup_sets.sets(folder)
        except OSError as error:
            raise CommandError(place_problem(folder, error)) from error
        if is_json:
            facts = [
                {**asdict(one), "is_whole": one.is_whole, "made_at": one.made_at.isoformat()}
                for one in found
            ]
            self.stdout.write(json.dumps(facts))
            return
        if not found:
            self.stdout.write(backup_sets.none_in(folder))
        for one in found:
            parts = (one.name, _age(one), *_contents(one), _state(one) or "complete")
            self.stdout.write("  ".join(filter(None, parts)))

    def _say(self, result: Restored, taken: BackupSet, skipped: list[BackupSet]) -> None:
        files = result.files
        done = f"{counted(files.done, 'file')} ({size_text(files.bytes_done)})"
        self.stdout.write(
            f"{result.name} is restored; {done} "
            f"copied to {settings.LORARY.storage} and verified, {files.present:,} already there"
        )
        for one in skipped:
            state = f"The newer {one.name} is {_state(one)}"
            self.stdout.write(f"{state}. It was skipped; --set restores it.")
        if not taken.is_whole:
            self.stdout.write(
                f"This backup is {_state(taken)}. --list shows which sets are complete."
            )
        if again := result.uploads.asked_again:
            self.stdout.write(f"{counted(len(again), 'open upload')} to be sent again")
        for line in problem_lines(files, missing=MISSING, damaged=DAMAGED, failed=FAILED):
            self.stdout.write(line)


def _newer(folder: Path, taken: BackupSet) -> list[BackupSet]:
    return [one for one in backup_sets.sets(folder) if one.made_at > taken.made_at]


def _age(one: BackupSet) -> str:
    hours = (timezone.now() - one.made_at).total_seconds() / 3600
    return f"{hours:.1f} hours old" if hours < DAYS_FROM_H else f"{hours / 24:.0f} days old"


def _contents(one: BackupSet) -> list[str]:
    if not one.is_readable:
        return []
    release = f"release {one.release}" if one.release else ""
    only = "" if one.has_files else "rows only"
    return [counted(one.blobs, "file"), size_text(one.bytes), release, only]


def _state(one: BackupSet) -> str:
    """Return what is wrong with a set, "" if it is complete."""
    if not one.is_readable:
        return "damaged"
    if one.lacking:
        what = "could not be saved" if one.has_files else "not saved"
        return f"incomplete: {counted(one.lacking, 'file')} {what}"
    return ""
