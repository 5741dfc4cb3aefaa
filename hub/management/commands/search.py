"""``manage.py search``: checks and rebuilds the search documents and the full-text index."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError

from hub.management.progress import LARGE_STEP, report_step
from hub.plurals import counted
from registry.database.table_locks import LocksUnavailable
from registry.errors import Conflict
from registry.search import maintenance

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from registry.search.maintenance import Checked


class Command(BaseCommand):
    """Compares search documents with their adapters, or rebuilds all of them."""

    help = "Check or rebuild the search documents."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the actions and the options."""
        parser.add_argument("action", choices=["check", "rebuild"])
        parser.add_argument("--json", action="store_true", help="one line of JSON")

    def handle(self, *_args: str, **options: Any) -> None:
        """Check, or rebuild; exit with 1 if a check found a difference."""
        progress = None if options["json"] else partial(report_step, "adapters", step=LARGE_STEP)
        if options["action"] == "rebuild":
            try:
                changed = maintenance.rebuild(progress=progress)
            except Conflict as error:
                message = "Another rebuild is running. If it was killed, try again in a minute."
                raise CommandError(message) from error
            except LocksUnavailable as error:
                raise CommandError(str(error)) from error
            text = f"{counted(changed, 'search document')} changed; the index was rebuilt."
            self.stdout.write(json.dumps({"changed": changed}) if options["json"] else text)
            return
        checked = maintenance.check(progress=progress)
        if options["json"]:
            self.stdout.write(json.dumps({"ok": checked.is_well, **asdict(checked)}))
        else:
            self._report(checked)
        sys.exit(0 if checked.is_well else 1)

    def _report(self, checked: Checked) -> None:
        self.stdout.write(
            f"{counted(checked.adapters, 'adapter')}; search documents missing: "
            f"{checked.missing:,}, stale: {checked.stale:,}; the index "
            f"{'agrees' if checked.has_index else 'does not agree'} with them."
        )
        if checked.is_rebuilding:
            self.stdout.write("A rebuild is running. Check again when it has ended.")
            return
        if not checked.has_spelling:
            self.stdout.write("A rebuild was interrupted.")
        if not checked.is_well:
            self.stdout.write("Run `manage.py search rebuild`.")
