"""What the publish page shows about an uploaded file, from its stored checks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hub.pages.adapters.tabs import Remark, remarks_of
from hub.pages.adapters.version_forms import VersionForm
from hub.pages.publishing.header_preview import Reading, Word, of_document
from registry.blobs import selectors as blob_selectors
from registry.errors import LoraryError
from registry.models import Upload, UploadState, User
from registry.uploads import selectors as upload_selectors

#: States in which the checks have ended.
DECIDED = {UploadState.ACCEPTED, UploadState.REFUSED}


def of_upload(upload: Upload) -> Reading | None:
    """Return the reading of accepted weights; None for other files."""
    return of_uploads([upload]) if blob_selectors.document_of(upload.blob) else None


def of_uploads(sent: Sequence[Upload], *, is_all: bool = True) -> Reading:
    """Return the reading of the files of a version; the first weights are its main file.

    Args:
        is_all: Whether the version has no further files.
    """
    main = next((one for one in sent if blob_selectors.document_of(one.blob)), sent[0])
    remarks = [remark for one in sent for remark in _remarks(one, is_main=one is main)]
    document = blob_selectors.document_of(main.blob)
    reading = of_document(main.path, remarks, document) if document else Reading(main.path, remarks)
    is_decided = all(one.state in DECIDED for one in sent)
    return replace(reading, upload=main, is_checked=is_decided and is_all)


def _remarks(upload: Upload, *, is_main: bool) -> list[Remark]:
    """Return the remarks; those about other files than the main one begin with the path."""
    remarks = remarks_of(upload.findings.all())
    if is_main:
        return remarks
    return [replace(one, message=f"{upload.path}: {one.message}") for one in remarks]


def of_form(user: User, form: VersionForm) -> Reading:
    """Return the reading of a submitted form: trigger words, and findings of its uploads."""
    words = [Word(text, "", is_taken=True) for text in form.words]
    try:
        sent = upload_selectors.many(user, form.uploads)
    except LoraryError:
        sent = []
    return replace(of_uploads(sent), words=words) if sent else Reading("", words=words)
