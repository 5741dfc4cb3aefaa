"""``manage.py up``: the whole hub in one foreground process group."""

from __future__ import annotations

import socket
import sys
from typing import TYPE_CHECKING, Any

from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connections
from django.db.migrations.executor import MigrationExecutor

from hub.operations import process_lock, processes
from hub.operations.supervisor import Announcer, Supervisor
from hub.plurals import counted
from hub.setting_checks import TAG

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Callable


class Command(BaseCommand):
    """Serve the site and the API, and run the workers, until stopped."""

    help = "Run the hub: web and workers together. Ctrl-C stops everything."
    requires_system_checks = [TAG]

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare where to listen and how many processes to run."""
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
        parser.add_argument("--port", type=int, default=8000, help="port to listen on")
        parser.add_argument("--workers", type=int, default=2, help="number of web processes")
        parser.add_argument("--no-worker", action="store_true", help="web only")
        parser.add_argument(
            "--queues", default=processes.DEFAULT_QUEUES, help="queues to work on, comma-separated"
        )
        parser.add_argument("--migrate", action="store_true", help="update the database first")

    def handle(self, *_args: str, **options: Any) -> None:
        """Start, announce the address, watch, and end with the supervisor's code."""
        host, port = options["host"], options["port"]
        _require_admitted()
        _ensure_migrated(may_migrate=options["migrate"], say=self._say)
        _require_free(host, port)
        queues = "" if options["no_worker"] else options["queues"]
        children = [processes.web(host, port, options["workers"]), *processes.workers(queues)]
        supervisor = Supervisor(children, say=self._say)
        announcer = Announcer(supervisor, host, port, tell=self._tell, say=self._say)
        connections.close_all()
        sys.exit(supervisor.run(on_started=announcer.wait, on_look=announcer.look))

    def _tell(self, message: str) -> None:
        self.stdout.write(message)
        self.stdout.flush()

    def _say(self, message: str) -> None:
        self.stderr.write(message)


def _require_admitted() -> None:
    """Say now what the web server would refuse to start for."""
    try:
        process_lock.require_admitted()
    except process_lock.Busy as error:
        raise CommandError(str(error)) from error


def _ensure_migrated(*, may_migrate: bool, say: Callable[[str], object]) -> None:
    executor = MigrationExecutor(connections["default"])
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if not plan:
        return
    if not may_migrate:
        message = "The database is not up to date. Run `manage.py migrate` first, or add --migrate."
        raise CommandError(message)
    say(f"Updating the database: {counted(len(plan), 'migration')}.")
    call_command("migrate", verbosity=0)


def _require_free(host: str, port: int) -> None:
    """Say clearly that a port is taken, which gunicorn would retry for seconds."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            message = f"Cannot listen on {host}:{port}: {error.strerror}. Try --port."
            raise CommandError(message) from error
