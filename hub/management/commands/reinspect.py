"""``manage.py reinspect``: read the headers of stored files again."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand

from registry.services import reinspecting

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from registry.services.reinspecting import Reinspected

__all__ = ["Command"]

#: Digests that are written out before the rest is only counted.
NAMED = 10
#: Files between two lines of progress where no terminal can overwrite one.
STEP = 500


class Command(BaseCommand):
    """Renew what is known of published files after an update; bytes are never changed."""

    help = "Read the headers of stored files again and renew what is known of them. Repeatable."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare what is read and how it is told."""
        parser.add_argument(
            "--all", action="store_true", help="also files whose document has the present shape"
        )
        parser.add_argument("--dry-run", action="store_true", help="only say what would change")
        parser.add_argument("--json", action="store_true", help="one line of JSON")

    def handle(self, *_args: str, **options: Any) -> None:
        """Read and report."""
        told = reinspecting.run(
            is_dry=options["dry_run"],
            includes_current=options["all"],
            progress=None if options["json"] else self._progress,
        )
        if options["json"]:
            self.stdout.write(json.dumps(asdict(told)))
            return
        self._report(told, "would change" if options["dry_run"] else "changed")

    def _progress(self, done: int, total: int) -> None:
        if sys.stderr.isatty():
            self.stderr.write(f"\r{done:,} of {total:,} headers", ending="")
            if done == total:
                self.stderr.write("")
        elif done % STEP == 0:
            self.stderr.write(f"{done:,} of {total:,} headers")

    def _report(self, told: Reinspected, verb: str) -> None:
        self.stdout.write(
            f"{told.read:,} headers read; {told.changed:,} files {verb}, "
            f"{told.versions:,} versions are shown differently"
        )
        self._list(told.refused, "would not be taken today; published ones stay as they are")
        self._list(told.missing, "not found in storage: restore them from a backup")

    def _list(self, digests: list[str], what: str) -> None:
        if digests:
            self.stdout.write(f"{len(digests):,} {what}:")
        for digest in digests[:NAMED]:
            self.stdout.write(f"  {digest}")
