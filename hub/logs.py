"""What of a hub's log is worth a line."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from logging import LogRecord

__all__ = ["is_news"]

#: Clients ask here for what not every server has, and go on by themselves when it is not there.
ASKED_IN_VAIN = ("/xet/",)


def is_news(record: LogRecord) -> bool:
    """Whether a warning of Django's tells anything: not that a client learned what is not here."""
    request = getattr(record, "request", None)
    is_absent = getattr(record, "status_code", None) == 404
    return not (is_absent and str(getattr(request, "path", "")).startswith(ASKED_IN_VAIN))
