#!/usr/bin/env python
"""Command line of the hub: ``manage.py help`` lists the commands."""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line
from django.db import DatabaseError

import lorary


def main() -> None:
    """Run the command named on the command line."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "hub.settings.base")
    # Loaded code is no garbage: looking for some in it would take a tenth of the start.
    gc.set_threshold(50_000)
    if sys.argv[1:] in (["version"], ["--version"]):  # Django's prints that of Django
        sys.stdout.write(f"Lorary {lorary.__version__} in {Path(__file__).resolve().parent}\n")
        return
    try:
        _execute()
    except BrokenPipeError:  # such as of `manage.py doctor | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # flushed again at exit
        sys.exit(1)
    except ImproperlyConfigured as error:
        sys.exit(f"error: {error}")
    except DatabaseError as error:
        from hub.operations import failures, missing_database  # noqa: PLC0415 - asks for settings

        if away := failures.unreachable(error):
            sys.exit(f"error: {away}")
        is_first = sys.argv[1:2] == ["migrate"]  # it makes the tables that others need
        explain = missing_database.missing_rights if is_first else missing_database.missing_hub
        if missing := explain():
            sys.exit(f"error: {missing}")
        raise


def _execute() -> None:
    try:
        execute_from_command_line(sys.argv)
    finally:
        sys.stdout.flush()


if __name__ == "__main__":
    main()
