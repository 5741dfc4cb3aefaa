"""Limits on what a request may cost: inspections of headers, and files in forms.

The largest header costs seconds of CPU time, and a process has dozens of threads. Without a limit a
few senders could keep all of them busy. Forms bring pictures that browsers without a script send;
weights travel as raw bodies.
"""

from __future__ import annotations

from functools import cache
from threading import BoundedSemaphore
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.core.files.uploadhandler import FileUploadHandler
from django.utils.translation import gettext as _

from hub.http.errors import Busy
from previews.sample_files.formats import MAX_FILM_BYTES
from registry.errors import TooLarge
from registry.scan import checks

if TYPE_CHECKING:
    from collections.abc import Mapping

    from django.contrib.auth.models import AbstractBaseUser, AnonymousUser

    from lorary.anatomy import Inspection

#: Seconds to wait for another inspection to end, before the sender is asked to come again.
WAIT_S = 1.0
RETRY_AFTER_S = 5


@cache
def _places(count: int) -> BoundedSemaphore:
    return BoundedSemaphore(count)


def look(head: bytes, *, name: str, size: int) -> Inspection:
    """Return what a file's first bytes say; see ``checks.inspect_head``.

    Raises:
        Busy: this process inspects as many headers as it may.
    """
    places = _places(settings.LORARY.inspections)
    if not places.acquire(timeout=WAIT_S):
        text = _("Many files are being inspected right now. Try again in %(n)d seconds.")
        raise Busy(text % {"n": RETRY_AFTER_S}, wait_s=RETRY_AFTER_S)
    try:
        return checks.inspect_head(head, name=name, size=size)
    finally:
        places.release()


def head_bytes(user: AbstractBaseUser | AnonymousUser) -> int:
    """Return how many first bytes of a file a user may send to have them inspected."""
    if user.is_authenticated:
        return checks.head_bytes()
    return min(checks.head_bytes(), settings.LORARY.stranger_header_bytes + 8)


def too_long(user: AbstractBaseUser | AnonymousUser) -> TooLarge:
    """Return the refusal of more bytes than ``head_bytes``."""
    limit = head_bytes(user)
    text = _("At most the first %(limit)d bytes of a file are inspected here.")
    if limit < checks.head_bytes():
        text = _(
            "Without signing in, at most the first %(limit)d bytes of a file are inspected. "
            "Sign in, or send a token, to have %(most)d bytes inspected, or run “lorary "
            "inspect” on your own machine."
        )
    return TooLarge(text % {"limit": limit, "most": checks.head_bytes()}, limit=limit)


#: A few videos, or a dozen pictures.
MAX_FORM_BYTES = 4 * MAX_FILM_BYTES


class Bounded(FileUploadHandler):
    """Refuses forms that announce too much, before anything of them is written.

    Django reads a form, with its files, before it knows which page it is for or who sends it.
    """

    def handle_raw_input(
        self,
        input_data: Any,  # noqa: ANN401 - a WSGI stream
        META: Mapping[str, str],  # noqa: N803 - Django's name
        content_length: int,
        boundary: str,
        encoding: str | None = None,
    ) -> None:
        """Look at the announced length.

        Raises:
            RequestDataTooBig: there is more than a page takes.
        """
        if content_length > MAX_FORM_BYTES:
            raise RequestDataTooBig

    def receive_data_chunk(self, raw_data: bytes, start: int) -> bytes:
        """Leave the bytes to the handlers behind."""
        return raw_data

    def file_complete(self, file_size: int) -> None:
        """Leave the file to the handlers behind."""
