"""Folders of a revision: what lies in them, since when, page by page.

Git names folders by their content. A manifest knows paths only, so the name of a folder is a digest
of the names below it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext as _

from hub.http.errors import Malformed
from hub.protocols.huggingface.door import answer, door
from hub.protocols.huggingface.inputs import is_on, next_page, whole
from hub.protocols.huggingface.refusals import ENTRY_NOT_FOUND, Refused
from hub.protocols.huggingface.repos import shapes
from hub.protocols.huggingface.repos.refs import adapter_of, parted, snapshot_of
from registry.errors import Invalid, NotFound
from registry.versions import revisions

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from django.http import HttpRequest, JsonResponse

    from registry.models import File
    from registry.versions.revisions import Snapshot

__all__ = ["paths_info", "tree"]

#: Entries of a page, without and with their last changes; paths of one question.
MAX_PAGE, MAX_EXPANDED, MAX_PATHS = 1000, 100, 1000
#: Segments of ``api/models/{owner}/{name}/tree`` before revision and folder.
BEFORE = 5


@dataclass(frozen=True, slots=True)
class Entry:
    """A file, or a folder with the files somewhere below it."""

    path: str
    files: Sequence[File]
    is_folder: bool

    def document(self) -> dict[str, Any]:
        """Return the entry in the Hub's shape."""
        if not self.is_folder:
            return shapes.entry(self.files[0])
        lines = "\n".join(f"{file.path} {file.sha256}" for file in self.files)
        name = hashlib.sha1(lines.encode(), usedforsecurity=False).hexdigest()
        return {"type": "directory", "oid": name, "size": 0, "path": self.path}


@door("GET")
def tree(request: HttpRequest, owner: str, name: str, rest: str) -> JsonResponse:
    """Return what lies in a folder of a revision, or with ``recursive`` anywhere below it.

    Raises:
        Refused: there is no such folder.
    """
    adapter = adapter_of(request, owner, name)
    snapshot, folder = parted(request, adapter, rest, before=BEFORE)
    found = entries(snapshot, folder.strip("/"), is_deep=is_on(request.GET, "recursive"))
    if folder and not found:
        text = _("“%(adapter)s” has no folder “%(path)s” at %(ref)s.")
        said = {"adapter": adapter.full_name, "path": folder[:255], "ref": snapshot.asked[:96]}
        headers = {"X-Repo-Commit": snapshot.revision.commit}
        raise Refused(NotFound(text % said), ENTRY_NOT_FOUND, headers=headers)
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
    """Return every folder on the way to some files with those below it.

    Args:
        files: Of one folder.
        begin: Where in their paths the part below that folder begins.
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


@door("POST", is_read=True)
def paths_info(request: HttpRequest, owner: str, name: str, ref: str) -> JsonResponse:
    """Return files and folders by their paths; what is not there is left out."""
    snapshot = snapshot_of(request, adapter_of(request, owner, name), ref)
    wanted, is_expanded = _asked(request)
    known = {entry.path: entry for entry in entries(snapshot, "", is_deep=True)}
    rows = [known[path] for path in dict.fromkeys(wanted) if path in known]
    return answer(_documents(snapshot, rows, is_expanded=is_expanded))


def _asked(request: HttpRequest) -> tuple[list[str], bool]:
    """Return paths and whether their last changes are wanted, from a form or JSON.

    Raises:
        Malformed: it is neither.
        Invalid: too many paths.
    """
    if request.content_type == "application/json":
        try:
            said = json.loads(request.body)
            paths = said["paths"]
            wanted = [paths] if isinstance(paths, str) else [str(path) for path in paths]
            is_expanded = said.get("expand") is True
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            raise Malformed(_("The body is no JSON object with “paths”.")) from error
    else:
        wanted, is_expanded = request.POST.getlist("paths"), is_on(request.POST, "expand")
    if len(wanted) > MAX_PATHS:
        raise Invalid(_("Ask for at most %(n)d paths at once.") % {"n": MAX_PATHS}, fields={})
    return [path.strip("/") for path in wanted], is_expanded
