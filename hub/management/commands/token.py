"""``manage.py token``: the first token of a headless install."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError

from hub.checks import TAG
from registry.errors import LoraryError
from registry.models import User
from registry.names import key_of
from registry.services import accounts, tokens

if TYPE_CHECKING:
    from argparse import ArgumentParser

__all__ = ["Command"]


class Command(BaseCommand):
    """Issue an access token and print it, nothing else."""

    help = "Print a new access token of a user, and nothing else."
    requires_system_checks = [TAG]

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare whose token it is and what it may do."""
        parser.add_argument("--user", required=True, metavar="NAME", help="whose token")
        parser.add_argument("--create", action="store_true", help="make the user when missing")
        parser.add_argument("--scopes", default="read,write", help="of read, write, admin")
        parser.add_argument("--name", default="command line", help="how the token is listed")

    def handle(self, *_args: str, **options: Any) -> None:
        """Find or make the user, issue, print."""
        name = options["user"]
        user = User.objects.filter(namespace__key=key_of(name)).first()
        try:
            if user is None and options["create"]:
                user = accounts.create_user(name=name)
            if user is None:
                message = f"There is no user {name!r}; add --create to make one."
                raise CommandError(message)
            scopes = [scope.strip() for scope in options["scopes"].split(",") if scope.strip()]
            _token, secret = tokens.issue(actor=user, name=options["name"], scopes=scopes)
        except LoraryError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(secret)
