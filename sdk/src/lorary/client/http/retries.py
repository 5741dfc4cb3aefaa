"""When to try again, how long to wait before, and what to say when nothing helped."""

from __future__ import annotations

import logging
import random
import socket
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from urllib3.exceptions import ConnectTimeoutError, HTTPError, InvalidHeader, ProxyError
from urllib3.util import Retry

from lorary.client.errors import LoraryError, TimedOut, Unreachable
from lorary.connections import Origin, Proxy, root_of

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

T = TypeVar("T")

_log = logging.getLogger(__name__)
_NOTICED_S = 1.0


class Again(Exception):
    """An attempt that failed and may be repeated.

    Attributes:
        error: What to raise when it is not.
        at_least_s: How long the hub asks to wait.
    """

    def __init__(self, error: LoraryError, at_least_s: float = 0.0) -> None:
        self.error, self.at_least_s = error, at_least_s
        super().__init__(error.detail)


@dataclass(slots=True)
class Backoff:
    """How often and how long to wait before trying again.

    Attributes:
        announced: The thread whose wait was logged last, and when that wait ends.
    """

    attempts: int = 5  # attempts in a row without progress, the first included
    first_s: float = 0.25  # wait after the first; doubles, with some chance in it
    longest_s: float = 8.0  # longest wait of its own accord
    sleep: Callable[[float], None] = time.sleep  # replaced in tests
    announced: tuple[int, float] = (0, 0.0)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def persist(self, attempt: Callable[[], T], progress: Callable[[], int] = lambda: 0) -> T:
        """Return what ``attempt`` returns, trying again while it raises ``Again``.

        Args:
            attempt: Tried at least once.
            progress: How far it has come; only failures in a row without progress count.

        Raises:
            LoraryError: that of the last attempt.
        """
        failures = 0
        while True:
            before = progress()
            try:
                return attempt()
            except Again as again:
                failures = 1 if progress() > before else failures + 1
                if failures >= self.attempts:
                    raise again.error from again
                last = again
            self._wait(failures, last)

    def _wait(self, failures: int, last: Again) -> None:
        """Wait after the ``failures``-th failure in a row, and log a wait that people notice."""
        pause = min(self.longest_s, self.first_s * 2 ** (failures - 1))
        pause = max(last.at_least_s, pause * random.uniform(0.5, 1.0))  # noqa: S311 - no secret
        if pause >= _NOTICED_S and self._may_announce(pause):
            again = f"{failures} of {self.attempts - 1}"
            _log.info("%s Trying again (%s) in %.0f s.", last.error.detail, again, pause)
        self.sleep(pause)

    def _may_announce(self, pause_s: float) -> bool:
        """Return whether to log a wait; False while another thread waits and has said so."""
        me, now = threading.get_ident(), time.monotonic()
        with self._lock:
            thread, until = self.announced
            if thread != me and now < until:
                return False
            self.announced = me, now + pause_s
        return True


def failure_from(error: HTTPError, origin: Origin, *, may_repeat: bool) -> Exception:
    """Return what to raise where an attempt got no answer, or not all of it.

    Args:
        error: What urllib3 raised.
        may_repeat: Whether the request may be sent again although the other side may have acted.

    Returns:
        ``Again``, or a ``LoraryError`` where trying again is not safe or of no use.
    """
    root = root_of(error)
    if isinstance(root, LoraryError):  # of the body's maker; some are OSErrors
        return root
    failure = _unreachable(root, origin)
    is_unknown = isinstance(root, socket.gaierror) and root.errno != socket.EAI_AGAIN
    is_hopeless = (
        is_unknown or isinstance(root, ssl.SSLCertVerificationError) or _is_plain_http(root)
    )
    is_unsent = isinstance(error, (ConnectTimeoutError, ProxyError))
    return Again(failure) if (may_repeat or is_unsent) and not is_hopeless else failure


def _is_plain_http(error: BaseException) -> bool:
    """Whether the answer to a TLS handshake was not TLS."""
    return isinstance(error, ssl.SSLError) and error.reason == "WRONG_VERSION_NUMBER"


def _unreachable(error: BaseException, origin: Origin) -> LoraryError:
    """Return what went wrong between here and a hub, or a proxy on the way to it."""
    place = f"{origin.host}:{origin.port}"
    if isinstance(error, ssl.SSLCertVerificationError):
        return Unreachable(f"The certificate of {place} is not valid: {error.verify_message}.")
    proxy = Proxy.of(origin)
    peer, setting, name = place, "", origin.host
    if proxy is not None:
        peer, setting = f"the proxy {proxy.name}", f" The proxy is set by {proxy.setting}."
        place, name = f"{place} through {peer}", proxy.name
    if isinstance(error, TimeoutError):
        return TimedOut(f"{peer[0].upper()}{peer[1:]} took too long to answer.{setting}")
    if isinstance(error, socket.gaierror):
        return Unreachable(f"The name {name} cannot be resolved.{setting}")
    if isinstance(error, ConnectionRefusedError):
        return Unreachable(f"Nothing answers at {peer}.{setting or ' Is the hub running?'}")
    if _is_plain_http(error) and proxy is None:
        return Unreachable(f"{place} does not speak https. Try http://{place}")
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return Unreachable(f"The connection to {place} broke: {reason}.{setting}")


def pause_of(response: BaseHTTPResponse) -> float:
    """Return how many seconds an answer asks to wait; 0 where it says nothing of use."""
    try:
        return Retry().get_retry_after(response) or 0.0
    except (InvalidHeader, ValueError, OverflowError):
        return 0.0
