"""``manage.py lineages``: imports, lists and removes checkpoints that the operator knows."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from hub.management.progress import Help
from hub.plurals import counted
from hub.setting_checks import TAG
from registry.lineages import selectors, services
from registry.lineages.tables import TableInvalid
from registry.models import KnownCheckpoint

EPILOG = """\
import FILE    a table of known checkpoints, .csv or .json, with the columns sha256, autov2,
               autov1, number, lineage, name and source. Entries with the same hash or number
               are replaced. If a row is not valid, nothing is imported
list [NAME]    the entries, or those of one lineage
remove NAME …  entries by hash, number or lineage

Trainers write the hash of the base checkpoint into the metadata. The hub compares it with
these entries, and shows a match as an estimate with its source.

Exit code 1: the table is not valid, or there is nothing to remove.

Example: manage.py lineages import checkpoints.csv
"""


class Command(BaseCommand):
    help = "Import, list or remove checkpoints that are known by hash or number."
    requires_system_checks = [TAG]

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.epilog, parser.formatter_class = EPILOG, Help
        parser.add_argument("verb", choices=("import", "list", "remove"), help="see below")
        parser.add_argument("names", nargs="*", metavar="NAME", help="a file, or what to list")
        parser.add_argument("--json", action="store_true", help="one line of JSON")

    def handle(self, *_args: str, **options: Any) -> None:
        """Apply the verb, and print the result."""
        verb, names = options["verb"], options["names"]
        if (verb != "list" and not names) or (verb != "remove" and len(names) > 1):
            message = "import needs one FILE, remove at least one NAME, list takes at most one."
            raise CommandError(message)
        if verb == "list":
            self._list(names[0] if names else "", is_json=options["json"])
        elif verb == "import":
            self._say("imported", _imported(Path(names[0])), is_json=options["json"])
        else:
            self._say("removed", _removed(names), is_json=options["json"])

    def _say(self, verb: str, count: int, *, is_json: bool) -> None:
        self.stdout.write(
            json.dumps({verb: count}) if is_json else f"{counted(count, 'id')} {verb}"
        )

    def _list(self, lineage: str, *, is_json: bool) -> None:
        entries = selectors.listed(lineage)
        if is_json:
            self.stdout.write(json.dumps({"checkpoints": [_row(entry) for entry in entries]}))
            return
        for entry in entries:
            name = f" ({entry.name})" if entry.name else ""
            self.stdout.write(
                f"{entry.kind:6}  {entry.value}  {entry.lineage}{name}  {entry.source}"
            )


def _imported(path: Path) -> int:
    try:
        return services.import_table(path=path)
    except TableInvalid as error:
        message = f"{error} Nothing was imported."
        raise CommandError(message) from error


def _removed(names: list[str]) -> int:
    count = services.remove(names=names)
    if not count:
        message = f"There is no entry {', '.join(names)}."
        raise CommandError(message)
    return count


def _row(entry: KnownCheckpoint) -> dict[str, str]:
    return {key: getattr(entry, key) for key in ("kind", "value", "lineage", "name", "source")}
