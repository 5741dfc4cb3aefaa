"""The request before a push: how to send each file, and whether to send it at all.

Files that would be refused because of their name, size or first 512 bytes are refused here, before
they are sent.
"""

from __future__ import annotations

import base64
import binascii
import io
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from django.conf import settings
from django.http import HttpRequest, JsonResponse
from django.utils.translation import gettext as _

from hub.protocols.huggingface.endpoint import answer, endpoint
from hub.protocols.huggingface.inputs import json_of, refuse_pull_request, text_of
from hub.protocols.huggingface.repos import shapes
from hub.protocols.huggingface.repos.refs import adapter_of, revision_of
from lorary.anatomy import Finding
from registry.accounts import permissions
from registry.blobs import selectors as blob_selectors
from registry.cards import fields
from registry.errors import Invalid, TooLarge, UploadRefused
from registry.models import Adapter, File, Revision
from registry.names import check_path
from registry.scan import checks, ignored_paths
from registry.uploads import check

#: Clients ask about 256 files at a time.
MAX_FILES = 1000
#: Number of first bytes that clients send.
SAMPLE_BYTES = 512


@endpoint("POST")
def preupload(request: HttpRequest, owner: str, name: str, ref: str) -> JsonResponse:
    """Return for each file how to send it, whether to skip it, and its current id."""
    refuse_pull_request(request)
    adapter = adapter_of(request, owner, name)
    permissions.require_adapter(request.user, adapter)
    current = _files_by_path(adapter, revision_of(adapter, ref))
    files = _files(json_of(request))
    _refuse_early([file for file in files if not _is_left_out(file)])
    return answer({"files": [_file_response(file, current) for file in files]})


def _files_by_path(adapter: Adapter, revision: Revision) -> dict[str, File]:
    """Return path → file of a revision, without withdrawn files."""
    withheld = blob_selectors.withheld_in(adapter)
    rows = revision.files.select_related("blob")
    return {row.path: row for row in rows if row.blob_id not in withheld and row.blob.is_stored}


def _files(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Return path, size and sample of each file.

    Raises:
        Invalid: the body is invalid.
    """
    listed = document.get("files")
    if not isinstance(listed, list) or len(listed) > MAX_FILES:
        raise Invalid(
            _("“files” must be a list of at most %(limit)d files.") % {"limit": MAX_FILES}
        )
    return [_file(row) for row in listed]


def _file(row: object) -> dict[str, Any]:
    if not isinstance(row, dict):
        raise Invalid(_("A file needs “path”, “size” and “sample”."))
    path, size = text_of(row, "path"), row.get("size")
    if type(size) is not int or not 0 <= size < 2**63:
        raise Invalid(_("The size of “%(path)s” must be a number of bytes.") % {"path": path[:255]})
    try:
        sample = base64.b64decode(text_of(row, "sample", ""), validate=True)[:SAMPLE_BYTES]
    except (binascii.Error, ValueError) as error:
        text = _("The sample of “%(path)s” is not base64.")
        raise Invalid(text % {"path": path[:255]}) from error
    return {"path": path, "size": size, "sample": sample}


def _file_response(file: dict[str, Any], current: dict[str, File]) -> dict[str, Any]:
    is_regular = shapes.is_regular(file["path"], file["size"])
    response = {
        "path": file["path"],
        "uploadMode": "regular" if is_regular else "lfs",
        "shouldIgnore": _is_left_out(file),
    }
    oid = _oid(current.get(file["path"]))
    return response if oid is None else {**response, "oid": oid}


def _is_left_out(file: dict[str, Any]) -> bool:
    """Whether to skip a file of a trainer or of git."""
    return ignored_paths.is_left_out(file["path"])


def _oid(file: File | None) -> str | None:
    """Return git's id of a file, by which clients skip unchanged files."""
    if file is None:
        return None
    if not shapes.is_regular(file.path, file.size_bytes):
        return file.sha256
    try:
        return shapes.git_oid(file.blob)
    except FileNotFoundError:
        return None


def _refuse_early(files: list[dict[str, Any]]) -> None:
    """Refuse files that no commit can have, with all findings at once."""
    limit = settings.LORARY.max_file_bytes
    found: list[Finding] = []
    for file in files:
        check_path(file["path"])
        if file["size"] > limit:
            text = _("“%(path)s” is too large: a file can have at most %(limit)d bytes.")
            raise TooLarge(text % {"path": file["path"], "limit": limit}, limit=limit)
        faults = _faults(file["path"], file["size"], file["sample"])
        found += [_named(one, file["path"]) for one in faults]
    if found:
        raise UploadRefused(check.headline(found), findings=found)


def _named(found: Finding, path: str) -> Finding:
    """Return a finding whose message names the file."""
    if path in found.message:
        return found
    return replace(found, message=f"“{path}”: {found.message}")


def _faults(path: str, size: int, sample: bytes) -> list[Finding]:
    """Return the reasons to refuse a file by its name and first bytes."""
    if ignored_paths.is_pickle(path):
        return [ignored_paths.pickle_pushed(path)]
    if not size and checks.is_weights(path):
        return [checks.empty_file()]
    if size and not sample:
        return []
    if checks.is_weights(path):
        found = list(checks.inspect_head(sample, name=path, size=size).findings)
    else:
        found = checks.run_quick(checks.Subject(path, size, io.BytesIO(sample)))
    is_whole = len(sample) >= size  # else the header may be longer than the sample
    return [
        one
        for one in found
        if one.severity == "error" and (is_whole or one.code != "file_truncated")
    ]


@endpoint("POST", is_read=True)
def validate(request: HttpRequest) -> JsonResponse:
    """Validate the front matter of a card: 400 if a push would be refused."""
    text = text_of(json_of(request), "content", "")
    try:
        warnings = fields.read(text).warnings
    except Invalid as error:
        return answer({"errors": _messages([error.detail]), "warnings": []}, status=400)
    return answer({"errors": [], "warnings": _messages(warnings)})


def _messages(texts: Iterable[object]) -> list[dict[str, str]]:
    return [{"message": str(text)} for text in texts]
