"""``manage.py generate``: fills a hub with made-up adapters."""

from __future__ import annotations

import time
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from hub.generation.fill import fill
from hub.management.options import whole_number
from hub.management.progress import LARGE_STEP, Help, report_step
from hub.plurals import counted
from registry.models import Adapter

if TYPE_CHECKING:
    from argparse import ArgumentParser

EPILOG = """\
For tests and benchmarks. The adapters have owners, tags, 1 to 5 versions with files, hashes and
trigger words, texts, and pictures; frequent base models, tags and owners are much more frequent
than rare ones. On an empty hub, the same number and seed give the same rows on the same day.

The weights and README.md files do not exist: their rows say that the bytes are not stored, so that
`doctor` does not miss them, and downloads of them are refused. Six small pictures are stored
and shared by all adapters.

Stop the hub first. Sign in as an owner after `manage.py changepassword OWNER`.

Example: manage.py generate --adapters 100000 --seed 1
"""


class Command(BaseCommand):
    """Adds adapters by bulk inserts."""

    help = "Fill an empty hub with made-up adapters, for tests and benchmarks."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the options."""
        parser.epilog, parser.formatter_class = EPILOG, Help
        parser.add_argument(
            "--adapters", type=whole_number(1), required=True, metavar="N", help="how many"
        )
        parser.add_argument(
            "--seed", type=whole_number(0), default=1, metavar="S", help="default 1"
        )
        parser.add_argument(
            "--yes", action="store_true", help="continue even if the hub has adapters"
        )

    def handle(self, *_args: str, **options: Any) -> None:
        """Add the adapters, and print the number of rows."""
        if Adapter.objects.exists() and not options["yes"]:
            msg = (
                "This hub has adapters. Generated ones cannot be removed; "
                "use another LORARY_DATA, or --yes to add them here."
            )
            raise CommandError(msg)
        begun = time.monotonic()
        midnight = timezone.now().replace(hour=0, minute=0, second=0, microsecond=0)
        count = options["adapters"]
        rows = fill(
            adapters_wanted=count,
            seed=options["seed"],
            end=midnight - timedelta(seconds=1),
            progress=partial(report_step, step=LARGE_STEP),
        )
        seconds = time.monotonic() - begun
        self.stdout.write(f"{counted(count, 'adapter')}, {rows:,} rows, in {seconds:.0f} seconds")
