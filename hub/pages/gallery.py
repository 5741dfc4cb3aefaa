"""Pictures that people brought: their bytes, and the owner's side of the gallery."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from hub.delivery import deliver
from hub.pages.media import FOR_AN_HOUR, is_for_everyone, kept, viewer_of
from previews.models import SampleKind
from previews.selectors import samples
from registry.errors import NotFound

if TYPE_CHECKING:
    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

    from previews.models import Sample
    from registry.models import Blob

__all__ = ["media"]

TYPES = {"webp": "image/webp", "mp4": "video/mp4"}


@require_safe
def media(request: HttpRequest, sample_id: int, suffix: str) -> HttpResponseBase:
    """Send a picture, a video or its poster to whoever may see its version."""
    sample = samples.get(viewer_of(request), sample_id)
    blob = _blob(sample, suffix)
    is_open = is_for_everyone(sample.version)
    name = f"{sample.version.adapter.name}-{sample.pk}.{suffix}"
    sent = deliver(
        request, blob, filename=name, content_type=TYPES[suffix], is_private=not is_open
    ).response
    sent.headers["Content-Disposition"] = "inline"
    return kept(sent, sent.headers["ETag"], FOR_AN_HOUR if is_open else "")


def _blob(sample: Sample, suffix: str) -> Blob:
    """Return the bytes of an address: of a video ``mp4`` is itself and ``webp`` its poster."""
    film, picture = None, sample.blob
    if sample.kind == SampleKind.VIDEO:
        film, picture = sample.blob, sample.poster
    found = {"mp4": film, "webp": picture}.get(suffix)
    if found is None:
        raise NotFound(_("There is no such picture."))
    return found
