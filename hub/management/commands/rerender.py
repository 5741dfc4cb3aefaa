"""``manage.py rerender``: renders previews with outdated recipes again."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from functools import partial
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from hub.management.options import adapter_named
from hub.management.progress import Help, report_step
from lorary.anatomy import FAMILIES
from previews.render import RenderError
from previews.renders import rerender
from previews.renders.rerender import Outdated, Rerendered

EPILOG = """\
A version is rendered again if its latest pictures were made with another recipe than it would get
now, because the renderer, the entry of its base in the bases file, prompts or trigger words
changed. These renders come after all other work, and the old pictures stay until the new ones are
ready. Versions without an available base model, and those with a render in progress, are skipped.
Run it as often as you like: no render is started twice.

Example: manage.py rerender --family sdxl --dry-run
"""


class Command(BaseCommand):
    help = "Render previews again that were made with an outdated recipe. Repeatable."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.epilog, parser.formatter_class = EPILOG, Help
        parser.add_argument("--adapter", metavar="OWNER/NAME", help="its versions only")
        parser.add_argument("--family", default="", metavar="ID", help="one base model only")
        parser.add_argument(
            "--dry-run", action="store_true", help="only print what would be rendered"
        )
        parser.add_argument("--json", action="store_true", help="one line of JSON")

    def handle(self, *_args: str, **options: Any) -> None:
        """Find outdated previews, start renders, and report."""
        family, is_dry = options["family"], options["dry_run"]
        if family and family not in FAMILIES:
            msg = f"There is no base model “{family}”. Known are: {', '.join(FAMILIES)}."
            raise CommandError(msg)
        adapter = adapter_named(options["adapter"]) if options["adapter"] else None
        progress = _silent if options["json"] else partial(report_step, "versions")
        try:
            result = rerender.run(adapter=adapter, family=family, is_dry=is_dry, progress=progress)
        except RenderError as error:
            raise CommandError(str(error)) from error
        if options["json"]:
            self.stdout.write(json.dumps(_document(result, is_dry=is_dry), ensure_ascii=False))
            return
        self._report(result, "would be" if is_dry else "will be")

    def _report(self, result: Rerendered, verb: str) -> None:
        for found in result.begun:
            why = "; ".join(found.changes)
            self.stdout.write(
                f"{_name(found)}: {found.pictures} pictures with {found.base} ({why})"
            )
        looked_at = f"{result.looked_at:,} version{'' if result.looked_at == 1 else 's'} checked"
        count = sum(found.pictures for found in result.begun)
        self.stdout.write(
            f"{looked_at}, {result.versions:,} {verb} rendered again: {count:,} pictures"
        )


def _silent(_done: int, _total: int) -> None:
    """Report nothing."""


def _name(found: Outdated) -> str:
    return f"{found.version.adapter.full_name} {found.version.name}"


def _document(result: Rerendered, *, is_dry: bool) -> dict[str, Any]:
    return {
        "dry_run": is_dry,
        "looked_at": result.looked_at,
        "rendered_again": [
            {
                "adapter": found.version.adapter.full_name,
                "version": found.version.name,
                "base": found.base,
                "pictures": found.pictures,
                "changes": list(found.changes),
            }
            for found in result.begun
        ],
    }
