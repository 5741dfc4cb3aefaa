"""``manage.py demo``: publishes demo adapters."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from previews import demo


class Command(BaseCommand):
    help = "Publish the demo styles that were trained with the miniature. Safe to run again."

    def handle(self, *_args: str, **_options: Any) -> None:
        """Publish, and print how many are new."""
        new = demo.publish(say=self.stdout.write)
        self.stdout.write(
            f"{new} demo adapters published; their previews render in the background."
        )
