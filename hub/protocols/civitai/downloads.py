"""``/api/download/models/{versionId}``: redirects to the file.

```
GET /api/download/models/7               checks access to version 7 → 302
GET /api/download/files/{pass}/{name}    the pass identifies the user; bytes, ranges, HEAD
```

A pass is signed, contains version, file, user and access token, and is valid for an hour. Its
holder needs no token, until the user loses access to the file or the token ends. For a file in a
bucket, the redirect leads there. A download is counted when the link to a bucket is issued, or when
this hub has sent the last byte.
"""

from __future__ import annotations

from urllib.parse import quote, urlencode

from django.core import signing
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils.translation import gettext as _

from hub.http import delivery
from hub.http.delivery import content_disposition
from hub.protocols.civitai.endpoint import Refused, endpoint, origin
from hub.protocols.civitai.files import chosen, name_of
from hub.protocols.civitai.query import QueryParameters, number
from registry import storage
from registry.errors import Gone
from registry.models import File, FileRole, User, Version
from registry.tokens import selectors as token_selectors
from registry.versions import by_id, download_counts, download_events
from registry.versions.files import Served, is_for_everybody, require_access

#: Seconds for which a pass is valid; a transfer may take longer.
PASS_S = 3600
_SALT = "hub.protocols.civitai.downloads"


@endpoint("GET")
def model(request: HttpRequest, number_text: str) -> HttpResponseBase:
    """Redirect to a file of a version."""
    version = by_id.version(request.user, number(number_text))
    require_access(request.user, version.adapter)
    files = by_id.manifests_of([version]).get(version.revision_id, [])
    file = chosen(QueryParameters(request), files)
    if not file.blob.is_stored:
        raise Gone(_("The bytes of this file were removed."))
    name = name_of(file, [one for one in files if one.role == FileRole.WEIGHTS])
    place = _in_bucket(request, version, file, name) or _here(request, version, file, name)
    return HttpResponse(
        status=302,
        headers={"Location": place, "Referrer-Policy": "no-referrer"},
    )


def _in_bucket(request: HttpRequest, version: Version, file: File, name: str) -> str:
    """Return a link to the bucket, and count it; "" for local files, and for HEAD."""
    if request.method != "GET":
        return ""
    fetch = storage.Fetch("application/octet-stream", content_disposition(name), delivery.LINK_S)
    place = storage.store().link(file.sha256, fetch)
    if not isinstance(place, str):
        return ""
    download_counts.count(version_id=version.pk, is_primary=file.is_primary)
    adapter = version.adapter
    if not is_for_everybody(adapter.visibility, adapter.access, adapter.blocked_reason):
        download_events.record(
            actor=request.user,
            adapter=adapter,
            subject=version.name,
            path=file.path,
            sha256=file.sha256,
        )
    return place


def _here(request: HttpRequest, version: Version, file: File, name: str) -> str:
    token = getattr(request.user, "access_token", None)
    asker = [request.user.pk or 0, token.pk if token is not None else 0]
    signed = signing.dumps([version.pk, file.pk, *asker, name], salt=_SALT)
    place = origin(request) + reverse("civitai-content", args=[signed, name])
    if quote(name) == name:
        return place
    # Some clients take the file name from this parameter, which bucket URLs have.
    query = {"response-content-disposition": f'attachment; filename="{quote(name)}"'}
    return f"{place}?{urlencode(query)}"


@endpoint("GET")
def content(request: HttpRequest, signed: str, name: str) -> HttpResponseBase:
    """Send the file of a pass."""
    del name  # only ends the URL
    served, saved_as, viewer = _opened_pass(signed)
    return delivery.send(request, served, saved_as, actor=viewer)


def _opened_pass(signed: str) -> tuple[Served, str, User | None]:
    """Return the file of a pass, the name to save it under, and who got the pass."""
    try:
        version, file, user, token, name = signing.loads(signed, salt=_SALT, max_age=PASS_S)
    except signing.SignatureExpired as error:
        raise Refused(403, _("This link has expired. Request the download again.")) from error
    except (signing.BadSignature, ValueError, TypeError) as error:
        raise Refused(403, _("This link is not valid. Request the download again.")) from error
    viewer = token_selectors.holder(user, token) if user else None
    return by_id.served(viewer, version, file), name, viewer
