"""Files of rendered previews, and covers drawn from weights.

API responses contain the URLs of private pictures, so access tokens are accepted here, too.
"""

from __future__ import annotations

from typing import BinaryIO

from django.contrib.auth.models import AnonymousUser
from django.http import FileResponse, HttpRequest, HttpResponse, HttpResponseNotModified
from django.http.response import HttpResponseBase
from django.utils.http import content_disposition_header
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from hub.http.callers import bearer_secret
from hub.http.delivery import etag_of, matches
from hub.http.middleware import FOR_AN_HOUR, NO_STORE
from previews import cards
from previews.covers import drawing
from previews.models import Derivative, Image, Sheet, SheetKind
from previews.pictures.selectors import DIGITS
from previews.tryouts import selectors as tryouts
from registry import storage
from registry.accounts.permissions import require_scope
from registry.errors import Gone, NotFound
from registry.models import OUT_STATES, Adapter, Blob, User, Version, VersionState, Visibility
from registry.tokens import services as tokens
from registry.versions import selectors as version_selectors


@require_safe
def image(request: HttpRequest, image_id: int) -> HttpResponseBase:
    """Send a preview's PNG, if the viewer may see the version."""
    picture, is_open = _picture(viewer_of(request), image_id)
    return _sent(request, picture.blob, "image/png", is_open=is_open)


@require_safe
def animation(request: HttpRequest, image_id: int) -> HttpResponseBase:
    """Send the animation of a video, whose PNG is a contact sheet."""
    picture, is_open = _picture(viewer_of(request), image_id)
    if picture.animation is None:
        raise NotFound(_("There is no such picture."))
    return _sent(request, picture.animation, "image/webp", is_open=is_open)


@require_safe
def smaller(
    request: HttpRequest, image_id: int, digest: str, width: int, kind: str
) -> HttpResponseBase:
    """Send a smaller format of a preview; 404 if the digest differs."""
    picture, is_open = _picture(viewer_of(request), image_id)
    forms = Derivative.objects.select_related("blob").filter(source=picture.blob_id)
    form = forms.filter(kind=kind, width=width).first()
    if form is None or form.blob.sha256[:DIGITS] != digest:
        raise NotFound(_("There is no such picture."))
    return _sent(request, form.blob, f"image/{form.kind}", is_open=is_open)


@require_safe
def sheet(request: HttpRequest, render_id: int) -> HttpResponseBase:
    """Send the contact sheet of a render."""
    rows = Sheet.objects.select_related("blob", "render__version__adapter__namespace")
    found = rows.filter(render=render_id, kind=SheetKind.PNG).first()
    if found is None or found.render.version_id is None:
        raise NotFound(_("There is no such contact sheet."))
    version = _shown(viewer_of(request), found.render.version_id)
    is_open = is_public(version)
    response = _sent(request, found.blob, "image/png", is_open=is_open)
    name = f"{version.adapter.name}-{version.name}.png"
    disposition = content_disposition_header(as_attachment=False, filename=name)
    response.headers["Content-Disposition"] = disposition or "inline"
    return response


@require_safe
def cover(request: HttpRequest, version_id: int) -> HttpResponseBase:
    """Send the cover that is drawn from a version's weights."""
    version = _shown(viewer_of(request), version_id)
    etag = f'"{drawing.FORM}-{version.revision.commit}"'
    is_open = is_public(version)
    if _is_known(request, etag):
        return with_caching(HttpResponseNotModified(), etag, is_open=is_open)
    return with_caching(
        HttpResponse(drawing.svg(version), content_type="image/svg+xml"), etag, is_open=is_open
    )


@require_safe
def card(request: HttpRequest, version_id: int) -> HttpResponseBase:
    """Send the preview image for links to a version on other sites."""
    version = _shown(viewer_of(request), version_id)
    drawn = cards.of(version)
    is_open = is_public(version)
    if _is_known(request, drawn.etag):
        return with_caching(HttpResponseNotModified(), drawn.etag, is_open=is_open)
    return with_caching(
        HttpResponse(drawn.png(), content_type="image/png"), drawn.etag, is_open=is_open
    )


def _sent(
    request: HttpRequest, blob: Blob, content_type: str, *, is_open: bool
) -> HttpResponseBase:
    """Send stored bytes, or 304."""
    etag = etag_of(blob)
    if not blob.is_stored:
        raise Gone(_("The bytes of this picture were removed."))
    if _is_known(request, etag):
        return with_caching(HttpResponseNotModified(), etag, is_open=is_open)
    return with_caching(FileResponse(_open(blob), content_type=content_type), etag, is_open=is_open)


def viewer_of(request: HttpRequest) -> User | AnonymousUser:
    """Return the viewer: the token's user, else the session's.

    Raises:
        Unauthenticated: the token is invalid, expired or revoked.
        ScopeMissing: the token may not read.
    """
    secret = bearer_secret(request)
    if secret is None:
        return request.user
    return require_scope(tokens.authenticate(secret=secret).user, "read")


def _picture(viewer: User | AnonymousUser, image_id: int) -> tuple[Image, bool]:
    """Return a picture that the viewer may see, and whether it is public."""
    rows = Image.objects.select_related("blob", "animation", "render__tryout")
    picture = rows.filter(pk=image_id).first()
    if picture is None:
        raise NotFound(_("There is no such picture."))
    version_id = picture.render.version_id
    if version_id is None:
        tryouts.require_visible(viewer, picture.render.tryout)
    is_open = version_id is not None and is_public(_shown(viewer, version_id))
    return picture, is_open


def _shown(viewer: User | AnonymousUser, version_id: int) -> Version:
    """Return the version if the viewer may see it; drafts are only visible to their owner.

    Raises:
        NotFound: it does not exist, or the viewer may not see it.
        Gone: it was withdrawn, with its pictures.
    """
    version = (
        Version.objects.select_related("adapter__namespace", "revision")
        .filter(pk=version_id)
        .first()
    )
    if version is not None and is_public(version):
        return version  # without reading the session, so that responses do not vary by cookie
    visible = Adapter.objects.visible_to(viewer)
    if version is None or not visible.filter(pk=version.adapter_id).exists():
        raise NotFound(_("There is no such picture."))
    version_selectors.get(viewer, version.adapter, version.name)
    if version.state == VersionState.WITHDRAWN:
        raise Gone(_("The pictures of this version were withdrawn with it."))
    return version


def _is_known(request: HttpRequest, etag: str) -> bool:
    return matches(request.headers.get("If-None-Match", ""), etag, is_weak=True)


def _open(blob: Blob) -> BinaryIO:
    try:
        return storage.store().open(blob.sha256)
    except FileNotFoundError as error:
        raise Gone(_("The bytes of this picture were removed.")) from error


def with_caching(response: HttpResponseBase, etag: str, *, is_open: bool) -> HttpResponseBase:
    """Let caches store public responses for an hour, and no others."""
    response.headers["Cache-Control"] = FOR_AN_HOUR if is_open else NO_STORE
    response.headers["ETag"] = etag
    response.headers["Content-Security-Policy"] = "default-src 'none'; style-src 'unsafe-inline'"
    return response


def is_public(version: Version) -> bool:
    """Whether a version is published and its adapter public."""
    adapter = version.adapter
    is_out = version.state in OUT_STATES
    return is_out and adapter.visibility == Visibility.PUBLIC and not adapter.blocked_reason
