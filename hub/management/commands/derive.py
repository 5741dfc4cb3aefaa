"""``manage.py derive``: makes missing small image formats and contact sheets."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from collections.abc import Iterator
from typing import Any

from django.core.management.base import BaseCommand

from hub.management.progress import Help
from previews.models import Image, Render
from previews.pictures import derivatives
from previews.renders import contact_sheets

EPILOG = """\
The checks workers do this after each render, and for a few hundred pictures at each start. This
command does all of it at once, in this process. It can be stopped and started again.

Example: manage.py derive --dry-run
"""
#: Pictures per query.
BLOCK = 100


class Command(BaseCommand):
    help = "Create missing smaller sizes and contact sheets of all pictures."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.epilog, parser.formatter_class = EPILOG, Help
        parser.add_argument("--dry-run", action="store_true", help="only print what is missing")
        parser.add_argument("--json", action="store_true", help="one line of JSON")

    def handle(self, *_args: str, **options: Any) -> None:
        """Make what is missing, and report; unreadable pictures are counted, too."""
        if options["dry_run"]:
            images, renders, dropped = (
                len(derivatives.missing(None)),
                contact_sheets.missing().count(),
                0,
            )
        else:
            images, renders = sum(1 for _image in _derive()), sum(1 for _render in _draw())
            dropped = derivatives.delete_orphans()
        left = len(derivatives.missing(None))
        report = {"pictures": images, "sheets": renders, "dropped": dropped, "left": left}
        if options["json"]:
            self.stdout.write(json.dumps(report))
            return
        verb = "would be" if options["dry_run"] else "were"
        self.stdout.write(
            f"{images} pictures and the sheets of {renders} renders {verb} looked at; "
            f"{dropped} unused smaller sizes deleted, {left} pictures without smaller sizes"
        )


def _derive() -> Iterator[Image]:
    waiting = derivatives.missing(None)
    for start in range(0, len(waiting), BLOCK):
        ids = waiting[start : start + BLOCK]
        for image in Image.objects.filter(pk__in=ids).select_related("blob"):
            derivatives.derive(image=image)
            yield image


def _draw() -> Iterator[Render]:
    ids = list(contact_sheets.missing().values_list("pk", flat=True))
    rows = Render.objects.select_related("recipe", "version__adapter__namespace")
    for render in rows.filter(pk__in=ids):
        contact_sheets.make(render=render)
        yield render
