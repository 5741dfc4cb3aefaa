"""Git LFS for large files of Hugging Face clients: ``basic`` in one body, ``multipart`` in parts.

```
POST /{id}.git/info/lfs/objects/batch          returns the files to send, with signed links
PUT  /{id}.git/info/lfs/objects/{link}         sends a file or a part of it
POST /{id}.git/info/lfs/objects/{link}         completes a file in parts
```

If the hub stores its files in a bucket, parts are sent directly there. The digest is verified
before a commit can refer to the file.

Source: git-lfs ``docs/api/batch.md``; huggingface_hub ``lfs.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core import signing
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils.translation import gettext as _

from hub.http.problems import problem_of
from hub.protocols.huggingface.endpoint import endpoint
from hub.protocols.huggingface.inputs import json_of, stream_of
from hub.protocols.huggingface.repos.refs import adapter_of
from registry.accounts import permissions
from registry.errors import Invalid, QuotaExceeded, TooLarge, Unauthenticated, UploadRefused
from registry.models import Adapter, Upload, User
from registry.tokens import selectors as token_selectors
from registry.uploads import by_digest, parts
from registry.uploads import selectors as upload_selectors

MEDIA_TYPE = "application/vnd.git-lfs+json"
#: Clients ask for at most 256 files at once.
MAX_OBJECTS = 1000
_OF_ONE_FILE = (Invalid, QuotaExceeded, TooLarge, UploadRefused)


@endpoint("POST")
def batch(request: HttpRequest, owner: str, name: str) -> JsonResponse:
    """Return the files to send, with links."""
    adapter = adapter_of(request, owner, name)
    user = permissions.require_adapter(request.user, adapter)
    body = json_of(request)
    if body.get("operation") != "upload":
        raise Invalid(_("Files are downloaded from /{owner}/{name}/resolve/…, not by LFS."))
    if body.get("hash_algo", "sha256") != "sha256":
        raise Invalid(_("This hub supports only sha256 here."))
    way = "multipart" if "multipart" in _transfers(body) else "basic"

    def place(text: str) -> str:
        return _place(request, adapter, text)

    responses = [_object_response(user, wanted, way, place) for wanted in _objects(body)]
    return JsonResponse({"transfer": way, "objects": responses}, content_type=MEDIA_TYPE)


def _transfers(body: dict[str, Any]) -> list[Any]:
    named = body.get("transfers", ["basic"])
    return named if isinstance(named, list) else []


def _objects(body: dict[str, Any]) -> list[tuple[str, int]]:
    """Return digest and size of the files that a client wants to send."""
    listed = body.get("objects")
    if not isinstance(listed, list) or len(listed) > MAX_OBJECTS:
        raise Invalid(_("“objects” must be a list of at most %(limit)d.") % {"limit": MAX_OBJECTS})
    found = []
    for row in listed:
        oid, size = (row.get("oid"), row.get("size")) if isinstance(row, dict) else (None, None)
        if not isinstance(oid, str) or type(size) is not int or not 0 <= size < 2**63:
            raise Invalid(_("An object needs “oid”, a sha256, and “size”, a number of bytes."))
        found.append((oid, size))
    return found


def _object_response(
    user: User, wanted: tuple[str, int], way: str, place: Callable[[str], str]
) -> dict[str, Any]:
    """Return the response for one object; an error of one does not affect the others."""
    oid, size = wanted
    response: dict[str, Any] = {"oid": oid, "size": size}
    try:
        upload = by_digest.begin(actor=user, sha256=oid, size_bytes=size)
        if upload is not None:
            response["authenticated"] = True
            response["actions"] = {"upload": _action(user, upload, way, place)}
    except _OF_ONE_FILE as error:
        problem = problem_of(error)
        response["error"] = {"code": problem.status, "message": problem.detail}
    return response


def _action(user: User, upload: Upload, way: str, place: Callable[[str], str]) -> dict[str, Any]:
    whole = {"href": place(signed_link(user, upload))}
    if way == "basic" or upload.part_count == 1:
        return whole
    return {
        **whole,
        "header": {"chunk_size": str(upload.part_bytes), **_part_links(user, upload, place)},
    }


def _part_links(user: User, upload: Upload, place: Callable[[str], str]) -> dict[str, str]:
    """Return part number → URL: of the bucket if there is one, else of the hub."""
    numbers, direct = range(1, upload.part_count + 1), {}
    for first in range(0, len(numbers), parts.LINKS_AT_ONCE):
        some = numbers[first : first + parts.LINKS_AT_ONCE]
        direct.update(parts.links(actor=user, upload=upload, numbers=some))
    return {
        str(number): direct.get(number) or place(signed_link(user, upload, number))
        for number in numbers
    }


def _place(request: HttpRequest, adapter: Adapter, link: str) -> str:
    path = reverse("hf-lfs-object", args=[adapter.owner, adapter.name, link])
    return request.build_absolute_uri(path)


@endpoint("PUT", "POST", has_own_token=True)
def objects(request: HttpRequest, owner: str, name: str, link: str) -> HttpResponseBase:
    """Receive a file or a part, or complete a file; the link is the permission."""
    del owner, name  # the link has the upload and the part
    given = opened_link(link)
    if request.method == "POST":
        by_digest.finish_parts(actor=given.user, upload=given.upload)
        return JsonResponse({}, content_type=MEDIA_TYPE)
    tag = _take_part(request, given) if given.part else _take_whole(request, given)
    return HttpResponse(status=200, headers={"ETag": f'"{tag}"'})


def _take_whole(request: HttpRequest, given: Link) -> str:
    upload = given.upload
    stream = stream_of(request, expected=upload.size_bytes, limit=settings.LORARY.max_file_bytes)
    by_digest.receive_body(actor=given.user, upload=upload, stream=stream)
    return upload.declared_sha256


def _take_part(request: HttpRequest, given: Link) -> str:
    upload = given.upload
    expected = parts.part_of(upload, given.part).size
    stream = stream_of(request, expected=expected, limit=settings.LORARY.max_file_bytes)
    row = parts.receive_part(actor=given.user, upload=upload, number=given.part, stream=stream)
    return row.sha256


#: Instead of a part's number: the whole file as one body, or its completion.
WHOLE = 0

_SALT = "huggingface.lfs"


@dataclass(frozen=True, slots=True)
class Link:
    """Permission of ``user``, within the limits of its token, to send ``part`` of ``upload``.

    LFS clients send bytes without ``Authorization``, so the URL contains the permission. It is
    valid as long as the upload and the token, and does not permit reading.
    """

    user: User
    upload: Upload
    part: int


def signed_link(user: User, upload: Upload, part: int = WHOLE) -> str:
    """Return the last segment of a URL."""
    token = user.access_token
    payload = [upload.public_id.hex, user.pk, token.pk if token is not None else 0, part]
    return signing.dumps(payload, salt=_SALT, compress=False)


def opened_link(text: str) -> Link:
    """Return the permission in the last segment of a URL.

    Raises:
        Unauthenticated: it is invalid or expired, or its token or account is.
        NotFound: the upload was deleted.
    """
    lasts_s = settings.LORARY.upload_days * 86_400
    try:
        public_id, user_id, token_id, part = signing.loads(text, salt=_SALT, max_age=lasts_s)
    except signing.BadSignature as error:
        raise _ended() from error
    user = token_selectors.holder(user_id, token_id)
    if user is None:
        raise _ended()
    return Link(user, upload_selectors.without_parts(user, UUID(hex=public_id)), part)


def _ended() -> Unauthenticated:
    return Unauthenticated(_("This link is not valid. Request a new one."))
