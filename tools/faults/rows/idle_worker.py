"""A worker that also knows jobs that only wait: like ``manage.py worker``, with its arguments."""

from __future__ import annotations

import os
import sys
import time

import django
from django.core.management import execute_from_command_line

#: The task of these jobs.
TASK = "nothing"


def main() -> None:
    """Be a worker."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "hub.settings.base")
    django.setup()
    from registry.jobs import queue  # noqa: PLC0415 - after the set-up

    @queue.handler(TASK)
    def nothing(run: queue.JobRun) -> None:
        time.sleep(run.args["seconds"])
        run.check_cancelled()

    execute_from_command_line(["manage.py", "worker", *sys.argv[1:]])


if __name__ == "__main__":
    main()
