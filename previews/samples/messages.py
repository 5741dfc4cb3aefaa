"""Translatable messages for refusals of ``previews.sample_files``, which does not import Django."""

from __future__ import annotations

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from previews.sample_files.formats import Refused, Why

_TEXTS = {
    Why.KIND: gettext_lazy(
        "Files of type %(what)s are not accepted. Use PNG, JPEG, WebP, MP4 or WebM."
    ),
    Why.UNKNOWN: gettext_lazy(
        "The type of this file is unknown. Use PNG, JPEG, WebP, MP4 or WebM."
    ),
    Why.SIZE: gettext_lazy("The file is larger than %(limit_mib)d MiB. Use a smaller one."),
    Why.PIXELS: gettext_lazy(
        "The picture has %(width)d × %(height)d pixels; the limit is %(megapixels)d million. Make "
        "it smaller and upload it again."
    ),
    Why.CUT: gettext_lazy("The file is incomplete. Upload the original again."),
    Why.TRAILING: gettext_lazy(
        "The file contains other data after the picture. Export the picture again."
    ),
    Why.DAMAGED: gettext_lazy("The file is damaged and cannot be decoded. Export it again."),
    Why.TEXTS: gettext_lazy(
        "Its compressed metadata is too large. Export the picture again without metadata."
    ),
    Why.LENGTH: gettext_lazy(
        "The video is %(seconds)d seconds long; the limit is %(limit_s)d. Use a shorter one."
    ),
    Why.FRAMES: gettext_lazy("The video has more than %(limit)d frames. Use a shorter one."),
    Why.BLANK: gettext_lazy("The file has no video track, or an empty one."),
    Why.CODEC: gettext_lazy(
        "The codec “%(codec)s” is not supported. Use H.264, H.265, VP8, VP9 or AV1."
    ),
    Why.SLOW: gettext_lazy(
        "Decoding the file takes too long. Make it smaller and upload it again."
    ),
    Why.HEAVY: gettext_lazy("Decoding the file takes too much memory. Make it smaller."),
}
_TRAILING_NAMED = gettext_lazy(
    "The file contains other data after the picture: %(what)s. Export the picture again."
)


def reason(refusal: Refused) -> str:
    """Return the message for a refusal."""
    text = _TEXTS[refusal.why]
    if refusal.why == Why.TRAILING and refusal.facts.get("what"):
        text = _TRAILING_NAMED
    return str(text) % refusal.facts


def cannot_be_read() -> str:
    """Return the message for a file that the worker could not read."""
    return _(
        "The file could not be read. Upload it again. If this happens again, tell an administrator."
    )
