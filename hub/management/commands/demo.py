"""``manage.py demo``: publishes demo adapters and packs."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from previews import demo


class Command(BaseCommand):
    help = "Publish the demo adapters of the miniature and packs of them. Safe to run again."

    def handle(self, *_args: str, **_options: Any) -> None:
        """Publish, and print how many adapters and packs are new."""
        adapters, packs = demo.publish(say=self.stdout.write)
        self.stdout.write(
            f"{adapters} demo adapters and {packs} packs published; their pictures render in the "
            "background."
        )
