"""Addresses that carry their own permission: LFS clients send bytes without ``Authorization``.

A link names an upload, who may send it, the token that asked for it, and what is sent: the whole
file, one part, or word that all parts are there. It lasts as long as the upload, and ends with its
token. It lets nobody read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from django.conf import settings
from django.core import signing
from django.utils.translation import gettext as _

from registry.errors import Unauthenticated
from registry.tokens import selectors as token_selectors
from registry.uploads import selectors as upload_selectors

if TYPE_CHECKING:
    from registry.models import Upload, User

__all__ = ["WHOLE", "Link", "opened", "signed"]

#: In place of a part's number: the whole file as one body, or its completion.
WHOLE = 0

_SALT = "huggingface.lfs"


@dataclass(frozen=True, slots=True)
class Link:
    """That ``user``, within the limits of its token, may send ``part`` of ``upload``."""

    user: User
    upload: Upload
    part: int


def signed(user: User, upload: Upload, part: int = WHOLE) -> str:
    """Return the end of an address."""
    token = user.access_token
    said = [upload.public_id.hex, user.pk, token.pk if token is not None else 0, part]
    return signing.dumps(said, salt=_SALT, compress=False)


def opened(text: str) -> Link:
    """Return what the end of an address allows.

    Raises:
        Unauthenticated: it was not written here, is too old, or its token or account has ended.
        NotFound: the upload is not there any more.
    """
    lasts_s = settings.LORARY.upload_days * 86_400
    try:
        public_id, user_id, token_id, part = signing.loads(text, salt=_SALT, max_age=lasts_s)
    except signing.BadSignature as error:
        raise _ended() from error
    user = token_selectors.holder(user_id, token_id)
    if user is None:
        raise _ended()
    return Link(user, upload_selectors.bare(user, UUID(hex=public_id)), part)


def _ended() -> Unauthenticated:
    return Unauthenticated(_("This link is not valid (any more). Ask for a new one."))
