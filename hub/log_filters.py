"""What of a hub's log is worth a line."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from logging import LogRecord

__all__ = ["is_news", "say_in_a_line"]

#: Clients ask here for what not every server has, and go on by themselves when it is not there.
ASKED_IN_VAIN = ("/xet/",)


def is_news(record: LogRecord) -> bool:
    """Whether a warning of Django's tells anything: not that a client learned what is not here."""
    request = getattr(record, "request", None)
    is_absent = getattr(record, "status_code", None) == 404
    return not (is_absent and str(getattr(request, "path", "")).startswith(ASKED_IN_VAIN))


def say_in_a_line(record: LogRecord) -> bool:
    """Leave out the traceback where a request breaks a rule of Django's; every record passes.

    Scanners send hosts that are not this one and the like all day. The sentence says all there is.
    """
    if record.name.startswith("django.security."):
        record.exc_info = record.exc_text = None
    return True
