"""The append-only log of changes."""

from __future__ import annotations

from typing import Any

from registry.models import Adapter, Event, User


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
