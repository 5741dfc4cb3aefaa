"""``manage.py block``: blocks adapters and packs, and lifts blocks."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from hub.management.options import named
from hub.management.progress import Help
from hub.setting_checks import TAG
from registry.errors import LoraryError
from registry.models import Adapter, Pack
from registry.versions import blocking

EPILOG = """\
Readers of a blocked adapter see the reason for the block (451) instead of pages and
files, and it appears in no list. Its owner still sees it. Nothing is deleted; --lift
shows it again.
Without TARGET it lists what is blocked.

Exit code 1: there is no such adapter or pack, or it was withdrawn.

Examples:
  manage.py block ada/noir --reason "A complaint is being examined"
  manage.py block packs/ada/evening --lift
"""


class Command(BaseCommand):
    help = "Block an adapter or a pack, or lift its block."
    requires_system_checks = [TAG]

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.epilog, parser.formatter_class = EPILOG, Help
        parser.add_argument("target", nargs="?", default="", metavar="[packs/]OWNER/NAME")
        change = parser.add_mutually_exclusive_group()
        change.add_argument("--reason", default="", help="block it; the reason is public")
        change.add_argument("--lift", action="store_true", help="lift its block")

    def handle(self, *_args: str, **options: Any) -> None:
        """Block or lift, or list what is blocked."""
        if not options["target"]:
            self.stdout.write("\n".join(_blocked()) or "Nothing is blocked.")
            return
        if not (options["reason"] or options["lift"]):
            message = "Give a --reason to block it, or --lift."
            raise CommandError(message)
        thing = _named(options["target"])
        try:
            if options["lift"]:
                is_changed, state = blocking.lift(actor=None, thing=thing), "not blocked"
            else:
                is_changed = blocking.block(actor=None, thing=thing, reason=options["reason"])
                state = "blocked"
        except LoraryError as error:
            raise CommandError(str(error.detail)) from error
        self.stdout.write(f"{thing.full_name} is {state} {'now' if is_changed else 'already'}.")


def _named(target: str) -> Adapter | Pack:
    is_pack = target.startswith("packs/")
    return (
        named(Pack.objects.all(), target.removeprefix("packs/"))
        if is_pack
        else named(Adapter.objects.all(), target)
    )


def _blocked() -> list[str]:
    adapters, packs = blocking.blocked()
    lines = [f"{one.full_name}  {one.blocked_reason}" for one in adapters]
    return sorted([*lines, *(f"packs/{one.full_name}  {one.blocked_reason}" for one in packs)])
