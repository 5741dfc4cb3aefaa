"""``manage.py facets``: checks and repairs the counters of the browse page's filters."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand
from django.db import connection

from hub.management.progress import Help, listed
from hub.plurals import counted
from registry.adapters import services as adapters
from registry.database import facet_counters

if TYPE_CHECKING:
    from argparse import ArgumentParser

EPILOG = """\
The database updates the counters with every change; they need this command only if rows were
changed without its triggers. The permissions of a licence are stored with each adapter. Processes
of an older release that still run during an update do not store them; `rebuild` adds them. Both
actions read all adapters; the hub may run meanwhile.

Example: manage.py facets rebuild
"""


class Command(BaseCommand):
    """Compares counters with adapters."""

    help = "Check or rebuild the counters of the browse page's filters."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the action."""
        parser.epilog, parser.formatter_class = EPILOG, Help
        parser.add_argument("action", choices=["check", "rebuild"])

    def handle(self, *_args: str, **options: Any) -> None:
        """Report what is wrong (exit status 1), or repair it."""
        if options["action"] == "rebuild":
            renewed = adapters.renew_permissions()
            if renewed:
                self.stdout.write(f"Licence permissions updated: {counted(renewed, 'adapter')}")
            count = facet_counters.repair(connection)
            self.stdout.write(f"{counted(count, 'counter')} corrected")
            return
        stale = adapters.stale_permissions()
        for licence, _permissions in stale:
            self.stdout.write(
                f"The stored permissions of the licence “{licence}” are from another release"
            )
        wrong = facet_counters.lacking(connection)
        lines = [f"{field} {value}: {-lacks:+,}" for field, value, lacks in wrong]
        for line in listed(lines, "wrong", noun="counter"):
            self.stdout.write(line)
        if wrong or stale:
            sys.exit(1)
        self.stdout.write("All counters are correct")
