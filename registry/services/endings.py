"""Why an upload takes nothing more, and what to do then."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.utils.formats import date_format
from django.utils.translation import gettext as _

from registry.errors import StateConflict
from registry.models import UploadState

if TYPE_CHECKING:
    from registry.models import Upload

__all__ = ["closed", "sentence"]


def closed(upload: Upload) -> StateConflict:
    """Return the refusal of bytes that come after the end; ``facts["state"]`` tells programs."""
    return StateConflict(sentence(upload), state=upload.state_now)


def sentence(upload: Upload) -> str:
    """Return what became of an upload that is no longer open, and what to do."""
    state = upload.state_now
    if state == UploadState.EXPIRED:
        text = _("This upload was not finished by %(day)s, and what had arrived is gone.")
        return f"{text % {'day': date_format(upload.expires_at, 'j M Y')}} {_('Begin a new one.')}"
    if state == UploadState.CANCELLED:
        return _("This upload was cancelled, and what had arrived is gone. Begin a new one.")
    if state == UploadState.REFUSED:
        return _("This file was refused; its findings say why. Begin a new upload of a better one.")
    text = _("This upload takes no more bytes: all of it is here, and it is %(state)s.")
    return text % {"state": state}
