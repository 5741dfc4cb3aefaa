"""Values of options of management commands."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import suppress
from itertools import chain

from django.conf import settings
from django.core.management.base import CommandError
from django.db.models import QuerySet

from hub.operations import supervisor
from lorary.anatomy import FAMILIES
from previews.render import BasesInvalid, load_bases
from previews.worker_bases import queue_of
from registry.adapters.selectors import T, unrestricted
from registry.errors import NotFound


def whole_number(least: int, most: int = 10**9) -> Callable[[str], int]:
    """Return a type for whole numbers in a range."""

    def parse(text: str) -> int:
        if text.isascii() and text.isdigit() and least <= int(text[:10]) <= most:
            return int(text)
        at_most = f" and at most {most}" if most < 10**9 else ""
        message = f"{text!r} is not a whole number of at least {least}{at_most}"
        raise argparse.ArgumentTypeError(message)

    return parse


def queues(text: str) -> str:
    """Return a comma-separated list of queues, if a worker could serve each."""
    known = {"checks", "render", *map(queue_of, _families())}
    for name in chain.from_iterable(supervisor.groups_of(text)):
        if name not in known:
            message = f"{name!r} is not a queue; use checks, render or render.FAMILY"
            raise argparse.ArgumentTypeError(message)
    return text


def named(rows: QuerySet[T], full_name: str) -> T:
    """Return an adapter or a pack by its current or a former name, even a private one.

    Raises:
        CommandError: it does not exist.
    """
    owner, _slash, name = full_name.partition("/")
    try:
        return unrestricted(rows, owner, name)
    except NotFound as error:
        message = f"There is no {rows.model.noun} “{full_name}”. Write it as OWNER/NAME."
        raise CommandError(message) from error


def _families() -> set[str]:
    """Return the families that Lorary knows, and those that only the bases file here has."""
    with suppress(BasesInvalid):  # the renderer reports it
        return {*FAMILIES, *load_bases(settings.LORARY.bases).families}
    return set(FAMILIES)
