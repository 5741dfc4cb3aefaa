"""``manage.py derive``: makes missing contact sheets."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from collections.abc import Iterator
from typing import Any

from django.core.management.base import BaseCommand

from hub.management.progress import Help
from hub.plurals import counted
from previews.models import Render
from previews.renders import contact_sheets

EPILOG = """\
The checks workers do this after each render, and for a few hundred renders at each start. This
command creates all of them now, in this process. It can be stopped and started again.

Example: manage.py derive --dry-run
"""


class Command(BaseCommand):
    help = "Create missing contact sheets."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.epilog, parser.formatter_class = EPILOG, Help
        parser.add_argument("--dry-run", action="store_true", help="only print what is missing")
        parser.add_argument("--json", action="store_true", help="one line of JSON")

    def handle(self, *_args: str, **options: Any) -> None:
        """Create missing contact sheets, and report."""
        if options["dry_run"]:
            sheets, verb = contact_sheets.missing().count(), "missing"
        else:
            sheets, verb = sum(1 for _render in _draw()), "created"
        if options["json"]:
            self.stdout.write(json.dumps({"sheets": sheets}))
        else:
            self.stdout.write(f"{counted(sheets, 'contact sheet')} {verb}.")


def _draw() -> Iterator[Render]:
    ids = list(contact_sheets.missing().values_list("pk", flat=True))
    rows = Render.objects.select_related("recipe", "version__adapter__namespace")
    for render in rows.filter(pk__in=ids):
        contact_sheets.make(render=render)
        yield render
