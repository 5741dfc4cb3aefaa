"""``manage.py sweep``: deletes unreferenced files."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand
from django.core.serializers.json import DjangoJSONEncoder

from hub.plurals import counted, size_text
from registry import sweep

if TYPE_CHECKING:
    from argparse import ArgumentParser


class Command(BaseCommand):
    """Expires stale uploads and deletes unreferenced files after the grace period."""

    help = "Delete stale uploads and unreferenced files (the workers do this hourly)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the options."""
        parser.add_argument(
            "--dry-run", action="store_true", help="only print what would be deleted"
        )
        parser.add_argument("--json", action="store_true", help="one line of JSON")

    def handle(self, *_args: str, **options: Any) -> None:
        """Sweep and report."""
        swept = sweep.run(is_dry=options["dry_run"])
        if not options["dry_run"]:
            sweep.run_here()
        left = sweep.waiting()
        if options["json"]:
            document = asdict(swept) | {"waiting": left._asdict()}
            self.stdout.write(json.dumps(document, cls=DjangoJSONEncoder))
            return
        is_dry = options["dry_run"]
        verb = "would free" if is_dry else "freed"
        self.stdout.write(
            f"{counted(swept.uploads_expired, 'upload')} expired; "
            f"{'to delete' if is_dry else 'deleted'}: "
            f"{counted(swept.uploads_forgotten, 'old upload record')}, "
            f"{counted(swept.blobs, 'unreferenced blob')}, {counted(swept.files, 'file')}, "
            f"{counted(swept.leftovers, 'piece')} left by Hugging Face clients; "
            f"{verb} {size_text(swept.bytes_freed + swept.leftover_bytes)}"
        )
        if left.next_at:
            self.stdout.write(
                f"{counted(left.files, 'unreferenced file')} ({size_text(left.bytes)}) in the "
                f"grace period; the next can be deleted after {left.next_at:%Y-%m-%d %H:%M} UTC"
            )
