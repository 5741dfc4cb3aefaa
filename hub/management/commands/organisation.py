"""``manage.py organisation``: creates organisations, and changes their members."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from hub.management.progress import Help
from hub.plurals import counted
from hub.setting_checks import TAG
from registry.accounts import organisations, quotas, selectors, transfer
from registry.adapters.selectors import namespace as namespace_named
from registry.errors import LoraryError, Moved
from registry.models import Namespace, Role

EPILOG = """\
An organisation is an owner, like a user. Its members publish under its name: `read`
allows them to see its private adapters, `write` also to publish, and `admin` also to
change the members, with *Organisations* in the menu under their name on the site. The
last active admin cannot be removed. An organisation cannot be deleted; `transfer` moves
its adapters and packs to another owner.

Exit code 1: there is no such organisation or user, or the change is refused.

Examples:
  manage.py organisation create studio --admin ada
  manage.py organisation add studio bob --role write
  manage.py organisation remove studio bob
  manage.py organisation show studio --json
  manage.py user quota studio 500GB
"""

ACTIONS = {
    "list": "list organisations",
    "create": "create an organisation",
    "show": "show the members of an organisation, and its quota",
    "add": "add a member, or change the role of one",
    "remove": "remove a member",
    "transfer": "move adapters and packs to another owner",
}


class Command(BaseCommand):
    help = "List and create organisations; add, change and remove their members."
    requires_system_checks = [TAG]

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.epilog, parser.formatter_class = EPILOG, Help
        actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
        subs: dict[str, ArgumentParser] = {}
        for action, text in ACTIONS.items():
            whole = f"{text[0].upper()}{text[1:]}."
            sub = subs[action] = actions.add_parser(action, help=text, description=whole)
            if action != "list":
                sub.add_argument("name", metavar="NAME", help="an organisation")
            sub.add_argument("--json", action="store_true", help="one line of JSON")
        subs["create"].add_argument("--admin", required=True, metavar="USER", help="first member")
        subs["transfer"].add_argument("--to", required=True, metavar="OWNER", help="new owner")
        for action in ("add", "remove"):
            subs[action].add_argument("user", metavar="USER", help="a user")
        subs["add"].add_argument(
            "--role", default=Role.WRITE, choices=Role.values, help="default: write"
        )

    def handle(self, *_args: str, **options: Any) -> None:
        """Run the action and print its result."""
        try:
            sentence, document = _run(options)
        except Moved as error:
            message = f"This owner is “{error.facts['full_name']}” now."
            raise CommandError(message) from error
        except LoraryError as error:
            raise CommandError(str(error.detail)) from error
        self.stdout.write(json.dumps(document) if options["json"] else sentence)


def _run(options: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Run an action; return its result as text and as JSON."""
    action = options["action"]
    if action == "list":
        listed = organisations.listing()
        lines = [f"{one.name}: {_counts(one)}" for one in listed]
        found = [
            {"name": one.name, "members": one.members, "active_admins": one.admins}
            for one in listed
        ]
        return "\n".join(lines) or "There are no organisations.", {"organisations": found}
    if action == "create":
        admin = selectors.named(options["admin"])
        organisation = organisations.create(actor=None, name=options["name"], admin=admin)
        sentence = f"{organisation.name} was created; {admin.username} is its admin."
        return sentence, _document(organisation)
    organisation = organisations.named(options["name"])
    if action == "show":
        document = _document(organisation)
        lines = [_line(one) for one in document["members"]]
        return "\n".join([organisation.name, *lines]), document
    if action == "transfer":
        target = namespace_named(options["to"])
        transfer.require_other(organisation, target)
        count = transfer.transfer_all(actor=None, source=organisation, target=target)
        sentence = f"Adapters and packs of {organisation.name} moved to {target.name}: {count:,}."
        return sentence, {"transferred": count, "to": target.name}
    user = selectors.named(options["user"])
    if action == "add":
        is_changed = organisations.set_role(
            actor=None, organisation=organisation, user=user, role=options["role"]
        )
        now, role = "now" if is_changed else "already", options["role"]
        sentence = (
            f"{user.username} is {now} a member of {organisation.name}, with the role {role}."
        )
    else:
        is_changed = organisations.remove(actor=None, organisation=organisation, user=user)
        no = "no longer" if is_changed else "not"
        sentence = f"{user.username} is {no} a member of {organisation.name}."
    return sentence, {"changed": is_changed, **_document(organisation)}


def _counts(row: organisations.Row) -> str:
    text = counted(row.members, "member")
    return text if row.admins else f"{text}, no active admin"


def _line(member: dict[str, Any]) -> str:
    text = f"{member['name']}: {member['role']}"
    return text if member["is_active"] else f"{text} (disabled)"


def _document(organisation: Namespace) -> dict[str, Any]:
    rows = organisations.members(organisation)
    members = [
        {"name": row.user.username, "role": row.role, "is_active": row.user.is_active}
        for row in rows
    ]
    return {
        "name": organisation.name,
        "used_bytes": quotas.used_by(organisation),
        "quota_bytes": quotas.limit_of(organisation),
        "members": members,
    }
