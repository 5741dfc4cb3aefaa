"""``manage.py withdraw``: withdraws a version or an adapter of any visibility."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from hub.management.options import named
from hub.setting_checks import TAG
from registry.errors import LoraryError
from registry.models import Adapter, User
from registry.names import key_of
from registry.versions import selectors as version_selectors
from registry.versions import withdraw


class Command(BaseCommand):
    help = "Withdraw a version, or an adapter with all its versions, permanently."
    requires_system_checks = [TAG]

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("target", metavar="OWNER/NAME[@VERSION]")
        parser.add_argument("--reason", required=True, help="reason, shown to everyone")
        parser.add_argument("--by", required=True, metavar="NAME", help="an administrator")

    def handle(self, *_args: str, **options: Any) -> None:
        """Find and withdraw it, and print the result."""
        actor = User.objects.filter(namespace__key=key_of(options["by"]), is_staff=True).first()
        if actor is None:
            message = (
                f"{options['by']!r} is not an administrator; `manage.py user list --staff` lists "
                "all of them."
            )
            raise CommandError(message)
        full_name, _at, name = options["target"].partition("@")
        adapter = named(Adapter.objects.all(), full_name)
        try:
            if name:
                version = version_selectors.exact(None, adapter, name)
                withdraw.withdraw(actor=actor, version=version, reason=options["reason"])
                name = f"@{version.name}"
            else:
                reason = options["reason"]
                withdraw.withdraw_adapter(actor=actor, adapter=adapter, reason=reason)
        except LoraryError as error:
            raise CommandError(str(error.detail)) from error
        self.stdout.write(
            f"{adapter.full_name}{name} was withdrawn. `manage.py sweep` deletes its files after "
            "the grace period."
        )
