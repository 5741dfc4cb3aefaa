"""``manage.py rerender``: renders previews and cover sheets with outdated recipes again."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from collections.abc import Callable
from functools import partial
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from hub.management.options import named
from hub.management.progress import Help, report_step
from lorary.anatomy import FAMILIES
from previews.packs import rerender as packs
from previews.render import RenderError
from previews.renders import rerender
from previews.renders.rerender import Outdated, Rerendered
from registry.models import Adapter, Pack, PackVersion

EPILOG = """\
A version is rendered again if its latest pictures were made with another recipe than it would get
now, because the renderer, the entry of its base in the bases file, prompts or trigger words
changed. These renders come after all other work, and the old pictures stay until the new ones are
ready. Versions without an available base model, and those with a render in progress, are skipped.
The same goes for the cover sheets of packs. Run it as often as you like: no render is started
twice.

Example: manage.py rerender --family sdxl --dry-run
"""


class Command(BaseCommand):
    help = "Render previews and cover sheets again if they were made with an outdated recipe."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.epilog, parser.formatter_class = EPILOG, Help
        one = parser.add_mutually_exclusive_group()
        one.add_argument("--adapter", metavar="OWNER/NAME", help="only versions of this adapter")
        one.add_argument("--pack", metavar="OWNER/NAME", help="only versions of this pack")
        parser.add_argument("--family", default="", metavar="ID", help="one base model only")
        parser.add_argument(
            "--dry-run", action="store_true", help="only print what would be rendered"
        )
        parser.add_argument("--json", action="store_true", help="one line of JSON")

    def handle(self, *_args: str, **options: Any) -> None:
        """Find outdated previews, start renders, and report."""
        family, is_dry = options["family"], options["dry_run"]
        if family and family not in FAMILIES:
            msg = f"There is no base model “{family}”. Known base models: {', '.join(FAMILIES)}."
            raise CommandError(msg)
        adapter = named(Adapter.objects.all(), options["adapter"]) if options["adapter"] else None
        pack = named(Pack.objects.all(), options["pack"]) if options["pack"] else None
        common = {"family": family, "is_dry": is_dry}
        found = []
        try:
            if pack is None:
                about = _progress("versions", **options)
                found.append(rerender.run(adapter=adapter, progress=about, **common))
            if adapter is None:
                about = _progress("versions of packs", **options)
                found.append(packs.run(pack=pack, progress=about, **common))
        except RenderError as error:
            raise CommandError(str(error)) from error
        begun = [one for each in found for one in each.begun]
        result = Rerendered(sum(each.looked_at for each in found), begun)
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


def _progress(noun: str, *, json: bool, **_options: Any) -> Callable[[int, int], None]:
    return _silent if json else partial(report_step, noun)


def _silent(_done: int, _total: int) -> None:
    """Report nothing."""


def _name(found: Outdated) -> str:
    name = " ".join(_place(found).values())
    return f"packs/{name}" if found.variant else name


def _place(found: Outdated) -> dict[str, str]:
    version = found.version
    if isinstance(version, PackVersion):
        pack = version.pack.full_name
        return {"pack": pack, "version": version.name, "variant": found.variant}
    return {"adapter": version.adapter.full_name, "version": version.name}


def _document(result: Rerendered, *, is_dry: bool) -> dict[str, Any]:
    return {
        "dry_run": is_dry,
        "looked_at": result.looked_at,
        "rendered_again": [
            {
                **_place(found),
                "base": found.base,
                "pictures": found.pictures,
                "changes": list(found.changes),
            }
            for found in result.begun
        ],
    }
