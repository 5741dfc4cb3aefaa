"""``manage.py workers``: lists, pauses, resumes and drains workers."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.core.serializers.json import DjangoJSONEncoder
from django.utils import timezone

from hub.management.progress import Help
from hub.operations.worker_status import WorkerStatus, worker_statuses
from hub.setting_checks import TAG
from registry.jobs import workers
from registry.models import Worker, WorkerWish

EPILOG = """\
list    show workers: device, families, job, progress, last seen (default)
pause   take no further jobs; the current one continues
resume  take jobs again
drain   stop after the current job, until the worker is started again

Exit code 1: there is no worker with that name.

Example: manage.py workers drain gpu-box:4711
"""

WISHES = {"pause": WorkerWish.PAUSE, "resume": WorkerWish.WORK, "drain": WorkerWish.DRAIN}


class Command(BaseCommand):
    help = "List the workers and their jobs; pause, resume or drain them."
    requires_system_checks = [TAG]

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.epilog, parser.formatter_class = EPILOG, Help
        verbs = ("list", *WISHES)
        parser.add_argument("verb", nargs="?", default="list", choices=verbs, help="see below")
        parser.add_argument("names", nargs="*", metavar="NAME", help="workers, as listed")
        parser.add_argument("--all", action="store_true", help="all current workers")
        parser.add_argument("--json", action="store_true", help="one line of JSON")

    def handle(self, *_args: str, **options: Any) -> None:
        """Run the verb, then list the workers."""
        names = options["names"]
        known = {worker.name: worker for worker in Worker.objects.all()}
        if unknown := [name for name in names if name not in known]:
            there = ", ".join(known) or "none"
            message = f"There is no worker “{unknown[0]}”. Current workers: {there}."
            raise CommandError(message)
        if options["verb"] != "list":
            if bool(names) == options["all"]:
                message = "Name the workers, or pass --all."
                raise CommandError(message)
            chosen = list(known.values()) if options["all"] else [known[name] for name in names]
            workers.set_wish(chosen, WISHES[options["verb"]])
        statuses = [one for one in worker_statuses() if not names or one.name in names]
        if options["json"]:
            document = {"workers": [asdict(one) for one in statuses]}
            self.stdout.write(json.dumps(document, cls=DjangoJSONEncoder))
        else:
            self._say(statuses)
        sys.exit(0)

    def _say(self, statuses: Sequence[WorkerStatus]) -> None:
        if not statuses:
            self.stdout.write(
                "No worker is active. `manage.py worker` starts one; this takes a few seconds."
            )
        for one in statuses:
            self.stdout.write(f"{one.name}  {_state(one)}, seen {_ago(one.seen_at)}")
            memory = f", {one.memory_gb:g} GB" if one.memory_gb else ""
            serves = ", ".join(one.families or one.queues) or "nothing"
            self.stdout.write(f"    {one.device or 'checks'}{memory} · serves {serves}")
            for base in one.bases:
                if base.seconds:
                    self.stdout.write(f"    {base.id}: {base.seconds:g} s per picture")
            if one.job:
                what = f"{one.job.adapter} {one.job.version}".strip() or one.job.task
                done = f", {one.job.done} of {one.job.total}" if one.job.total else ""
                self.stdout.write(f"    at {what} (job {one.job.id}{done})")


def _state(one: WorkerStatus) -> str:
    if not one.is_alive:
        return "gone"
    at_work = "at work" if one.job else "idle"
    return {
        WorkerWish.PAUSE: f"{at_work}, then paused" if one.job else "paused",
        WorkerWish.DRAIN: f"{at_work}, then ends" if one.job else "ends",
    }.get(WorkerWish(one.wish), at_work)


def _ago(moment: datetime) -> str:
    seconds = max(0, round((timezone.now() - moment).total_seconds()))
    return f"{seconds} s ago" if seconds < 120 else f"{seconds // 60} min ago"
