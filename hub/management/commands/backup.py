"""``manage.py backup``: a copy of the rows and of every file that they name."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError

from hub import backups, dumps, presence
from hub.checks import TAG
from hub.counting import counted, in_words
from hub.management.help import Help
from hub.management.progress import Meter, amiss
from registry.errors import LoraryError

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from hub.backups import Made

__all__ = ["Command"]

EPILOG = """\
The hub may run meanwhile. Files that are in the folder already are not copied again; each is
verified by its sha256 when it is written.

Exit code 1: a file that the rows name could not be copied, as listed; the rest is there.

Example: manage.py backup --to /mnt/backup/lorary --keep 14
"""


class Command(BaseCommand):
    """Add a set to a folder of backups."""

    help = "Back up rows and files into a folder, while the hub runs."
    requires_system_checks = [TAG]

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare where to, and how long sets are kept."""
        parser.epilog, parser.formatter_class = EPILOG, Help
        parser.add_argument("--to", required=True, type=Path, metavar="FOLDER", help="of backups")
        parser.add_argument(
            "--keep", type=int, metavar="N", help="then remove all sets but the newest N"
        )
        parser.add_argument("--rows-only", action="store_true", help="leave the files out")
        parser.add_argument("--json", action="store_true", help="one line of JSON")

    def handle(self, *_args: str, **options: Any) -> None:
        """Make it; leave with 1 when a file is missing."""
        keep, folder = options["keep"], options["to"].absolute()
        if keep is not None and keep < 1:
            message = "--keep takes a number from 1 on."
            raise CommandError(message)
        meter = Meter("copied", is_quiet=options["json"])
        try:
            with presence.one_at_a_time():
                made = backups.make(folder, with_files=not options["rows_only"], progress=meter)
                pruned = backups.prune(folder, keep) if keep and made.is_whole else 0
        except (presence.Busy, dumps.RowsRefused, LoraryError, OSError) as error:
            raise CommandError(str(error)) from error
        meter.end()
        if options["json"]:
            document = {"ok": made.is_whole, "pruned": pruned, **asdict(made)}
            self.stdout.write(json.dumps(document))
        else:
            self._say(made, pruned)
        sys.exit(0 if made.is_whole else 1)

    def _say(self, made: Made, pruned: int) -> None:
        files = made.files
        self.stdout.write(
            f"{made.name}: {counted(made.blobs, 'file')} ({in_words(made.bytes)}) in all; "
            f"{files.done:,} ({in_words(files.bytes_done)}) new and verified"
        )
        if pruned:
            self.stdout.write(f"{counted(pruned, 'file')} removed that no kept set names")
        for line in amiss(files):
            self.stdout.write(line)
