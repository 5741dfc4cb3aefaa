"""``manage.py token``: creates and revokes access tokens."""

from __future__ import annotations

import argparse
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from hub.management.progress import Help
from hub.setting_checks import TAG
from registry.accounts import users
from registry.errors import LoraryError
from registry.models import User
from registry.names import key_of
from registry.tokens import services as tokens

EPILOG = """\
A token expires after LORARY_TOKEN_DAYS (90) by default. The scope admin is for
administrators: run `manage.py user staff NAME` first. A disabled account gets no token.

Exit code 1: there is no such user, or the token cannot be created.

Examples:
  manage.py token --user ada --create
  manage.py token --user ada --scopes read --expires never --bound-to ada/noir
  manage.py token --user ada --revoke-all
"""


class Command(BaseCommand):
    help = "Create an access token for a user and print it, or revoke all of them."
    requires_system_checks = [TAG]

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.epilog, parser.formatter_class = EPILOG, Help
        parser.add_argument("--user", required=True, metavar="NAME", help="whose token")
        parser.add_argument(
            "--create", action="store_true", help="create the user if it does not exist"
        )
        parser.add_argument(
            "--scopes",
            default="read,write",
            help="comma-separated read, write, admin (default: read,write)",
        )
        parser.add_argument("--name", default="command line", help="name of the token")
        parser.add_argument(
            "--expires", type=_days, metavar="DAYS", help="days until it expires, or never"
        )
        parser.add_argument(
            "--bound-to",
            default="",
            metavar="OWNER[/NAME]",
            help="limit it to an owner or an adapter",
        )
        parser.add_argument(
            "--revoke-all", action="store_true", help="create none; revoke all tokens of the user"
        )

    def handle(self, *_args: str, **options: Any) -> None:
        """Find or create the user, create the token, print it."""
        name = options["user"]
        user = User.objects.filter(namespace__key=key_of(name)).first()
        try:
            if user is None and options["create"]:
                user = users.create_user(name=name)
            if user is None:
                message = f"There is no user {name!r}; add --create to create it."
                raise CommandError(message)
            if options["revoke_all"]:
                self.stdout.write(f"{tokens.revoke_all(actor=user):,} revoked.")
                return
            scopes = [scope.strip() for scope in options["scopes"].split(",") if scope.strip()]
            _token, secret = tokens.issue(
                actor=user,
                name=options["name"],
                scopes=scopes,
                days=options["expires"],
                bound_to=options["bound_to"],
            )
        except LoraryError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(secret)


def _days(text: str) -> int:
    """Return a number of days, 0 for ``never``."""
    if text == "never":
        return 0
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= tokens.MAX_DAYS):
        message = f"write a number of days up to {tokens.MAX_DAYS}, or never"
        raise argparse.ArgumentTypeError(message)
    return int(text)
