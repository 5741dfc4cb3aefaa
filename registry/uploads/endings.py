"""Why an upload takes nothing more, and what to do then.

Who cancels an upload waits for nobody: it is over at once, and what is there is discarded. Whoever
is just writing looks again after each part, and takes back what came too late.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from django.utils.formats import date_format
from django.utils.translation import gettext as _

from registry import storage
from registry.errors import StateConflict, UploadIncomplete
from registry.models import UploadState

if TYPE_CHECKING:
    from collections.abc import Iterator

    from registry.models import Upload

#: States of uploads whose bytes are gone, or never became any blob's.
OVER_STATES = (UploadState.CANCELLED, UploadState.EXPIRED, UploadState.REFUSED)


def closed(upload: Upload) -> StateConflict:
    """Return the refusal of bytes that come after the end; ``facts["state"]`` tells programs."""
    return StateConflict(sentence(upload), state=upload.state_now)


def sentence(upload: Upload) -> str:
    """Return what became of an upload that is no longer open, and what to do."""
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
    text = _("This upload takes no more bytes: all of it is here, and it is %(state)s.")
    return text % {"state": state}


@contextmanager
def writing(upload: Upload) -> Iterator[None]:
    """Take back what the block writes for an upload that ends meanwhile, and say so.

    Raises:
        StateConflict: it was ended, whatever else went wrong.
    """
    try:
        yield
    finally:
        require_not_over(upload)


@contextmanager
def explaining(upload: Upload) -> Iterator[None]:
    """Say that an upload was ended where the block misses its bytes.

    Raises:
        StateConflict: it was.
    """
    try:
        yield
    except (FileNotFoundError, UploadIncomplete):
        require_not_over(upload)
        raise


def require_not_over(upload: Upload) -> None:
    """Refuse to go on with an upload that was ended, and discard what it has.

    Raises:
        StateConflict: it was.
    """
    upload.refresh_from_db(fields=["state"])
    if upload.state in OVER_STATES:
        discard(upload)
        raise closed(upload)


def discard(upload: Upload) -> None:
    """Remove what an upload has that is over, and the rows that say it is safe."""
    upload.parts.all().delete()
    storage.discard(upload.storage_key)
