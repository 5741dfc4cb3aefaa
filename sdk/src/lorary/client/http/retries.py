"""Decides whether to retry, how long to wait, and which error to raise in the end."""

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

from lorary.client.config import DEFAULT_ENDPOINT
from lorary.client.errors import LoraryError, TimedOut, Unreachable
from lorary.connections import Origin, Proxy, root_of

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

T = TypeVar("T")

_log = logging.getLogger(__name__)
_NOTICED_S = 1.0


class Again(Exception):
    """An attempt failed and may be repeated.

    Attributes:
        error: The error to raise if there is no further attempt.
        at_least_s: Minimum wait that the hub asked for, in seconds.
    """

    def __init__(self, error: LoraryError, at_least_s: float = 0.0) -> None:
        self.error, self.at_least_s = error, at_least_s
        super().__init__(error.detail)


@dataclass(slots=True)
class Backoff:
    """How often to retry, and how long to wait before each attempt.

    Attributes:
        announced: The thread whose wait was logged last, and the time at which that wait ends.
    """

    attempts: int = 5  # maximum attempts in a row without progress, including the first
    first_s: float = 0.25  # wait after the first failure; doubles each time, with jitter
    longest_s: float = 8.0  # longest wait unless the hub asks for more
    sleep: Callable[[float], None] = time.sleep  # replaced in tests
    announced: tuple[int, float] = (0, 0.0)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def persist(self, attempt: Callable[[], T], progress: Callable[[], int] = lambda: 0) -> T:
        """Return what ``attempt`` returns, trying again while it raises ``Again``.

        Args:
            attempt: Called at least once.
            progress: Returns how far the transfer has come; only failures without progress count.

        Raises:
            LoraryError: the error of the last attempt.
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
        """Wait after the ``failures``-th failure in a row; log long waits."""
        pause = min(self.longest_s, self.first_s * 2 ** (failures - 1))
        pause = max(last.at_least_s, pause * random.uniform(0.5, 1.0))  # noqa: S311 - no secret
        if pause >= _NOTICED_S and self._may_announce(pause):
            again = f"{failures} of {self.attempts - 1}"
            _log.info("%s Trying again (%s) in %.0f s.", last.error.detail, again, pause)
        self.sleep(pause)

    def _may_announce(self, pause_s: float) -> bool:
        """Return whether to log a wait; False while a logged one of another thread runs."""
        me, now = threading.get_ident(), time.monotonic()
        with self._lock:
            thread, until = self.announced
            if thread != me and now < until:
                return False
            self.announced = me, now + pause_s
        return True


def failure_from(error: HTTPError, origin: Origin, *, may_repeat: bool) -> Exception:
    """Return the exception to raise if a response did not arrive or is incomplete.

    Args:
        error: What urllib3 raised.
        may_repeat: Whether the request may be sent again even if the server may have processed it.

    Returns:
        ``Again``, or a ``LoraryError`` if a retry is unsafe or useless.
    """
    root = root_of(error)
    if isinstance(root, LoraryError):  # raised while the body was produced; some are OSErrors
        return root
    failure = _unreachable(root, origin)
    is_unknown = isinstance(root, socket.gaierror) and root.errno != socket.EAI_AGAIN
    is_hopeless = (
        is_unknown or isinstance(root, ssl.SSLCertVerificationError) or _is_plain_http(root)
    )
    is_unsent = isinstance(error, (ConnectTimeoutError, ProxyError))
    return Again(failure) if (may_repeat or is_unsent) and not is_hopeless else failure


#: OpenSSL's codes for an authority that is not trusted: self-signed, self-signed in the chain,
#: unknown issuer, unverified first certificate. Source: X509_V_ERR_… in x509_vfy.h.
_UNKNOWN_ISSUER = frozenset({18, 19, 20, 21})
_TRUST = (
    "If you trust it, set SSL_CERT_FILE to a file with it or its authority (Linux), or add it to "
    "the certificates of the system."
)


def _is_plain_http(error: BaseException) -> bool:
    """Return whether the server answered a TLS handshake without TLS."""
    return isinstance(error, ssl.SSLError) and error.reason == "WRONG_VERSION_NUMBER"


def _unreachable(error: BaseException, origin: Origin) -> LoraryError:
    """Return the error for a failed connection to a hub, or to a proxy on the way to it."""
    place = f"{origin.host}:{origin.port}"
    if isinstance(error, ssl.SSLCertVerificationError):
        text = f"The certificate of {place} is not valid: {error.verify_message}."
        return Unreachable(f"{text} {_TRUST}" if error.verify_code in _UNKNOWN_ISSUER else text)
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
        return Unreachable(f"Nothing answers at {peer}.{setting or _where_else(origin)}")
    if _is_plain_http(error) and proxy is None:
        return Unreachable(f"{place} does not speak https. Try http://{place}")
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return Unreachable(f"The connection to {place} broke: {reason}.{setting}")


def _where_else(origin: Origin) -> str:
    """Return what to do if no hub is at an address; that of no setting may be the wrong one."""
    if f"http://{origin.host}:{origin.port}" != DEFAULT_ENDPOINT:
        return " Is the hub running?"
    return (
        " Is the hub running? If it is elsewhere, sign in to it once: lorary login --endpoint URL; "
        "or set LORARY_ENDPOINT."
    )


def pause_of(response: BaseHTTPResponse) -> float:
    """Return how many seconds the response asks to wait; 0 if it has no usable value."""
    try:
        return Retry().get_retry_after(response) or 0.0
    except (InvalidHeader, ValueError, OverflowError):
        return 0.0
