"""``manage.py rerender``: previews made by a recipe that is no longer theirs, rendered again."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError

from hub.management.progress import Help
from lorary.anatomy import FAMILIES
from previews.render import RenderError
from previews.renders import rerender
from registry.models import Adapter, AdapterName
from registry.names import key_of

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from previews.renders.rerender import Outdated, Rerendered

EPILOG = """\
A version is rendered again when its last pictures were made by another recipe than it would get
now: the renderer is a new one, the bases file says something else of its base, prompts or trigger
words were changed. It comes after all other work, and the pictures of before stay until the new
ones are there. Versions that nobody has a base model for are left alone, and so are those that are
under way. Run it as often as you like: nothing is begun twice.

Example: manage.py rerender --family sdxl --dry-run
"""

#: Versions between two lines of progress where no terminal can overwrite one.
STEP = 500


class Command(BaseCommand):
    """Begin renders of what other recipes made, and say why."""

    help = "Render previews again that were made with an outdated recipe. Repeatable."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare what is looked at and how it is told."""
        parser.epilog, parser.formatter_class = EPILOG, Help
        parser.add_argument("--adapter", metavar="OWNER/NAME", help="its versions only")
        parser.add_argument("--family", default="", metavar="ID", help="one base model only")
        parser.add_argument(
            "--dry-run", action="store_true", help="only print what would be rendered"
        )
        parser.add_argument("--json", action="store_true", help="one line of JSON")

    def handle(self, *_args: str, **options: Any) -> None:
        """Look, begin and report."""
        family, is_dry = options["family"], options["dry_run"]
        if family and family not in FAMILIES:
            msg = f"There is no base model “{family}”. Known are: {', '.join(FAMILIES)}."
            raise CommandError(msg)
        adapter = _adapter(options["adapter"]) if options["adapter"] else None
        progress = _silent if options["json"] else self._progress
        try:
            told = rerender.run(adapter=adapter, family=family, is_dry=is_dry, progress=progress)
        except RenderError as error:
            raise CommandError(str(error)) from error
        if options["json"]:
            self.stdout.write(json.dumps(_document(told, is_dry=is_dry), ensure_ascii=False))
            return
        self._report(told, "would be" if is_dry else "will be")

    def _progress(self, done: int, total: int) -> None:
        text = f"{done:,} of {total:,} versions"
        if sys.stderr.isatty():
            ending = "\n" if done == total else ""
            self.stderr.write(f"\r{text}", style_func=str, ending=ending)
        elif done % STEP == 0:
            self.stderr.write(text)

    def _report(self, told: Rerendered, verb: str) -> None:
        for found in told.begun:
            why = "; ".join(found.changes)
            self.stdout.write(f"{_name(found)}: {found.pictures} pictures ({why})")
        looked_at = f"{told.looked_at:,} version{'' if told.looked_at == 1 else 's'} looked at"
        pictures = sum(found.pictures for found in told.begun)
        self.stdout.write(
            f"{looked_at}, {len(told.begun):,} {verb} rendered again: {pictures:,} pictures"
        )


def _silent(_done: int, _total: int) -> None:
    """Tell nobody."""


def _adapter(name: str) -> Adapter:
    """Return the adapter of a name, private ones and earlier names too."""
    owner, _slash, rest = name.partition("/")
    names = AdapterName.objects.filter(key=key_of(rest), namespace__names__key=key_of(owner))
    found = Adapter.objects.filter(pk__in=names.values("adapter")).first()
    if found is None:
        msg = f"There is no adapter “{name}”. Write it as OWNER/NAME."
        raise CommandError(msg)
    return found


def _name(found: Outdated) -> str:
    return f"{found.version.adapter.full_name} {found.version.name}"


def _document(told: Rerendered, *, is_dry: bool) -> dict[str, Any]:
    return {
        "dry_run": is_dry,
        "looked_at": told.looked_at,
        "rendered_again": [
            {
                "adapter": found.version.adapter.full_name,
                "version": found.version.name,
                "pictures": found.pictures,
                "changes": list(found.changes),
            }
            for found in told.begun
        ],
    }
