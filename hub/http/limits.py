"""Limits on expensive requests: header inspections, and files in forms.

The largest header costs seconds of CPU time, and a process has dozens of threads. Without a limit
few clients could keep all of them busy. Forms carry images and single adapters from browsers
without JavaScript; all other weights are sent as raw bodies.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from threading import BoundedSemaphore
from typing import Any

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.core.exceptions import RequestDataTooBig
from django.core.files.uploadhandler import FileUploadHandler
from django.http import HttpRequest
from django.utils.translation import gettext as _
from rest_framework.request import Request

from hub.http.errors import Busy, LengthRequired
from lorary.anatomy import Inspection
from previews.sample_files.formats import MAX_FILM_BYTES
from registry.errors import SizeMismatch, TooLarge
from registry.scan import checks

#: Maximum seconds to wait for another inspection to end before the request is refused.
WAIT_S = 1.0
RETRY_AFTER_S = 5


@cache
def _slots(count: int) -> BoundedSemaphore:
    return BoundedSemaphore(count)


@contextmanager
def inspecting() -> Iterator[None]:
    """Take one of this process's slots for inspecting headers.

    Raises:
        Busy: this process already inspects as many headers as allowed.
    """
    slots = _slots(settings.LORARY.inspections)
    if not slots.acquire(timeout=WAIT_S):
        text = _("Many files are being inspected right now. Try again in %(n)d seconds.")
        raise Busy(text % {"n": RETRY_AFTER_S}, wait_s=RETRY_AFTER_S)
    try:
        yield
    finally:
        slots.release()


def inspect_head(head: bytes, *, name: str, size: int) -> Inspection:
    """Inspect the first bytes of a file, in a limited number of threads; see ``checks``.

    Raises:
        Busy: this process already inspects as many headers as allowed.
    """
    with inspecting():
        return checks.inspect_head(head, name=name, size=size)


def max_head_bytes(user: AbstractBaseUser | AnonymousUser) -> int:
    """Return how many bytes from the start of a file a user can send for inspection."""
    if user.is_authenticated:
        return checks.head_bytes()
    return min(checks.head_bytes(), settings.LORARY.stranger_header_bytes + 8)


def head_too_large(user: AbstractBaseUser | AnonymousUser) -> TooLarge:
    """Return the error for more bytes than ``max_head_bytes``."""
    limit = max_head_bytes(user)
    text = _("At most the first %(limit)d bytes of a file are inspected here.")
    if limit < checks.head_bytes():
        text = _(
            "Without signing in, at most the first %(limit)d bytes of a file are inspected. "
            "Sign in, or send a token, to have %(most)d bytes inspected, or run “lorary "
            "inspect” on your own machine."
        )
    return TooLarge(text % {"limit": limit, "most": checks.head_bytes()}, limit=limit)


#: Enough for a few videos, or a dozen pictures.
MAX_FORM_BYTES = 4 * MAX_FILM_BYTES


class FormTooLarge(RequestDataTooBig):
    """A form, with its files, is larger than any page accepts."""


class FormSizeLimit(FileUploadHandler):
    """Upload handler that refuses forms that are too large before anything is written.

    This is needed because Django reads a form, with its files, before it knows the page or the
    user.
    """

    def handle_raw_input(
        self,
        input_data: Any,  # noqa: ANN401 - a WSGI stream
        META: Mapping[str, str],  # noqa: N803 - Django's name
        content_length: int,
        boundary: str,
        encoding: str | None = None,
    ) -> None:
        """Check the Content-Length.

        Raises:
            FormTooLarge: the form is larger than any page accepts.
        """
        if content_length > MAX_FORM_BYTES:
            raise FormTooLarge

    def receive_data_chunk(self, raw_data: bytes, start: int) -> bytes:
        """Pass the bytes to the next handler."""
        return raw_data

    def file_complete(self, file_size: int) -> None:
        """Leave the file to the next handler."""


def require_length(
    request: HttpRequest | Request, *, expected: int | None = None, limit: int | None = None
) -> None:
    """Check the announced length of a body before it is read.

    Args:
        expected: Exact length in bytes.
        limit: Maximum length in bytes.

    Raises:
        LengthRequired: the request is chunked or has no length.
        SizeMismatch: the length is not the expected one.
        TooLarge: the length is above the limit.
    """
    announced = str(request.META.get("CONTENT_LENGTH") or "")
    if not announced.isdecimal():
        raise LengthRequired
    length = int(announced) if len(announced) <= 18 else 10**18
    if expected is not None and length != expected:
        text = _("This request has %(got)d bytes, not the announced %(expected)d.")
        raise SizeMismatch(
            text % {"expected": expected, "got": length}, expected=expected, received=length
        )
    if limit is not None and length > limit:
        raise TooLarge(
            _("At most %(limit)d bytes are accepted here.") % {"limit": limit}, limit=limit
        )
