"""``manage.py doctor``: diagnoses a hub."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand

from hub.management.progress import Help
from hub.operations.doctor import examine

if TYPE_CHECKING:
    from argparse import ArgumentParser

EPILOG = """\
Exit code 1: at least one result is an ERROR, so a part of the hub does not work. Warnings do not
change the exit code.
"""

MARKS = {"ok": "ok     ", "warning": "WARNING", "error": "ERROR  "}


class Command(BaseCommand):
    """Examines settings, storage, broker, workers and rows."""

    help = "Report problems of this hub and how to fix them."
    requires_system_checks: list[str] = []  # the doctor reports their results

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the options."""
        parser.epilog, parser.formatter_class = EPILOG, Help
        parser.add_argument(
            "--deep", action="store_true", help="check all files instead of a sample"
        )
        parser.add_argument("--json", action="store_true", help="one JSON document on stdout")

    def handle(self, *_args: str, **options: Any) -> None:
        """Print one line per result; exit with 1 if any is an error."""
        reports = []
        for report in examine(is_deep=options["deep"]):
            reports.append(report)
            if not options["json"]:
                self.stdout.write(f"{MARKS[report.state]} {report.probe:9} {report.message}")
                if report.hint:
                    self.stdout.write(f"{'':18}{report.hint}")
        is_well = all(report.state != "error" for report in reports)
        if options["json"]:
            document = {"ok": is_well, "reports": [asdict(report) for report in reports]}
            self.stdout.write(json.dumps(document))
        sys.exit(0 if is_well else 1)
