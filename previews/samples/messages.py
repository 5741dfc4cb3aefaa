"""Why a picture that somebody brought is not taken, in the reader's words, with what to do.

``previews.sample_files`` knows no Django and tells slugs; this is where they become sentences.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from previews.sample_files.formats import Why

if TYPE_CHECKING:
    from previews.sample_files.formats import Refused

__all__ = ["cannot_be_read", "reason"]

_TEXTS = {
    Why.KIND: gettext_lazy(
        "This is of another kind: %(what)s. Send a PNG, JPEG or WebP, or an MP4 or WebM video."
    ),
    Why.UNKNOWN: gettext_lazy(
        "This is no picture that is known here. Send a PNG, JPEG or WebP, or an MP4 or WebM video."
    ),
    Why.SIZE: gettext_lazy("The file has more than %(limit_mib)d MiB. Send a smaller one."),
    Why.PIXELS: gettext_lazy(
        "It has %(width)d × %(height)d pixels, and at most %(megapixels)d million are taken. "
        "Make it smaller and send it again."
    ),
    Why.CUT: gettext_lazy("The file is cut short. Send it again from the original."),
    Why.TRAILING: gettext_lazy(
        "Something else follows the picture in the file. Export the picture again, without it."
    ),
    Why.DAMAGED: gettext_lazy("The file is damaged and cannot be decoded. Export it again."),
    Why.TEXTS: gettext_lazy(
        "Its metadata unpack to far more than they are. Export the picture again, without them."
    ),
    Why.LENGTH: gettext_lazy(
        "It lasts %(seconds)d seconds, and at most %(limit_s)d are taken. Send a shorter piece."
    ),
    Why.FRAMES: gettext_lazy("It has more than %(limit)d frames. Send a shorter piece."),
    Why.BLANK: gettext_lazy("There is nothing to be seen in this video. Send one with pictures."),
    Why.CODEC: gettext_lazy(
        "Its pictures are encoded as “%(codec)s”, which is not decoded here. Send H.264, H.265, "
        "VP8, VP9 or AV1."
    ),
    Why.SLOW: gettext_lazy("Decoding it takes too long. Make it smaller and send it again."),
    Why.HEAVY: gettext_lazy("Decoding it takes too much memory. Make it smaller."),
}
_TRAILING_NAMED = gettext_lazy(
    "Something else follows the picture in the file: %(what)s. Export the picture again, without "
    "it."
)


def reason(refusal: Refused) -> str:
    """Return the sentence for a refusal."""
    text = _TEXTS[refusal.why]
    if refusal.why == Why.TRAILING and refusal.facts.get("what"):
        text = _TRAILING_NAMED
    return str(text) % refusal.facts


def cannot_be_read() -> str:
    """Return the sentence for a picture that the worker gave up."""
    return _("It could not be read. Send it again; if it happens again, tell an administrator.")
