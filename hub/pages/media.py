"""Pictures: rendered previews and covers drawn from weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.http import FileResponse, HttpResponse, HttpResponseNotModified
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from previews import cover as covers
from previews.models import Image
from registry import storage
from registry.errors import NotFound
from registry.models import Adapter, Version, Visibility
from registry.selectors import versions

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser
    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

    from registry.models import User

__all__ = ["cover", "image"]

YEAR_S = 31_536_000
DAY_S = 86_400


@require_safe
def image(request: HttpRequest, image_id: int) -> HttpResponseBase:
    """Send a preview's PNG to whoever may see its adapter; it never changes."""
    picture = _picture(request.user, image_id)
    etag = f'"{picture.blob.sha256}"'
    response: HttpResponseBase = HttpResponseNotModified()
    if request.headers.get("If-None-Match") != etag:
        handle = storage.store().open(picture.blob.sha256)
        response = FileResponse(handle, content_type="image/png")
    return _kept(response, picture.render.version.adapter, etag, f"max-age={YEAR_S}, immutable")


def _picture(user: User | AnonymousUser, image_id: int) -> Image:
    rows = Image.objects.select_related("blob", "render__version__adapter")
    visible = Adapter.objects.visible_to(user).values("pk")
    found = rows.filter(pk=image_id, render__version__adapter__in=visible).first()
    if found is None or not found.blob.is_stored:
        raise NotFound(_("There is no such picture."))
    return found


@require_safe
def cover(request: HttpRequest, version_id: int) -> HttpResponseBase:
    """Send the cover that is drawn from a version's own weights."""
    visible = Adapter.objects.visible_to(request.user).values("pk")
    rows = Version.objects.select_related("adapter__namespace", "revision")
    version = rows.filter(pk=version_id, adapter__in=visible).first()
    if version is None:
        raise NotFound(_("There is no such picture."))
    versions.get(request.user, version.adapter, version.name)
    etag = f'"{version.revision.commit}"'
    if request.headers.get("If-None-Match") == etag:
        return _kept(HttpResponseNotModified(), version.adapter, etag, f"max-age={DAY_S}")
    response = HttpResponse(covers.svg(version), content_type="image/svg+xml")
    return _kept(response, version.adapter, etag, f"max-age={DAY_S}")


def _kept(
    response: HttpResponseBase, adapter: Adapter, etag: str, lifetime: str
) -> HttpResponseBase:
    """Let anyone keep what everyone may see, and nobody else's machine what is private."""
    is_private = adapter.visibility == Visibility.PRIVATE
    response.headers["Cache-Control"] = "private, no-cache" if is_private else f"public, {lifetime}"
    response.headers["ETag"] = etag
    response.headers["Content-Security-Policy"] = "default-src 'none'; style-src 'unsafe-inline'"
    return response
