"""Refusals for uploads that have ended, and deletion of their bytes.

Cancelling takes no lock: the state changes and the bytes are deleted at once. A request that is
writing reads the state again after each part, and deletes what it wrote too late.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.utils.formats import date_format
from django.utils.translation import gettext as _

from registry import storage
from registry.errors import StateConflict, UploadIncomplete
from registry.models import Upload, UploadState

#: States of uploads whose bytes were deleted, or never belonged to a blob.
OVER_STATES = (UploadState.CANCELLED, UploadState.EXPIRED, UploadState.REFUSED)


def closed(upload: Upload) -> StateConflict:
    """Return the refusal of bytes for an ended upload; ``facts["state"]`` is for programs."""
    return StateConflict(sentence(upload), state=upload.state_now)


def sentence(upload: Upload) -> str:
    """Return a sentence that says how an upload ended, and what to do."""
    state = upload.state_now
    if state == UploadState.EXPIRED and upload.blob_id is not None:
        return _("It was not published in time, and its data was deleted. Start a new upload.")
    if state == UploadState.EXPIRED:
        text = _("This upload was not finished by %(day)s, and its data was deleted.")
        return f"{text % {'day': date_format(upload.expires_at, 'j M Y')}} {_('Start a new one.')}"
    if state == UploadState.CANCELLED:
        return _("This upload was cancelled, and its data was deleted. Start a new one.")
    if state == UploadState.REFUSED:
        return _("This file was refused; its findings give the reasons. Upload a corrected file.")
    text = _("This upload accepts no more bytes: it is complete, and its state is %(state)s.")
    return text % {"state": state}


@contextmanager
def writing(upload: Upload) -> Iterator[None]:
    """Delete what the block writes if the upload ends meanwhile.

    Raises:
        StateConflict: it ended, whether the block succeeded or not.
    """
    try:
        yield
    finally:
        require_not_over(upload)


@contextmanager
def explaining(upload: Upload) -> Iterator[None]:
    """Replace the block's error about missing bytes if they are missing because the upload ended.

    Raises:
        StateConflict: it ended.
    """
    try:
        yield
    except (FileNotFoundError, UploadIncomplete):
        require_not_over(upload)
        raise


def require_not_over(upload: Upload) -> None:
    """Refuse an ended upload, and delete its bytes. Raises StateConflict: it ended."""
    upload.refresh_from_db(fields=["state"])
    if upload.state in OVER_STATES:
        discard(upload)
        raise closed(upload)


def discard(upload: Upload) -> None:
    """Delete the parts and bytes of an ended upload."""
    upload.parts.all().delete()
    storage.discard(upload.storage_key)
