"""``manage.py quota``: shows and changes quotas of namespaces."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from hub.config import parse_size
from hub.management.progress import Help
from hub.setting_checks import TAG
from registry.accounts import quotas
from registry.models import Namespace
from registry.names import key_of

EPILOG = """\
SIZE is a number of bytes such as 200GB, "none" for no limit, or "default" for
LORARY_QUOTA_BYTES. Without NAME it lists the namespaces above their quota. Nothing
is deleted because of a quota: a namespace above it only refuses new uploads.

Exit code 1: there is no namespace with that name, or SIZE is not valid.

Example: manage.py quota ada 200GB
"""


class Command(BaseCommand):
    help = "List namespaces above their quota; show or change the quota of one."
    requires_system_checks = [TAG]

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.epilog, parser.formatter_class = EPILOG, Help
        parser.add_argument("name", nargs="?", default="", metavar="NAME", help="a namespace")
        parser.add_argument("size", nargs="?", default="", metavar="SIZE", help="its new quota")
        parser.add_argument("--json", action="store_true", help="one line of JSON")

    def handle(self, *_args: str, **options: Any) -> None:
        """Change the quota if a size is given, and print it."""
        if options["name"]:
            namespace = _namespace(options["name"])
            if options["size"]:
                quotas.set_limit(namespace=namespace, quota_bytes=_size(options["size"]))
            rows = [_row(namespace)]
        else:
            rows = [row for row in map(_row, Namespace.objects.order_by("key")) if _is_above(row)]
        if options["json"]:
            self.stdout.write(json.dumps({"namespaces": rows}))
        else:
            lines = [_line(row) for row in rows] or ["No namespace is above its quota."]
            self.stdout.write("\n".join(lines))


def _namespace(name: str) -> Namespace:
    namespace = Namespace.objects.filter(key=key_of(name)).first()
    if namespace is None:
        message = f"There is no namespace {name!r}."
        raise CommandError(message)
    return namespace


def _size(text: str) -> int | None:
    if text.lower() in {"none", "default"}:
        return quotas.NO_LIMIT if text.lower() == "none" else None
    try:
        return min(parse_size(text), quotas.NO_LIMIT)
    except ValueError as error:
        message = f"{error}, none or default."
        raise CommandError(message) from error


def _row(namespace: Namespace) -> dict[str, Any]:
    return {
        "name": namespace.name,
        "used_bytes": quotas.used_by(namespace),
        "quota_bytes": quotas.limit_of(namespace),
        "is_default": namespace.quota_bytes is None,
    }


def _is_above(row: dict[str, Any]) -> bool:
    return row["quota_bytes"] is not None and row["used_bytes"] > row["quota_bytes"]


def _line(row: dict[str, Any]) -> str:
    quota = "no limit" if row["quota_bytes"] is None else f"{row['quota_bytes']:,} bytes"
    default = ", the hub's default" if row["is_default"] else ""
    return f"{row['name']}  uses {row['used_bytes']:,} bytes; its quota is {quota}{default}"
