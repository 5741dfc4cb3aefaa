"""``manage.py organisation``: creates organisations, and changes their members."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from hub.management.progress import Help
from hub.plurals import counted
from hub.setting_checks import TAG
from registry.accounts import organisations, selectors
from registry.errors import LoraryError, Moved
from registry.models import Namespace, Role

EPILOG = """\
An organisation is an owner, like a user. Its members publish under its name: `read`
allows them to see its private adapters, `write` also to publish, and `admin` also to
change the members on the site (Settings, Organisations). An organisation has at least
one admin.

Exit code 1: there is no such organisation or user, or the change is refused.

Examples:
  manage.py organisation create studio --admin ada
  manage.py organisation add studio bob --role write
  manage.py organisation remove studio bob
  manage.py organisation show studio --json
  manage.py user quota studio 500GB
"""


class Command(BaseCommand):
    help = "List and create organisations; add, change and remove their members."
    requires_system_checks = [TAG]

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.epilog, parser.formatter_class = EPILOG, Help
        actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
        listing = actions.add_parser("list", help="list organisations")
        create = actions.add_parser("create", help="create an organisation")
        show = actions.add_parser("show", help="show the members of an organisation")
        add = actions.add_parser("add", help="add a member, or change the role of one")
        remove = actions.add_parser("remove", help="remove a member")
        for sub in (create, show, add, remove):
            sub.add_argument("name", metavar="NAME", help="an organisation")
        create.add_argument("--admin", required=True, metavar="USER", help="the first member")
        for sub in (add, remove):
            sub.add_argument("user", metavar="USER", help="a user")
        add.add_argument("--role", default=Role.WRITE, choices=Role.values, help="default: write")
        for sub in (listing, create, show, add, remove):
            sub.add_argument("--json", action="store_true", help="one line of JSON")

    def handle(self, *_args: str, **options: Any) -> None:
        """Run the action and print its result."""
        try:
            sentence, document = _run(options)
        except Moved as error:
            message = f"This organisation is “{error.facts['full_name']}” now."
            raise CommandError(message) from error
        except LoraryError as error:
            raise CommandError(str(error.detail)) from error
        self.stdout.write(json.dumps(document) if options["json"] else sentence)


def _run(options: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Run an action; return its result as text and as JSON."""
    action = options["action"]
    if action == "list":
        listed = organisations.listing()
        lines = [f"{one.name}: {counted(one.members, 'member')}" for one in listed]
        found = [{"name": one.name, "members": one.members} for one in listed]
        return "\n".join(lines) or "There are no organisations.", {"organisations": found}
    if action == "create":
        admin = selectors.named(options["admin"])
        organisation = organisations.create(actor=None, name=options["name"], admin=admin)
        sentence = f"{organisation.name} was created; {admin.username} is its admin."
        return sentence, _document(organisation)
    organisation = organisations.named(options["name"])
    if action == "show":
        rows = organisations.members(organisation)
        lines = [f"{row.user.username}: {row.role}" for row in rows]
        return "\n".join([organisation.name, *lines]), _document(organisation)
    user = selectors.named(options["user"])
    if action == "add":
        is_changed = organisations.set_role(
            actor=None, organisation=organisation, user=user, role=options["role"]
        )
        now = "now" if is_changed else "already"
        role = Role(options["role"]).value
        sentence = f"{user.username} is a member of {organisation.name} {now}, with role {role}."
    else:
        is_changed = organisations.remove(actor=None, organisation=organisation, user=user)
        no = "is not a member any more" if is_changed else "is not a member"
        sentence = f"{user.username} {no} of {organisation.name}."
    return sentence, {"changed": is_changed, **_document(organisation)}


def _document(organisation: Namespace) -> dict[str, Any]:
    rows = organisations.members(organisation)
    members = [{"name": row.user.username, "role": row.role} for row in rows]
    return {"name": organisation.name, "members": members}
