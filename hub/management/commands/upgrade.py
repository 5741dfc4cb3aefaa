"""``manage.py upgrade --check``: says whether this release can take over while the hub runs."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from hub.management.progress import Help
from hub.operations import upgrade
from hub.operations.missing_database import missing_hub
from hub.setting_checks import TAG

EPILOG = """\
Run it with the new release, before `manage.py migrate`. It changes nothing.

migrations   which are pending, and whether processes of the previous release can keep running
space        size of the database, and what a migration can need
workers      workers of another release
backup       age of the newest complete backup, with --backups

Exit code 1: stop the hub, free disk space or make a backup first, as the lines with “error” say.

Example: manage.py upgrade --check --backups /mnt/backup/lorary
"""


class Command(BaseCommand):
    help = "Check whether the hub can be updated to this release while it runs."
    requires_system_checks = [TAG]

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.epilog, parser.formatter_class = EPILOG, Help
        parser.add_argument("--check", action="store_true", help="required: only check")
        parser.add_argument("--backups", type=Path, metavar="FOLDER", help="folder of the backups")
        parser.add_argument("--json", action="store_true", help="one line of JSON")

    def handle(self, *_args: str, **options: Any) -> None:
        """Print the findings; exit with 1 if one is an error."""
        if not options["check"]:
            message = "Pass --check. `manage.py migrate` updates the database."
            raise CommandError(message)
        if missing := missing_hub():
            raise CommandError(missing)
        try:
            found = list(upgrade.check(options["backups"]))
        except OSError as error:
            raise CommandError(str(error)) from error
        if options["json"]:
            self.stdout.write(json.dumps({"findings": [asdict(one) for one in found]}))
        else:
            for one in found:
                self.stdout.write(f"{one.state:8}{one.part:12}{one.message}")
        sys.exit(int(any(one.state == "error" for one in found)))
