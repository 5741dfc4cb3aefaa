"""The append-only log of changes and accesses.

An event has the origin of its process or request: the middleware of requests and the loop of
workers set it with ``coming_from``. Everything else is a command.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from typing import Any

from django.contrib.auth.models import AnonymousUser
from django.db import transaction

from registry.models import Adapter, Event, EventAddress, Pack, Source, User


@dataclass(frozen=True, slots=True)
class Origin:
    """Where changes come from.

    Attributes:
        name: User of the operating system, or name of the worker.
        address: Network address of the client.
        request_id: Id of the request in logs and responses.
    """

    source: Source
    name: str = ""
    address: str = ""
    request_id: str = ""


_origin: ContextVar[Origin | None] = ContextVar("origin", default=None)


@contextmanager
def coming_from(origin: Origin) -> Iterator[None]:
    """Record events of the block, in this thread, with an origin."""
    token = _origin.set(origin)
    try:
        yield
    finally:
        _origin.reset(token)


@cache
def _command() -> Origin:
    """Return the origin of a process that is neither a web server nor a worker."""
    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # containers run as users without an entry
        name = f"uid {os.getuid()}"
    return Origin(Source.COMMAND, name)


def record(
    *,
    actor: User | AnonymousUser | None,
    verb: str,
    adapter: Adapter | None = None,
    pack: Pack | None = None,
    user: User | None = None,
    subject: str = "",
    **facts: Any,  # noqa: ANN401 - JSON
) -> Event:
    """Write one event; call it inside the transaction of the change that it describes.

    Args:
        actor: The account that acts; anonymous or None for nobody.
        verb: What happened, by the list in ``docs/audit.md``.
        adapter: The adapter that it is about.
        pack: The pack that it is about.
        user: The account that it is about.
        subject: Part of the object, or an object of another kind. Not the name of an account: its
            id stays when the account is deleted, its name must not.
        **facts: What else is worth knowing, without secrets.
    """
    account = actor if isinstance(actor, User) else None
    used = account.access_token if account is not None else None
    origin = _origin.get() or _command()
    with transaction.atomic(savepoint=False):
        event = Event.objects.create(
            verb=verb,
            actor=account,
            token=used.pk if used is not None else None,
            adapter=adapter,
            pack=pack,
            user=user,
            subject=subject[:120],
            facts=facts,
            source=origin.source,
            source_name=origin.name[:120],
            request_id=origin.request_id[:64],
        )
        if origin.address:
            EventAddress.objects.create(event=event, address=origin.address[:64])
    return event
