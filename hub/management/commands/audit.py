"""``manage.py audit``: lists, exports and removes events."""

from __future__ import annotations

import argparse
import json
from argparse import ArgumentParser
from datetime import datetime, time
from difflib import get_close_matches
from itertools import chain
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime

from hub.management.options import whole_number
from hub.management.progress import Help
from hub.plurals import counted
from hub.setting_checks import TAG
from registry.audit import export, selectors, services
from registry.audit.selectors import Entry, Filters
from registry.errors import LoraryError
from registry.events import VERBS

EPILOG = """\
list      the newest events, newest first, one a line: time, account ("-" if nobody was signed
          in), verb, object, subject, facts, and in brackets the address, command or worker
export    all events, oldest first, to standard output
erase     removes the network addresses of the events that the filters match, and needs at
          least one filter. The events stay
prune     removes events older than LORARY_AUDIT_DAYS, and addresses older than
          LORARY_AUDIT_ADDRESS_DAYS. The checks worker does the same once a day

OBJECT is OWNER/NAME, packs/OWNER/NAME, user:NAME, or the subject of an event. A deleted
account is found by its former name, as deleted-ID (the name it has since then) and as
#ID, which is user:#ID in OBJECT. docs/audit.md lists the verbs. TIME is a day or a time
in ISO 8601, by default in LORARY_TIME_ZONE; --until excludes it.

Exit code 1: a filter is not valid: there is no such account, verb or time.

Example: manage.py audit export --format csv --verb file_downloaded --since 2026-01-01
"""


class Command(BaseCommand):
    help = "List, export and remove events of the audit log."
    requires_system_checks = [TAG]

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.epilog, parser.formatter_class = EPILOG, Help
        verbs = ("list", "export", "erase", "prune")
        parser.add_argument("action", choices=verbs, help="see below")
        parser.add_argument("--actor", default="", metavar="NAME", help="who did it")
        parser.add_argument("--verb", default="", metavar="VERB", help="such as signed_in")
        parser.add_argument("--object", default="", metavar="OBJECT", help="see below")
        parser.add_argument("--address", default="", metavar="ADDRESS", help="network address")
        parser.add_argument(
            "--since", type=_moment, metavar="TIME", help="only events from this time on"
        )
        parser.add_argument("--until", type=_moment, metavar="TIME", help="see below")
        parser.add_argument(
            "--limit",
            type=whole_number(1, 10_000),
            default=50,
            metavar="N",
            help="list: number of events",
        )
        parser.add_argument(
            "--format",
            choices=sorted(export.FORMATS),
            default="jsonl",
            help="export: the file format",
        )
        parser.add_argument("--dry-run", action="store_true", help="prune: only count")
        parser.add_argument("--json", action="store_true", help="list: one object a line")

    def handle(self, *_args: str, **options: Any) -> None:
        """Run the action."""
        names = ("actor", "verb", "object", "address", "since", "until")
        filters = Filters(**{name: options[name] for name in names})
        _require_verb(filters.verb)
        try:
            getattr(self, f"_{options['action']}")(filters, options)
        except LoraryError as error:
            raise CommandError(str(error.detail)) from error

    def _list(self, filters: Filters, options: dict[str, Any]) -> None:
        entries = selectors.page(filters, limit=options["limit"])
        lines = export.as_json_lines(entries) if options["json"] else map(_line, entries)
        for line in lines:
            self.stdout.write(line.rstrip("\n"))

    def _export(self, filters: Filters, options: dict[str, Any]) -> None:
        kind = options["format"]
        entries = selectors.every(filters)
        services.record_export(actor=None, kind=kind, filters=filters)
        for text in export.FORMATS[kind][1](entries):
            self.stdout.write(text, ending="")

    def _erase(self, filters: Filters, _options: dict[str, Any]) -> None:
        if filters == Filters():
            message = "erase needs a filter, such as --actor or --until."
            raise CommandError(message)
        count = services.erase_addresses(actor=None, filters=filters)
        self.stdout.write(f"{count:,} {_addresses(count)} erased.")

    def _prune(self, filters: Filters, options: dict[str, Any]) -> None:
        if filters != Filters():
            message = "prune takes no filters: LORARY_AUDIT_DAYS decides what it removes."
            raise CommandError(message)
        pruned = services.prune(is_dry=options["dry_run"])
        verb = "would be removed" if options["dry_run"] else "removed"
        self.stdout.write(
            f"{counted(pruned.events, 'event')} and {pruned.addresses:,} more "
            f"{_addresses(pruned.addresses)} {verb}."
        )


def _addresses(count: int) -> str:
    return "address" if count == 1 else "addresses"


def _require_verb(text: str) -> None:
    known = sorted(chain.from_iterable(VERBS.values()))
    if text and text not in known:
        near = ", ".join(get_close_matches(text, known, n=5, cutoff=0.5))
        message = f"There is no verb {text!r}. "
        message += f"Similar verbs: {near}." if near else "docs/audit.md lists them."
        raise CommandError(message)


def _line(entry: Entry) -> str:
    """Return an event as a line: when, who, what, and in brackets from where."""
    facts = json.dumps(entry.facts, ensure_ascii=False) if entry.facts else ""
    origin = entry.address
    if entry.source != "request":
        origin = f"{entry.source or 'unknown'} {entry.source_name}".rstrip()
    moment = f"{entry.time:%Y-%m-%d %H:%M:%S}Z"
    parts = (entry.actor or "-", entry.verb, entry.object, entry.subject, facts)
    text = " ".join(part for part in (moment, *parts, f"({origin})" if origin else "") if part)
    return "".join(char if char.isprintable() else " " for char in text)


def _moment(text: str) -> datetime:
    """Return a time; a day begins at midnight."""
    try:
        day = parse_date(text)
        found = datetime.combine(day, time.min) if day else parse_datetime(text)
    except ValueError:
        found = None
    if found is None:
        message = f"{text!r} is not a day or a time such as 2026-01-31 or 2026-01-31T12:00"
        raise argparse.ArgumentTypeError(message)
    return found if timezone.is_aware(found) else timezone.make_aware(found)
