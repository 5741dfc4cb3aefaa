"""Endpoints of Xet uploads, and their signed permissions.

```
GET  /api/models/{id}/xet-write-token/{rev}     returns a token, and the URL of a new session
POST {url}/v1/xorbs/default/{hash}              receives a xorb
POST {url}/v1/shards                            assembles files from xorbs
POST {url}/v1/telemetry                         is ignored
```

All other calls answer 404: clients then send all chunks by the calls above. The URL is new with
each token because clients do not send chunks again that they sent to the same URL before.

Source: spec/api.md of huggingface/xet-core; calls of hf_xet 1.8.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple, NoReturn

from django.contrib.auth.models import AnonymousUser
from django.core import signing
from django.http import HttpRequest, JsonResponse
from django.urls import reverse
from django.utils.translation import gettext as _

from hub.http.callers import bearer_secret
from hub.protocols.huggingface.endpoint import answer, charge_write, endpoint
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

#: ``Retry-After`` of a busy session.
SOON_S = 5
MAX_TELEMETRY_BYTES = 2**20


@endpoint("GET")
def write_token(request: HttpRequest, owner: str, name: str, ref: str) -> JsonResponse:
    """Return an upload token, and the URL for it."""
    del ref  # the revision is ignored: the commit sets it
    refuse_pull_request(request)
    issued = issue_grant(actor=request.user, adapter=adapter_of(request, owner, name))
    place = request.build_absolute_uri(reverse("hf-xet", args=[secrets.token_hex(16)]))
    document = {"casUrl": place, "exp": issued.expires, "accessToken": issued.secret}
    headers = {
        "Cache-Control": "no-store",
        "X-Xet-Cas-Url": place,
        "X-Xet-Access-Token": issued.secret,
        "X-Xet-Token-Expiration": str(issued.expires),
    }
    return answer(document, headers=headers)


@endpoint("POST", has_own_token=True)
def xorb(request: HttpRequest, session: str, xorb_hash: str) -> JsonResponse:
    """Receive a xorb."""
    grant = _grant(request)
    place = _session(grant, session)
    stream = stream_of(request, limit=MAX_XORB_BYTES)
    _require_room(grant.user, _length(request))
    with _translated_errors():
        is_new = staging.keep(place, xorb_hash, stream, _length(request))
    return answer({"was_inserted": is_new})


@endpoint("POST", has_own_token=True)
def shard(request: HttpRequest, session: str) -> JsonResponse:
    """Assemble the files of a shard; the result is 1."""
    grant = _grant(request)
    stream = stream_of(request, limit=MAX_SHARD_BYTES)
    with _translated_errors(), spooled(_chunks(stream)) as body:
        assembling.assemble(
            actor=grant.user,
            session=_session(grant, session),
            shard=body.file,
            size_bytes=body.size,
        )
    return answer({"result": 1})


@endpoint("POST", has_own_token=True)
def telemetry(request: HttpRequest, /, **_named: str) -> JsonResponse:
    """Discard telemetry."""
    for _chunk in _chunks(stream_of(request, limit=MAX_TELEMETRY_BYTES)):
        pass
    return answer({})


@endpoint("GET", "POST", "PUT", "DELETE", has_own_token=True)
def unknown_call(_request: HttpRequest, /, **_named: str) -> NoReturn:
    """Answer 404 to all other calls, such as queries for known chunks.

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
    """Refuse a xorb that would exceed the quota together with the staged ones."""
    size = staging.waiting(user.pk).bytes + size_bytes
    quotas.require_room_to_send(namespace=user.namespace, size_bytes=size)


def _session(grant: Grant, name: str) -> Session:
    """Return the session of the user and adapter, for any of their tokens.

    Clients that get a new token during an upload keep their URL.
    """
    return Session(grant.user.pk, grant.adapter.pk, name)


def _length(request: HttpRequest) -> int:
    return int(request.META["CONTENT_LENGTH"])


def _chunks(stream: HttpRequest) -> Iterator[bytes]:
    while chunk := stream.read(CHUNK):
        yield chunk


@contextmanager
def _translated_errors() -> Iterator[None]:
    """Turn format errors into refusals, and temporary ones into responses with Retry-After."""
    try:
        yield
    except (XorbInvalid, ShardInvalid) as error:
        raise Invalid(str(error)) from error
    except Conflict as error:
        raise Refused(error, status=503, headers={"Retry-After": str(SOON_S)}) from error


#: Seconds for which a grant is valid. Clients renew it in time.
LASTS_S = 3600

_SALT = "huggingface.xet"


class Issued(NamedTuple):
    """A signed grant, and its expiry in seconds since the epoch."""

    secret: str
    expires: int


class Grant(NamedTuple):
    """Permission to upload files of an adapter.

    A grant is signed, not stored. It contains user, adapter and access token, and ends with any of
    them.
    """

    user: User
    adapter: Adapter


def issue_grant(*, actor: User | AnonymousUser, adapter: Adapter) -> Issued:
    """Return a grant to upload files of an adapter.

    Raises:
        NotFound, Unauthenticated, Forbidden, Gone: the actor may not write to it.
    """
    user = permissions.require_adapter(actor, adapter)
    token = user.access_token
    payload = [user.pk, adapter.pk, token.pk if token is not None else 0]
    return Issued(signing.dumps(payload, salt=_SALT, compress=False), int(time.time()) + LASTS_S)


def opened_grant(secret: str) -> Grant:
    """Verify a signed grant and return it.

    Raises:
        Unauthenticated: it is invalid or expired, or its token or account is.
        NotFound, Forbidden, Gone: the user may no longer write to the adapter.
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
