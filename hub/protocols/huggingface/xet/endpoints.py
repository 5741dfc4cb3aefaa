"""Where Xet clients ask for a token and send their bytes.

```
GET  /api/models/{id}/xet-write-token/{rev}     a token, and an address that no other upload has
POST {address}/v1/xorbs/default/{hash}          a xorb
POST {address}/v1/shards                        which chunks make up which files
POST {address}/v1/telemetry                     not kept
```

Everything else below the address does not exist: clients then send all chunks, and by the calls
above. The address is new with each token because clients do not send again what they sent to the
same address before.

Source: spec/api.md of huggingface/xet-core; calls of hf_xet 1.8.
"""

from __future__ import annotations

import secrets
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from django.core import signing
from django.urls import reverse
from django.utils.translation import gettext as _

from hub.http.callers import bearer_secret
from hub.protocols.huggingface.door import answer, charge_write, door
from hub.protocols.huggingface.inputs import refuse_pull_request, stream_of
from hub.protocols.huggingface.refusals import Refused
from hub.protocols.huggingface.repos.refs import adapter_of
from hub.protocols.huggingface.xet import assembling, staging
from hub.protocols.huggingface.xet.shards import MAX_SHARD_BYTES, ShardInvalid
from hub.protocols.huggingface.xet.staging import Session
from hub.protocols.huggingface.xet.xorbs import MAX_XORB_BYTES, XorbInvalid
from registry.accounts import permissions, quotas
from registry.errors import Conflict, Invalid, NotFound, Unauthenticated
from registry.models import Adapter, User
from registry.storage import CHUNK
from registry.storage.spooling import spooled
from registry.tokens import selectors as token_selectors

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.contrib.auth.models import AnonymousUser
    from django.http import HttpRequest, JsonResponse

    from registry.models import User

#: Seconds after which a session that is busy is worth another try.
SOON_S = 5
MAX_TELEMETRY_BYTES = 2**20


@door("GET")
def write_token(request: HttpRequest, owner: str, name: str, ref: str) -> JsonResponse:
    """Return a token to send bytes with, and the address to send them to."""
    del ref  # bytes have no place yet: the commit names it
    refuse_pull_request(request)
    issued = issue_grant(actor=request.user, adapter=adapter_of(request, owner, name))
    staging.sweep()
    place = request.build_absolute_uri(reverse("hf-xet", args=[secrets.token_hex(16)]))
    said = {"casUrl": place, "exp": issued.expires, "accessToken": issued.secret}
    headers = {
        "Cache-Control": "no-store",
        "X-Xet-Cas-Url": place,
        "X-Xet-Access-Token": issued.secret,
        "X-Xet-Token-Expiration": str(issued.expires),
    }
    return answer(said, headers=headers)


@door("POST", has_own_token=True)
def xorb(request: HttpRequest, session: str, xorb_hash: str) -> JsonResponse:
    """Take a xorb."""
    grant = _grant(request)
    place = _session(grant, session)
    stream = stream_of(request, limit=MAX_XORB_BYTES)
    _require_room(grant.user, _length(request))
    with _telling():
        is_new = staging.keep(place, xorb_hash, stream, _length(request))
    return answer({"was_inserted": is_new})


@door("POST", has_own_token=True)
def shard(request: HttpRequest, session: str) -> JsonResponse:
    """Put the files of a shard together; 1 says that this was done."""
    grant = _grant(request)
    stream = stream_of(request, limit=MAX_SHARD_BYTES)
    with _telling(), spooled(_chunks(stream)) as body:
        assembling.assemble(
            actor=grant.user,
            session=_session(grant, session),
            shard=body.file,
            size_bytes=body.size,
        )
    return answer({"result": 1})


@door("POST", has_own_token=True)
def telemetry(request: HttpRequest, /, **_named: str) -> JsonResponse:
    """Listen to what a client tells of itself, and forget it."""
    for _chunk in _chunks(stream_of(request, limit=MAX_TELEMETRY_BYTES)):
        pass
    return answer({})


@door("GET", "POST", "PUT", "DELETE", has_own_token=True)
def nothing(_request: HttpRequest, /, **_named: str) -> NoReturn:
    """Say that there is no such call: no chunks are known, no other way to send is.

    Raises:
        NotFound: always.
    """
    raise NotFound(_("There is nothing at this address. Send xorbs, then a shard."))


def _grant(request: HttpRequest) -> Grant:
    secret = bearer_secret(request)
    if secret is None:
        raise Unauthenticated(_("Send the token that came with this address."))
    grant = opened_grant(secret)
    request.user = grant.user
    charge_write(request)
    return grant


def _require_room(user: User, size_bytes: int) -> None:
    """Refuse a xorb that the quota has no room for beside those that wait.

    Raises:
        QuotaExceeded: see ``quotas.require_room``.
    """
    size = staging.waiting(user.pk).bytes + size_bytes
    quotas.require_room_to_send(namespace=user.namespace, size_bytes=size)


def _session(grant: Grant, name: str) -> Session:
    """Return the session: of this user and adapter, whichever of their tokens it came with.

    Clients that get a new token in the midst of an upload stay with their address.
    """
    return Session(grant.user.pk, grant.adapter.pk, name)


def _length(request: HttpRequest) -> int:
    return int(request.META["CONTENT_LENGTH"])


def _chunks(stream: HttpRequest) -> Iterator[bytes]:
    while chunk := stream.read(CHUNK):
        yield chunk


@contextmanager
def _telling() -> Iterator[None]:
    """Tell faults of the formats as refusals, and what passes as worth another try."""
    try:
        yield
    except (XorbInvalid, ShardInvalid) as error:
        raise Invalid(str(error)) from error
    except Conflict as error:
        raise Refused(error, status=503, headers={"Retry-After": str(SOON_S)}) from error


#: Seconds that a grant lasts. Clients ask for a new one in time.
LASTS_S = 3600

_SALT = "huggingface.xet"


class Issued(NamedTuple):
    """A grant in writing, and when it ends, in seconds since the epoch."""

    secret: str
    expires: int


class Grant(NamedTuple):
    """Who may send, and to what.

    A grant is signed, not kept. It names who sends, to which adapter, and the access token that
    asked for it; with any of them its permission ends.
    """

    user: User
    adapter: Adapter


def issue_grant(*, actor: User | AnonymousUser, adapter: Adapter) -> Issued:
    """Return a grant to send files of an adapter.

    Raises:
        NotFound, Unauthenticated, Forbidden, Gone: the actor may not change it.
    """
    user = permissions.require_adapter(actor, adapter)
    token = user.access_token
    said = [user.pk, adapter.pk, token.pk if token is not None else 0]
    return Issued(signing.dumps(said, salt=_SALT, compress=False), int(time.time()) + LASTS_S)


def opened_grant(secret: str) -> Grant:
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
    return Unauthenticated(_("This upload token is not valid. Start the upload again."))
