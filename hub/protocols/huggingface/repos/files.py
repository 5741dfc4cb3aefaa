"""Files of a revision: their bytes (``resolve``), and folders page by page.

Git identifies folders by their content. A manifest only has files, so the id of a folder is a
digest of the ids below it.

``resolve`` never redirects within this origin, as clients would read the commit from the last
response. A redirect to a bucket, which is another origin, has commit and digest in its headers.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from django.http import HttpRequest, JsonResponse
from django.http.response import HttpResponseBase
from django.utils.translation import gettext as _

from hub.http import delivery
from hub.http.errors import Malformed
from hub.protocols.huggingface.endpoint import answer, endpoint
from hub.protocols.huggingface.inputs import is_on, next_page, whole
from hub.protocols.huggingface.refusals import ENTRY_NOT_FOUND, Refused
from hub.protocols.huggingface.repos import shapes
from hub.protocols.huggingface.repos.refs import (
    adapter_of,
    require_access,
    snapshot_of,
    split_ref_and_path,
)
from hub.protocols.huggingface.repos.views import warned
from registry.errors import Gone, Invalid, NotFound
from registry.models import File
from registry.versions import download_counts, download_events, revisions
from registry.versions.files import is_for_everybody
from registry.versions.revisions import Snapshot

#: Entries of a page, without and with last commits; paths of one request.
MAX_PAGE, MAX_EXPANDED, MAX_PATHS = 1000, 100, 1000
#: Number of segments in ``api/models/{owner}/{name}/tree``, before revision and folder.
BEFORE = 5


@dataclass(frozen=True, slots=True)
class Entry:
    """A file, or a folder with all files below it."""

    path: str
    files: Sequence[File]
    is_folder: bool

    def document(self) -> dict[str, Any]:
        """Return the entry in the Hub's format."""
        if not self.is_folder:
            return shapes.entry(self.files[0])
        lines = "\n".join(f"{file.path} {file.sha256}" for file in self.files)
        name = hashlib.sha1(lines.encode(), usedforsecurity=False).hexdigest()
        return {"type": "directory", "oid": name, "size": 0, "path": self.path}


@endpoint("GET")
def tree(request: HttpRequest, owner: str, name: str, rest: str) -> JsonResponse:
    """Return the entries of a folder, or with ``recursive`` all entries below it.

    Raises:
        Refused: the folder does not exist.
    """
    adapter = adapter_of(request, owner, name)
    snapshot, folder = split_ref_and_path(request, adapter, rest, before=BEFORE)
    found = entries(snapshot, folder.strip("/"), is_deep=is_on(request.GET, "recursive"))
    if folder and not found:
        text = _("“%(adapter)s” has no folder “%(path)s” at %(ref)s.")
        facts = {"adapter": adapter.full_name, "path": folder[:255], "ref": snapshot.requested[:96]}
        headers = {"X-Repo-Commit": snapshot.revision.commit}
        raise Refused(NotFound(text % facts), ENTRY_NOT_FOUND, headers=headers)
    is_expanded = is_on(request.GET, "expand")
    most = MAX_EXPANDED if is_expanded else MAX_PAGE
    limit, after = whole(request.GET, "limit", default=most, most=most), request.GET.get("cursor")
    found = [entry for entry in found if after is None or entry.path > after]
    page, has_more = found[:limit], len(found) > limit
    documents = _documents(snapshot, page, is_expanded=is_expanded)
    return answer(documents, headers=next_page(request, page[-1].path if has_more else ""))


def entries(snapshot: Snapshot, folder: str, *, is_deep: bool) -> list[Entry]:
    """Return files and folders below a folder, by path."""
    files = revisions.files_of([snapshot.revision])[snapshot.revision.pk]
    start = f"{folder}/" if folder else ""
    below = [file for file in files if file.path.startswith(start)]
    found = [Entry(file.path, [file], is_folder=False) for file in below]
    found += [
        Entry(path, inside, is_folder=True) for path, inside in _folders(below, len(start)).items()
    ]
    depth = start.count("/")
    if not is_deep:
        found = [entry for entry in found if entry.path.count("/") == depth]
    return sorted(found, key=lambda entry: entry.path)


def _folders(files: Iterable[File], begin: int) -> dict[str, list[File]]:
    """Return all folders of some files, each with the files below it.

    Args:
        begin: Length of the path of that folder.
    """
    found: dict[str, list[File]] = {}
    for file in files:
        end = file.path.find("/", begin)
        while end >= 0:
            found.setdefault(file.path[:end], []).append(file)
            end = file.path.find("/", end + 1)
    return found


def _documents(
    snapshot: Snapshot, rows: Sequence[Entry], *, is_expanded: bool
) -> list[dict[str, Any]]:
    documents = [row.document() for row in rows]
    if is_expanded:
        below = {file.path for row in rows for file in row.files}
        changes = revisions.last_changes(snapshot.revision, below)
        for row, document in zip(rows, documents, strict=True):
            last = max((changes[file.path] for file in row.files), key=lambda one: one.pk)
            title = last.message.partition("\n")[0]
            document["lastCommit"] = {
                "id": last.commit, "title": title, "date": shapes.instant(last.created_at),
            }  # fmt: skip
    return documents


@endpoint("POST", is_read=True)
def paths_info(request: HttpRequest, owner: str, name: str, ref: str) -> JsonResponse:
    """Return files and folders by their paths, without missing ones."""
    snapshot = snapshot_of(request, adapter_of(request, owner, name), ref)
    wanted, is_expanded = _paths_query(request)
    known = {entry.path: entry for entry in entries(snapshot, "", is_deep=True)}
    rows = [known[path] for path in dict.fromkeys(wanted) if path in known]
    return answer(_documents(snapshot, rows, is_expanded=is_expanded))


def _paths_query(request: HttpRequest) -> tuple[list[str], bool]:
    """Return paths, and whether to add last commits, from a form or JSON."""
    if request.content_type == "application/json":
        try:
            document = json.loads(request.body)
            paths = document["paths"]
            wanted = [paths] if isinstance(paths, str) else [str(path) for path in paths]
            is_expanded = document.get("expand") is True
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            raise Malformed(_("The body is not a JSON object with “paths”.")) from error
    else:
        wanted, is_expanded = request.POST.getlist("paths"), is_on(request.POST, "expand")
    if len(wanted) > MAX_PATHS:
        raise Invalid(_("Request at most %(n)d paths at once.") % {"n": MAX_PATHS}, fields={})
    return [path.strip("/") for path in wanted], is_expanded


#: Number of segments in ``{owner}/{name}/resolve``, before revision and path.
BEFORE_FILE = 3


@endpoint("GET")
def resolve(request: HttpRequest, owner: str, name: str, rest: str) -> HttpResponseBase:
    """Send a file of a revision or a range of it; counted when its last byte is sent."""
    adapter = adapter_of(request, owner, name)
    snapshot, path = split_ref_and_path(request, adapter, rest, before=BEFORE_FILE)
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
        facts = {"adapter": snapshot.adapter.full_name, "path": path[:255]}
        raise NotFound(text % {**facts, "ref": snapshot.requested[:96]})
    return found


def _send(request: HttpRequest, snapshot: Snapshot, file: File) -> HttpResponseBase:
    delivery.require_match(request, file.blob)
    version = revisions.counted_for(snapshot, file) if _is_counted(request, file) else None
    count = (
        partial(download_counts.count, version_id=version, is_primary=file.is_primary)
        if version
        else None
    )
    adapter, actor = snapshot.adapter, request.user
    is_private = not is_for_everybody(adapter.visibility, adapter.access, adapter.blocked_reason)
    response = delivery.deliver(
        request,
        file.blob,
        filename=file.path.rpartition("/")[2],
        is_private=is_private,
        on_sent=count,
    )
    if is_private and delivery.is_download(request, response, file.blob, actor):
        download_events.record(
            actor=actor,
            adapter=adapter,
            subject=snapshot.version.name if snapshot.version else snapshot.revision.commit[:12],
            path=file.path,
            sha256=file.blob.sha256,
        )
    return response


def _is_counted(request: HttpRequest, file: File) -> bool:
    return request.method == "GET" and file.is_primary
