"""``/{owner}/{name}/resolve/{revision}/{path}``: the bytes, or what is known of them (HEAD).

Never a redirect within this origin: clients would look for the commit in the last answer. To bytes
in a bucket a redirect leads, another origin, with commit and digest on it.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from django.utils.translation import gettext as _

from hub.http import delivery
from hub.protocols.huggingface.door import door
from hub.protocols.huggingface.refusals import ENTRY_NOT_FOUND, Refused
from hub.protocols.huggingface.repos.refs import adapter_of, parted, require_access
from hub.protocols.huggingface.repos.views import warned
from registry.errors import Gone, NotFound
from registry.versions import download_counts, revisions
from registry.versions.files import is_for_everybody

if TYPE_CHECKING:
    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

    from registry.models import File
    from registry.versions.revisions import Snapshot

__all__ = ["resolve"]

#: Segments of ``{owner}/{name}/resolve`` before revision and path.
BEFORE = 3


@door("GET")
def resolve(request: HttpRequest, owner: str, name: str, rest: str) -> HttpResponseBase:
    """Send a file of a revision, whole or in part; counted when its last byte is sent."""
    adapter = adapter_of(request, owner, name)
    snapshot, path = parted(request, adapter, rest, before=BEFORE)
    require_access(request, adapter)
    commit = {"X-Repo-Commit": snapshot.revision.commit}
    try:
        file = _file(snapshot, path)
        response = _send(request, snapshot, file)
    except NotFound as error:
        status = 410 if isinstance(error, Gone) else 404
        raise Refused(error, ENTRY_NOT_FOUND, status=status, headers=commit) from error
    response.headers["X-Repo-Commit"] = snapshot.revision.commit
    response.headers["X-Linked-Size"] = str(file.size_bytes)
    response.headers["X-Linked-ETag"] = delivery.etag_of(file.blob)
    return warned(response, snapshot)


def _file(snapshot: Snapshot, path: str) -> File:
    found = revisions.file(snapshot, path)
    if found is None:
        text = _("“%(adapter)s” has no file “%(path)s” at %(ref)s.")
        said = {"adapter": snapshot.adapter.full_name, "path": path[:255]}
        raise NotFound(text % {**said, "ref": snapshot.asked[:96]})
    return found


def _send(request: HttpRequest, snapshot: Snapshot, file: File) -> HttpResponseBase:
    delivery.require_match(request, file.blob)
    version = revisions.counted_for(snapshot, file) if _is_counted(request, file) else None
    count = (
        partial(download_counts.count, version_id=version, is_primary=file.is_primary)
        if version
        else None
    )
    adapter = snapshot.adapter
    return delivery.deliver(
        request,
        file.blob,
        filename=file.path.rpartition("/")[2],
        is_private=not is_for_everybody(adapter.visibility, adapter.access),
        on_sent=count,
    )


def _is_counted(request: HttpRequest, file: File) -> bool:
    return request.method == "GET" and file.is_primary
