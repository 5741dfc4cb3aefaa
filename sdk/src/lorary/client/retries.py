"""When to try again, how long to wait before, and what to say when nothing helped."""

from __future__ import annotations

import email.utils
import http.client
import logging
import random
import socket
import ssl
import time
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from lorary.client.errors import LoraryError, TimedOut, Unreachable
from lorary.safetensors.proxies import proxy_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from lorary.client.connection import Origin
    from lorary.client.messages import Request

__all__ = ["Backoff", "Broken", "seconds_of"]

_log = logging.getLogger(__name__)
_NOTICED_S = 1.0


@dataclass(slots=True)
class Backoff:
    """How often and how long to wait before trying again.

    Attributes:
        tries: Attempts in a row without progress.
        first_s: Wait after the first; doubles, with some chance in it.
        longest_s: Longest wait of its own accord.
        sleep: Replaced in tests.
    """

    tries: int = 5
    first_s: float = 0.25
    longest_s: float = 8.0
    sleep: Callable[[float], None] = time.sleep

    def wait(self, failures: int, error: LoraryError, at_least_s: float = 0.0) -> None:
        """Wait after the ``failures``-th failure in a row, and log a wait that people notice.

        Args:
            failures: So many in a row.
            error: The last one.
            at_least_s: How long the hub asks to wait.
        """
        pause = min(self.longest_s, self.first_s * 2 ** (failures - 1))
        pause = max(at_least_s, pause * random.uniform(0.5, 1.0))  # noqa: S311 - no secret
        if pause >= _NOTICED_S:
            again = f"{failures} of {self.tries - 1}"
            _log.info("%s Trying again (%s) in %.0f s.", error.detail, again, pause)
        self.sleep(pause)


class Broken(Exception):
    """An attempt without an answer."""

    def __init__(self, error: LoraryError, *, may_retry: bool, is_stale: bool = False) -> None:
        self.error = error
        self.may_retry = may_retry
        self.is_stale = is_stale
        super().__init__(error.detail)

    @classmethod
    def connecting(cls, error: Exception, origin: Origin) -> Broken:
        """Nothing was sent, so trying again is safe, but not always of use."""
        is_unknown = isinstance(error, socket.gaierror) and error.errno != socket.EAI_AGAIN
        is_hopeless = is_unknown or isinstance(error, ssl.SSLCertVerificationError)
        return cls(_unreachable(error, origin), may_retry=not is_hopeless)

    @classmethod
    def exchanging(
        cls, error: Exception, origin: Origin, request: Request, *, is_used: bool
    ) -> Broken:
        """The other side may have acted, unless it had closed an idle connection before."""
        is_stale = is_used and isinstance(
            error, (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError)
        )
        return cls(
            _unreachable(error, origin),
            may_retry=request.may_repeat or is_stale,
            is_stale=is_stale,
        )


def _unreachable(error: Exception, origin: Origin) -> LoraryError:
    place = f"{origin.host}:{origin.port}"
    if isinstance(error, ssl.SSLCertVerificationError):
        return Unreachable(f"The certificate of {place} is not valid: {error.verify_message}.")
    proxy = proxy_name(origin.scheme, origin.host, origin.port)
    if proxy:
        return _unreachable_by(proxy, error, origin)
    if isinstance(error, TimeoutError):
        return TimedOut(f"{place} took too long to answer.")
    if isinstance(error, socket.gaierror):
        return Unreachable(f"There is no computer called {origin.host} in this network.")
    if isinstance(error, ConnectionRefusedError):
        return Unreachable(f"Nothing answers at {place}. Is the hub running?")
    return Unreachable(f"The connection to {place} broke: {_reason(error)}.")


def _unreachable_by(proxy: str, error: Exception, origin: Origin) -> LoraryError:
    """Return what went wrong between here and a proxy, or behind it."""
    setting = f"The proxy is set by {origin.scheme}_proxy."
    if isinstance(error, TimeoutError):
        return TimedOut(f"The proxy {proxy} took too long to answer. {setting}")
    if isinstance(error, socket.gaierror):
        return Unreachable(f"There is no proxy called {proxy} in this network. {setting}")
    if isinstance(error, ConnectionRefusedError):
        return Unreachable(f"Nothing answers at the proxy {proxy}. {setting}")
    place = f"{origin.host}:{origin.port} through the proxy {proxy}"
    return Unreachable(f"The connection to {place} broke: {_reason(error)}. {setting}")


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def seconds_of(retry_after: str) -> float:
    """Return how long a ``Retry-After`` header asks to wait; 0 when it says nothing of use."""
    text = retry_after.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        moment = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return 0.0
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    return max(0.0, (moment - datetime.now(timezone.utc)).total_seconds())
