"""``manage.py staff``: lists, adds and removes administrators."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.core.serializers.json import DjangoJSONEncoder

from hub.management.progress import Help
from hub.setting_checks import TAG
from registry.accounts import users
from registry.models import User
from registry.names import key_of

EPILOG = """\
Staff can open /operator, control workers and withdraw any adapter; their programs
need a token with the scope admin. Without NAME it lists all staff.

Exit code 1: there is no user with that name.

Example: manage.py staff ada
"""

NOBODY = "There are no administrators. `manage.py staff NAME` adds a user."


class Command(BaseCommand):
    help = "List the administrators; make a user an administrator, or an ordinary user again."
    requires_system_checks = [TAG]

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.epilog, parser.formatter_class = EPILOG, Help
        parser.add_argument("name", nargs="?", default="", metavar="NAME", help="a user")
        parser.add_argument(
            "--remove", action="store_true", help="make NAME an ordinary user again"
        )
        parser.add_argument("--json", action="store_true", help="one line of JSON")

    def handle(self, *_args: str, **options: Any) -> None:
        """Change or list administrators."""
        name, is_staff, changed = options["name"], not options["remove"], False
        if name:
            user = _user(name)
            changed = users.set_staff(actor=None, user=user, is_staff=is_staff)
            lines = [_sentence(user.username, is_staff=is_staff, changed=changed)]
        elif is_staff:
            lines = [_line(one) for one in _staff()] or [NOBODY]
        else:
            message = "Name a user: manage.py staff NAME --remove."
            raise CommandError(message)
        if options["json"]:
            document = {"changed": changed, "staff": _staff()}
            lines = [json.dumps(document, cls=DjangoJSONEncoder)]
        self.stdout.write("\n".join(lines))


def _user(name: str) -> User:
    user = User.objects.filter(namespace__key=key_of(name)).first()
    if user is None:
        message = f"There is no user {name!r}. `manage.py token --user NAME --create` creates one."
        raise CommandError(message)
    return user


def _sentence(name: str, *, is_staff: bool, changed: bool) -> str:
    if is_staff:
        return f"{name} is staff now." if changed else f"{name} is staff already."
    return f"{name} is not staff any more." if changed else f"{name} is not staff."


def _staff() -> list[dict[str, Any]]:
    rows = User.objects.filter(is_staff=True).order_by("username")
    return [
        {"name": row.username, "is_active": row.is_active, "last_signed_in": row.last_login}
        for row in rows
    ]


def _line(one: dict[str, Any]) -> str:
    at = one["last_signed_in"]
    line = f"{one['name']}  {f'signed in {at:%Y-%m-%d}' if at else 'never signed in'}"
    return line if one["is_active"] else f"{line}, account closed"
