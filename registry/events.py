"""The append-only log of changes."""

from __future__ import annotations

from typing import Any

from registry.models import Adapter, Event, Pack, User


def record(
    *,
    actor: User | None,
    verb: str,
    adapter: Adapter | None = None,
    subject: str = "",
    **facts: Any,  # noqa: ANN401 - JSON
) -> Event:
    """Write one event; call it inside the transaction of the change that it describes."""
    return Event.objects.create(
        actor=actor, verb=verb, adapter=adapter, subject=subject[:120], facts=facts
    )


def record_of_pack(
    *,
    actor: User | None,
    verb: str,
    pack: Pack,
    subject: str = "",
    **facts: Any,  # noqa: ANN401 - JSON
) -> Event:
    """Write one event about a pack; call it inside the transaction of the change it tells of."""
    return Event.objects.create(
        actor=actor, verb=verb, pack=pack, subject=subject[:120], facts=facts
    )
