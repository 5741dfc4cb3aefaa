"""``manage.py restore``: a hub from a backup."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from hub import backups, dumps, presence
from hub.checks import TAG
from hub.counting import counted, in_words
from hub.management.help import Help
from hub.management.progress import Meter, amiss
from registry.errors import LoraryError

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from hub.backups import Restored

__all__ = ["Command"]

EPILOG = """\
The database that LORARY_DATABASE_URL names has to be empty, for SQLite: absent. Files go into
LORARY_STORAGE; those that are there already stay. Rows of an older release are brought up to date.

Exit code 1: files that the rows name are not in the backup, as listed; the rest is there.

Example: LORARY_DATA=/srv/lorary manage.py restore --from /mnt/backup/lorary
"""


class Command(BaseCommand):
    """Put rows and files of a set back."""

    help = "Make a hub from a backup: rows into an empty database, files into the storage."
    requires_system_checks = [TAG]

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare where from, and which set."""
        parser.epilog, parser.formatter_class = EPILOG, Help
        parser.add_argument(
            "--from", required=True, type=Path, dest="folder", metavar="FOLDER", help="of backups"
        )
        parser.add_argument("--set", metavar="NAME", help="which one; the newest when left out")
        parser.add_argument("--list", action="store_true", help="only list the sets")
        parser.add_argument("--json", action="store_true", help="one line of JSON")

    def handle(self, *_args: str, **options: Any) -> None:
        """Restore; leave with 1 when files are missing."""
        folder = options["folder"].absolute()
        if options["list"]:
            names = backups.sets(folder)
            self.stdout.write(json.dumps(names) if options["json"] else "\n".join(names))
            return
        meter = Meter("restored", is_quiet=options["json"])
        try:
            with presence.one_at_a_time(), presence.alone():
                name = options["set"] or backups.latest(folder)
                told = backups.put_back(folder, name, progress=meter)
        except (presence.Busy, backups.BackupInvalid, dumps.RowsRefused, LoraryError) as error:
            raise CommandError(str(error)) from error
        meter.end()
        is_whole = told.files.is_whole
        if options["json"]:
            self.stdout.write(json.dumps({"ok": is_whole, **asdict(told)}))
        else:
            self._say(told)
        sys.exit(0 if is_whole else 1)

    def _say(self, told: Restored) -> None:
        files = told.files
        done = f"{counted(files.done, 'file')} ({in_words(files.bytes_done)})"
        self.stdout.write(
            f"{told.name} is restored; {done} "
            f"copied to {settings.LORARY.storage} and verified, {files.present:,} already there"
        )
        if again := told.uploads.asked_again:
            self.stdout.write(f"{counted(len(again), 'open upload')} to send all bytes again")
        for line in amiss(files):
            self.stdout.write(line)
