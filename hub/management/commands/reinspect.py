"""``manage.py reinspect``: reads the headers of stored files again, or whole files."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from dataclasses import asdict
from functools import partial
from typing import Any

from django.core.management.base import BaseCommand

from hub.management.progress import DAMAGED, MISSING, listed, report_step
from hub.plurals import counted
from registry.blobs import rehash
from registry.blobs.rehash import Rehashed
from registry.versions import reinspect
from registry.versions.reinspect import Reinspected


class Command(BaseCommand):
    help = "Read stored files again and update their facts. Repeatable."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--all", action="store_true", help="also read files whose facts are up to date"
        )
        parser.add_argument(
            "--hashes",
            action="store_true",
            help="read whole files instead, for missing hashes, sketches and energies; with "
            "--all, to find changed bytes",
        )
        parser.add_argument("--dry-run", action="store_true", help="only print what would change")
        parser.add_argument("--json", action="store_true", help="one line of JSON")

    def handle(self, *_args: str, **options: Any) -> None:
        """Read and report."""
        read = rehash.run if options["hashes"] else reinspect.run
        what = "files" if options["hashes"] else "headers"
        result = read(
            is_dry=options["dry_run"],
            includes_current=options["all"],
            progress=None if options["json"] else partial(report_step, what),
        )
        if options["json"]:
            self.stdout.write(json.dumps(asdict(result)))
            return
        verb = "would change" if options["dry_run"] else "changed"
        if isinstance(result, rehash.Rehashed):
            self._report_hashes(result, verb)
        else:
            self._report(result, verb)

    def _report_hashes(self, result: Rehashed, verb: str) -> None:
        self.stdout.write(
            f"{counted(result.read, 'file')} read; hashes of {result.changed:,} {verb}"
        )
        self._list(result.damaged, DAMAGED)
        self._list(result.missing, MISSING)

    def _report(self, result: Reinspected, verb: str) -> None:
        self.stdout.write(
            f"{counted(result.read, 'header')} read; {counted(result.changed, 'file')} {verb}, "
            f"{counted(result.versions, 'version')} updated in lists"
        )
        self._list(result.refused, "would be refused today; they stay published")
        self._list(result.missing, MISSING)

    def _list(self, digests: list[str], what: str) -> None:
        for line in listed(digests, what, noun="file"):
            self.stdout.write(line)
