"""Values of options of management commands."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import suppress
from itertools import chain

from django.conf import settings
from django.core.management.base import CommandError
from django.db.models import Q

from hub.operations import supervisor
from lorary.anatomy import FAMILIES
from previews.render import BasesInvalid, load_bases
from previews.worker_bases import queue_of
from registry.models import Adapter, AdapterName, Pack, PackName
from registry.names import key_of


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


def adapter_named(full_name: str) -> Adapter:
    """Return an adapter by its current or a former name, even a private one.

    Raises:
        CommandError: it does not exist.
    """
    found = AdapterName.objects.filter(_of(full_name)).select_related("adapter").first()
    if found is None:
        message = f"There is no adapter “{full_name}”. Write it as OWNER/NAME."
        raise CommandError(message)
    return found.adapter


def pack_named(full_name: str) -> Pack:
    """Return a pack by its current or a former name, even a private one.

    Raises:
        CommandError: it does not exist.
    """
    found = PackName.objects.filter(_of(full_name)).select_related("pack").first()
    if found is None:
        message = f"There is no pack “{full_name}”. Write it as OWNER/NAME."
        raise CommandError(message)
    return found.pack


def _of(full_name: str) -> Q:
    owner, _slash, name = full_name.partition("/")
    return Q(key=key_of(name), namespace__names__key=key_of(owner))


def _families() -> set[str]:
    """Return the families that Lorary knows, and those that only the bases file here has."""
    with suppress(BasesInvalid):  # the renderer reports it
        return {*FAMILIES, *load_bases(settings.LORARY.bases).families}
    return set(FAMILIES)
