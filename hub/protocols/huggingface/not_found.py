"""Addresses of the Hub that do not exist here."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from django.utils.translation import gettext as _

from hub.protocols.huggingface.door import door
from hub.protocols.huggingface.refusals import REPO_NOT_FOUND, Refused
from registry.errors import NotFound

if TYPE_CHECKING:
    from django.http import HttpRequest

__all__ = ["models_only", "nothing", "nowhere"]

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


@door(*METHODS, is_read=True)
def nowhere(_request: HttpRequest, /, **_named: str) -> NoReturn:
    """Say that there is no such call.

    Raises:
        NotFound: always.
    """
    raise NotFound(_("This hub does not offer this call of the Hugging Face API."))


@door(*METHODS, is_read=True)
def models_only(_request: HttpRequest, /, **_named: str) -> NoReturn:
    """Say that there are no datasets, spaces or buckets.

    Raises:
        Refused: always.
    """
    raise Refused(NotFound(_("This hub holds models only, no datasets or spaces.")), REPO_NOT_FOUND)


@door(*METHODS, is_read=True)
def nothing(_request: HttpRequest, /, **_named: str) -> NoReturn:
    """Say that a model has an owner.

    Raises:
        Refused: always.
    """
    text = _("A model is named “owner/name” on this hub.")
    raise Refused(NotFound(text), REPO_NOT_FOUND)
