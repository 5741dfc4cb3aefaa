"""Refusals that belong to HTTP, not to the catalogue.

Apart from ``hub.http.problems``, so that what DRF loads by name while that is being loaded can use
them.
"""

from __future__ import annotations

from django.utils.translation import gettext_lazy
from rest_framework.exceptions import APIException


class Busy(APIException):
    """The process is at its limit with what was asked for; ``wait`` says when to come again."""

    status_code = 503
    default_code = "unavailable"

    def __init__(self, detail: str, *, wait_s: int) -> None:
        """Say why, and after how many seconds the request is worth another try."""
        super().__init__(detail)
        self.wait = wait_s


class LengthRequired(APIException):
    """A raw body came without Content-Length."""

    status_code = 411
    default_code = "length_required"
    default_detail = gettext_lazy("Send a Content-Length header with the number of bytes.")


class PreconditionFailed(APIException):
    """``If-Match`` names another representation."""

    status_code = 412
    default_code = "precondition_failed"
    default_detail = gettext_lazy("The digest of the file is not the one you asked for.")


class Malformed(APIException):
    """The request breaks HTTP's or JSON's own rules."""

    status_code = 400
    default_code = "malformed_request"
    default_detail = gettext_lazy("The request cannot be read.")
