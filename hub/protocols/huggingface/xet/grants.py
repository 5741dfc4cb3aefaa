"""Permission to send the bytes of one repository for an hour.

A grant is signed, not kept. It names who sends, to which adapter, and the access token that asked
for it; with any of them its permission ends.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from django.core import signing
from django.utils.translation import gettext as _

from registry.accounts import permissions
from registry.errors import Unauthenticated
from registry.models import Adapter, User
from registry.tokens import selectors as token_selectors

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser

__all__ = ["LASTS_S", "Grant", "Issued", "issue", "opened"]

#: Seconds that a grant lasts. Clients ask for a new one in time.
LASTS_S = 3600

_SALT = "huggingface.xet"


class Issued(NamedTuple):
    """A grant in writing, and when it ends, in seconds since the epoch."""

    secret: str
    expires: int


class Grant(NamedTuple):
    """Who may send, and to what."""

    user: User
    adapter: Adapter


def issue(*, actor: User | AnonymousUser, adapter: Adapter) -> Issued:
    """Return a grant to send files of an adapter.

    Raises:
        NotFound, Unauthenticated, Forbidden, Gone: the actor may not change it.
    """
    user = permissions.require_adapter(actor, adapter)
    token = user.access_token
    said = [user.pk, adapter.pk, token.pk if token is not None else 0]
    return Issued(signing.dumps(said, salt=_SALT, compress=False), int(time.time()) + LASTS_S)


def opened(secret: str) -> Grant:
    """Return what a grant allows, if it still does.

    Raises:
        Unauthenticated: it was not written here, is too old, or its token or account has ended.
        NotFound, Forbidden, Gone: its user may not change the adapter any more.
    """
    try:
        user_id, adapter_id, token_id = signing.loads(secret, salt=_SALT, max_age=LASTS_S)
    except signing.BadSignature as error:
        raise _ended() from error
    user = token_selectors.holder(user_id, token_id)
    adapter = Adapter.objects.select_related("namespace").filter(pk=adapter_id).first()
    if user is None or adapter is None:
        raise _ended()
    permissions.require_adapter(user, adapter)
    return Grant(user, adapter)


def _ended() -> Unauthenticated:
    return Unauthenticated(_("This upload token is not valid (any more). Start the upload again."))
