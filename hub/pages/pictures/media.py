"""Files of rendered previews, and covers drawn from weights.

API responses contain the URLs of private pictures, so access tokens are accepted here as well.
"""

from __future__ import annotations

from django.contrib.auth.models import AnonymousUser
from django.http import (
    FileResponse,
    HttpRequest,
    HttpResponse,
    HttpResponseNotModified,
    HttpResponseRedirect,
)
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from hub.http.callers import bearer_secret
from hub.http.delivery import Stored, content_disposition, deliver, etag_of, is_known
from hub.http.middleware import FOR_A_YEAR, FOR_AN_HOUR, NO_STORE
from previews import cards
from previews.covers import drawing
from previews.derived import Unreadable, offered
from previews.models import Image, Render, RenderKind, ReportPicture, Sheet, SheetKind
from previews.packs import selectors as packs
from previews.pictures import selectors, thumbnails
from previews.pictures.selectors import DIGITS
from previews.tryouts import selectors as tryouts
from registry.accounts.permissions import require_scope
from registry.errors import Gone, NotFound
from registry.models import OUT_STATES, Adapter, User, Version, VersionState, Visibility
from registry.tokens import services as tokens
from registry.versions import selectors as version_selectors


@require_safe
def image(request: HttpRequest, image_id: int) -> HttpResponseBase:
    """Send a preview's PNG, if the viewer may see the version."""
    blob: Stored | None = None
    if bearer_secret(request) is None:  # a token has to be checked first
        blob = selectors.public_picture(image_id)
    if blob is not None:
        return send_picture(request, blob, "image/png", is_open=True)
    picture, is_open = _picture(request, image_id)
    return send_picture(request, picture.blob, "image/png", is_open=is_open)


@require_safe
def film(request: HttpRequest, film_id: int) -> HttpResponseBase:
    """Send a video, whose PNG is its first frame."""
    return _film(request, film_id, "mp4")


@require_safe
def animation(request: HttpRequest, image_id: int) -> HttpResponseBase:
    """Send a video that an older release made; its PNG is a grid of its frames."""
    return _film(request, image_id, "webp")


def _film(request: HttpRequest, image_id: int, kind: str) -> HttpResponseBase:
    """Send the video of a picture. Raises NotFound: it has none of this kind."""
    found: tuple[Stored | None, str] | None = None
    is_open = True
    if bearer_secret(request) is None:  # a token has to be checked first
        found = selectors.public_film(image_id)
    if found is None:
        picture, is_open = _picture(request, image_id)
        found = picture.animation, picture.media_type
    blob, media_type = found
    if blob is None or selectors.FILMS.get(media_type) != kind:
        raise NotFound(_("There is no such picture."))
    return send_picture(request, blob, media_type, is_open=is_open)


@require_safe
def thumbnail(
    request: HttpRequest, image_id: int, digest: str, width: int, kind: str
) -> HttpResponseBase:
    """Send a thumbnail of a preview; 404 if the digest is not that of the picture."""
    found: tuple[Stored, int] | None = None
    if bearer_secret(request) is None:  # a token has to be checked first
        found = selectors.public_picture_and_width(image_id)
    is_open = found is not None
    if found is None:
        picture, is_open = _picture(request, image_id)
        found = picture.blob, picture.width
    blob, own_width = found
    if digest != blob.sha256[:DIGITS] or (kind, width) not in offered(own_width):
        raise NotFound(_("There is no such picture."))
    whole = reverse("image", args=[image_id])
    if key := request.GET.get("key"):
        whole = f"{whole}?{urlencode({'key': key})}"
    return send_thumbnail(request, blob, (kind, width), whole, is_open=is_open)


def send_thumbnail(
    request: HttpRequest, source: Stored, form: tuple[str, int], whole: str, *, is_open: bool
) -> HttpResponseBase:
    """Respond with a thumbnail; redirect to the picture while others are being encoded.

    Args:
        source: The picture.
        form: Format and width of the thumbnail.
        whole: Path of the picture, with its query.
        is_open: Whether caches may store it.

    Raises:
        Gone: the bytes of the picture were deleted.
    """
    if not source.is_stored:
        raise Gone(_("The bytes of this picture were removed."))
    kind, width = form
    etag = f'"{source.sha256}-{width}.{kind}"'
    if is_known(request, etag, is_open=is_open):
        response: HttpResponseBase = HttpResponseNotModified()
    else:
        try:
            file = thumbnails.open_thumbnail(source.sha256, kind=kind, width=width)
        except (thumbnails.Busy, Unreadable):
            return HttpResponseRedirect(whole, headers={"Cache-Control": NO_STORE})
        except FileNotFoundError as error:
            raise Gone(_("The bytes of this picture were removed.")) from error
        response = FileResponse(file, content_type=f"image/{kind}")
    with_caching(response, etag, is_open=is_open)
    if is_open:
        response.headers["Cache-Control"] = FOR_A_YEAR  # the URL names the picture
    return response


@require_safe
def sheet(request: HttpRequest, render_id: int) -> HttpResponseBase:
    """Send the contact sheet of a render."""
    found, is_open = _sheet(request, render_id)
    response = send_picture(request, found.blob, "image/png", is_open=is_open)
    response.headers["Content-Disposition"] = content_disposition(
        f"{_stem(found.render)}.png", kind="inline"
    )
    return response


@require_safe
def sheet_thumbnail(
    request: HttpRequest, render_id: int, digest: str, width: int, kind: str
) -> HttpResponseBase:
    """Send a thumbnail of a contact sheet; 404 if the digest is not that of the sheet."""
    found, is_open = _sheet(request, render_id)
    if digest != found.blob.sha256[:DIGITS] or (kind, width) not in offered(found.width):
        raise NotFound(_("There is no such picture."))
    whole = reverse("sheet", args=[render_id])
    return send_thumbnail(request, found.blob, (kind, width), whole, is_open=is_open)


def _sheet(request: HttpRequest, render_id: int) -> tuple[Sheet, bool]:
    """Return a contact sheet that the viewer may see, and whether it is public."""
    rows = Sheet.objects.select_related(
        "blob", "render__version__adapter__namespace", "render__pack_version__pack"
    )
    found = rows.filter(render=render_id, kind=SheetKind.PNG).first()
    if found is None:
        raise NotFound(_("There is no such contact sheet."))
    if found.render.version_id is None:
        return found, packs.require_visible(viewer_of(request), render_id)
    return found, is_public(_shown(viewer_of(request), found.render.version_id))


def _stem(render: Render) -> str:
    """Return the name of the file of a sheet, without its ending."""
    if render.pack_version is not None:
        return f"{render.pack_version.pack.name}-{render.pack_version.name}-{render.variant}"
    version = render.version
    return f"{version.adapter.name}-{version.name}" if version is not None else "sheet"


@require_safe
def report_picture(request: HttpRequest, picture_id: int) -> HttpResponseBase:
    """Send a picture of a look report."""
    rows = ReportPicture.objects.select_related("blob", "report")
    found = rows.filter(pk=picture_id).first()
    if found is None or found.report.version_id is None:  # reports of packs have no own pictures
        raise NotFound(_("There is no such picture."))
    version = _shown(viewer_of(request), found.report.version_id)
    return send_picture(request, found.blob, "image/png", is_open=is_public(version))


@require_safe
def cover(request: HttpRequest, version_id: int) -> HttpResponseBase:
    """Send the cover that is drawn from a version's weights."""
    version = _shown(viewer_of(request), version_id)
    form = f"{drawing.FORM}{'e' if drawing.shows_energy(version) else ''}"
    etag = f'W/"{form}-{version.revision.commit}"'  # weak, as compression may vary
    is_open = is_public(version)
    if is_known(request, etag.removeprefix("W/"), is_open=is_open):
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
    if is_known(request, drawn.etag, is_open=is_open):
        return with_caching(HttpResponseNotModified(), drawn.etag, is_open=is_open)
    return with_caching(
        HttpResponse(drawn.png(), content_type="image/png"), drawn.etag, is_open=is_open
    )


def send_picture(
    request: HttpRequest, blob: Stored, content_type: str, *, is_open: bool
) -> HttpResponseBase:
    """Respond with a stored picture or video that pages show.

    Args:
        is_open: Whether caches may store it.

    Raises:
        Gone: the bytes were removed.
    """
    try:
        response = deliver(
            request, blob, filename=None, content_type=content_type, is_private=not is_open
        )
    except Gone as error:
        raise Gone(_("The bytes of this picture were removed.")) from error
    return with_caching(response, etag_of(blob), is_open=is_open)


def viewer_of(request: HttpRequest) -> User | AnonymousUser:
    """Return the viewer: the token's user, or the session's.

    Raises:
        Unauthenticated: the token is invalid, expired or revoked.
        ScopeMissing: the token may not read.
    """
    secret = bearer_secret(request)
    if secret is None:
        return request.user
    return require_scope(tokens.authenticate(secret=secret).user, "read")


def _picture(request: HttpRequest, image_id: int) -> tuple[Image, bool]:
    """Return a picture that the viewer may see, and whether it is public."""
    viewer = viewer_of(request)
    rows = Image.objects.select_related("blob", "animation", "render__tryout")
    picture = rows.filter(pk=image_id).first()
    if picture is None:
        raise NotFound(_("There is no such picture."))
    render = picture.render
    if render.version_id is not None:
        return picture, is_public(_shown(viewer, render.version_id))
    if render.kind == RenderKind.PACK:
        return picture, packs.require_visible(viewer, render.pk)
    tryouts.require_visible(viewer, render.tryout, key=request.GET.get("key", ""))
    return picture, False


def _shown(viewer: User | AnonymousUser, version_id: int) -> Version:
    """Return the version if the viewer can see it; drafts are only visible to their owner."""
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
