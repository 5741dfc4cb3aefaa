"""``manage.py up``: runs web server and workers in one foreground process group."""

from __future__ import annotations

import errno
import socket
import sys
from argparse import ArgumentParser
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connections
from django.db.migrations.executor import MigrationExecutor

from hub.management.options import queues, whole_number
from hub.operations import process_lock, supervisor
from hub.operations.supervisor import Announcer, Supervisor
from hub.plurals import counted
from hub.setting_checks import LOOPBACK, TAG

LOCAL_ONLY = (
    "Only requests to localhost are allowed; all others get a 400. Set LORARY_ALLOWED_HOSTS to the "
    "names and addresses that people use."
)
#: Failures to listen that another port avoids.
PORT_FAULTS = {errno.EADDRINUSE, errno.EACCES}


class Command(BaseCommand):
    help = "Run the hub: web and workers together. Ctrl-C stops everything."
    requires_system_checks = [TAG]

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
        parser.add_argument(
            "--port", type=whole_number(0, 65_535), default=8000, help="port to listen on"
        )
        parser.add_argument(
            "--workers", type=whole_number(1), default=2, help="number of web processes"
        )
        parser.add_argument("--no-worker", action="store_true", help="web only")
        parser.add_argument(
            "--queues",
            type=queues,
            default=supervisor.DEFAULT_QUEUES,
            help="queues to work on, comma-separated",
        )
        parser.add_argument("--migrate", action="store_true", help="update the database first")

    def handle(self, *_args: str, **options: Any) -> None:
        """Start the processes, announce the address, and exit with the supervisor's code."""
        host, port, allowed = options["host"], options["port"], settings.LORARY.allowed_hosts
        _require_admitted()
        _ensure_migrated(may_migrate=options["migrate"], say=self._say)
        _require_free(host, port)
        if host not in LOOPBACK and {name.strip("[]") for name in allowed} <= LOOPBACK:
            self._say(LOCAL_ONLY)
        served = "" if options["no_worker"] else options["queues"]
        children = [supervisor.web(host, port, options["workers"]), *supervisor.workers(served)]
        parent = Supervisor(children, say=self._say)
        announcer = Announcer(parent, host, port, tell=self._tell, say=self._say)
        connections.close_all()
        sys.exit(parent.run(on_started=announcer.wait, on_poll=announcer.announce_if_ready))

    def _tell(self, message: str) -> None:
        self.stdout.write(message)
        self.stdout.flush()

    def _say(self, message: str) -> None:
        self.stderr.write(message)


def _require_admitted() -> None:
    """Fail early if the web server would refuse to start."""
    try:
        process_lock.require_free()
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
    """Fail if the address cannot be used, which gunicorn would retry for seconds."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            option = "--port" if error.errno in PORT_FAULTS else "--host"
            message = f"Cannot listen on {host}:{port}: {error.strerror}. Try another {option}."
            raise CommandError(message) from error
