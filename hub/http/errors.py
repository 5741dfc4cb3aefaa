"""Errors of HTTP rather than of the catalogue.

They are separate from ``hub.http.problems``, so that classes that DRF imports by name while that
module is being imported can use them.
"""

from __future__ import annotations

from django.utils.translation import gettext_lazy
from rest_framework.exceptions import APIException


class Busy(APIException):
    """The process is at a limit; the client should try again after ``wait`` seconds."""

    status_code = 503
    default_code = "unavailable"

    def __init__(self, detail: str, *, wait_s: int) -> None:
        """Set the message and the value of ``Retry-After``."""
        super().__init__(detail)
        self.wait = wait_s


class LengthRequired(APIException):
    """A request with a raw body has no Content-Length."""

    status_code = 411
    default_code = "length_required"
    default_detail = gettext_lazy("Send a Content-Length header with the number of bytes.")


class PreconditionFailed(APIException):
    """``If-Match`` does not match the file."""

    status_code = 412
    default_code = "precondition_failed"
    default_detail = gettext_lazy("The digest of the file is not the one you asked for.")


class Malformed(APIException):
    """The request violates the rules of HTTP or JSON."""

    status_code = 400
    default_code = "malformed_request"
    default_detail = gettext_lazy("The request cannot be read.")
