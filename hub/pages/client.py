"""The client, to install with pip from here."""

from __future__ import annotations

import hashlib
from importlib.metadata import PackageNotFoundError
from typing import TYPE_CHECKING

from django.http import HttpResponse
from django.utils.translation import gettext as _
from django.views.decorators.http import condition, require_safe

from hub.dispositions import content_disposition
from hub.wheels import NAME, wheel
from registry.errors import NotFound

if TYPE_CHECKING:
    from django.http import HttpRequest

__all__ = ["send"]


def _etag(_request: HttpRequest) -> str:
    try:
        return f'"{hashlib.sha256(wheel()).hexdigest()}"'
    except PackageNotFoundError as error:
        raise NotFound(_("The client is not installed here.")) from error


@require_safe
@condition(etag_func=_etag)
def send(_request: HttpRequest) -> HttpResponse:
    """Send the wheel of this hub's version."""
    headers = {"Content-Disposition": content_disposition(NAME), "Cache-Control": "no-cache"}
    return HttpResponse(wheel(), content_type="application/zip", headers=headers)
