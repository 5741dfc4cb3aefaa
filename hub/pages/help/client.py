"""The client, to install with pip from here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.http import HttpResponse
from django.utils.translation import gettext as _
from django.views.decorators.http import condition, require_safe

from hub import client_wheel
from hub.http.content_disposition import content_disposition
from registry.errors import NotFound

if TYPE_CHECKING:
    from django.http import HttpRequest

__all__ = ["send"]


def _etag(_request: HttpRequest, file: str) -> str:
    """Return the validator.

    Raises:
        NotFound: this hub has another client now.
    """
    wheel = client_wheel.wheel()
    if file != wheel.name:
        raise NotFound(_("This hub has another client now: the line to install it is in “Help”."))
    return f'"{wheel.sha256}"'


@require_safe
@condition(etag_func=_etag)
def send(_request: HttpRequest, file: str) -> HttpResponse:
    """Send the wheel."""
    headers = {"Content-Disposition": content_disposition(file), "Cache-Control": "no-cache"}
    return HttpResponse(
        client_wheel.wheel().content, content_type="application/zip", headers=headers
    )
