"""``/images``: previews that this hub rendered, without gallery images.

A post is a render. As there are no reactions, any sort but “Oldest” is newest first.
"""

from __future__ import annotations

from typing import Any

from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _

from hub.protocols.civitai import paging, shapes
from hub.protocols.civitai.endpoint import answer, endpoint, origin
from hub.protocols.civitai.files import main_of
from hub.protocols.civitai.query import MAX_NUMBER, QueryParameters
from hub.protocols.civitai.shapes import VersionBundle
from hub.protocols.civitai.vocabulary import (
    IMAGE_SORTS,
    LEVEL_NAMES,
    NAMES,
    name_of,
    of_base_models,
    ratings_in,
)
from previews.models import Image
from previews.pictures import showcase
from previews.pictures.showcase import RenderedImage
from registry.errors import CursorInvalid, Invalid
from registry.models import OUT_STATES, FileRole, VersionState
from registry.names import key_of
from registry.versions import by_id

MOST, USUAL = 200, 100

_VERSION = "render__version"
_ADAPTER = f"{_VERSION}__adapter"
#: Parameter → column; each is an id.
_IDS = {
    "imageId": "pk",
    "postId": "render",
    "modelId": _ADAPTER,
    "modelVersionId": _VERSION,
    "userId": f"{_ADAPTER}__namespace__user",
}
_REACTIONS = ("cry", "laugh", "like", "dislike", "heart", "comment")
_SAFE, _ALL = LEVEL_NAMES["None"], LEVEL_NAMES["X"]


@endpoint("GET", scope="search")
def images(request: HttpRequest) -> HttpResponse:
    """List previews."""
    parameters = QueryParameters(request)
    page = paging.paging_of(parameters, default=USUAL, most=MOST)
    is_oldest = IMAGE_SORTS[parameters.one_of("sort", IMAGE_SORTS, "Newest")]
    order = "oldest" if is_oldest else "newest"
    after = _after(page.cursor, order) if page.cursor else 0
    found, is_more = showcase.page(
        _rows(request, parameters), limit=page.limit, is_oldest=is_oldest, after=after,
        offset=page.offset,
    )  # fmt: skip
    following = paging.written(order, 0, found[-1].image.pk) if found else ""
    bundle = _bundle(found, origin(request))
    has_meta = parameters.flag("withMeta") is not False
    items = [_item(one, bundle, has_meta=has_meta) for one in found]
    return answer({"items": items, "metadata": page.metadata(request, following, is_more=is_more)})


def _after(cursor: str, order: str) -> int:
    value, last = paging.read(cursor, order)
    if value != 0:
        raise CursorInvalid(_("Start again from the first page."))
    return last


def _rows(request: HttpRequest, parameters: QueryParameters) -> QuerySet[Image]:
    """Return the visible previews that match the parameters.

    Raises:
        Invalid: a value is invalid.
    """
    ids = {column: value for name, column in _IDS.items() if (value := parameters.id(name))}
    states = OUT_STATES if {"pk", _VERSION} & ids.keys() else (VersionState.PUBLISHED,)
    adapters = by_id.adapters_for(request.user).filter(withdrawn_reason="")
    rows = showcase.pictures().filter(
        adapters.among(_ADAPTER), **{f"{_VERSION}__state__in": states}, **ids
    )
    if owner := parameters.text("username"):
        rows = rows.filter(**{f"{_ADAPTER}__namespace__key": key_of(owner)})
    if since := parameters.since():
        rows = rows.filter(created_at__gte=since)
    if names := parameters.several("baseModels", NAMES):
        columns = {"family": f"{_VERSION}__family", "lineage": f"{_VERSION}__lineage"}
        rows = rows.filter(of_base_models(names, **columns))
    if tags := parameters.ids("tags"):
        rows = rows.filter(pk__in=rows.filter(**{f"{_ADAPTER}__tags__in": tags}).values("pk"))
    kind = parameters.one_of("type", ("image", "video", "audio"), "")
    if kind == "audio":
        rows = rows.none()
    elif kind:
        is_video = Q(media_type__in=showcase.VIDEOS)
        rows = rows.filter(is_video if kind == "video" else ~is_video)
    return rows.filter(_level(parameters))


def _level(parameters: QueryParameters) -> Q:
    """Return the condition on the rating; ``browsingLevel`` takes precedence over ``nsfw``."""
    mask = parameters.whole("browsingLevel", 0, 0, MAX_NUMBER) or _mask(parameters.text("nsfw"))
    shown = ratings_in(mask)
    inherited = Q(**{"maturity": "", f"{_ADAPTER}__maturity__in": shown})
    return Q(maturity__in=shown) | inherited


def _mask(text: str) -> int:
    flags = {"": _ALL, "true": _ALL, "false": _SAFE}
    names = {name.casefold(): bits for name, bits in LEVEL_NAMES.items()}
    found = {**flags, **names}.get(text.casefold())
    if found is None:
        raise Invalid(_("“nsfw” must be true, false, None, Soft, Mature or X."))
    return found


def _bundle(found: list[RenderedImage], start: str) -> VersionBundle:
    rows = [one.image.render.version for one in found]
    there = [row for row in rows if row is not None]
    return VersionBundle(start, by_id.manifests_of(there, [FileRole.WEIGHTS]))


def _item(exhibit: RenderedImage, bundle: VersionBundle, *, has_meta: bool) -> dict[str, Any]:
    image, version = exhibit.image, exhibit.image.render.version
    if version is None:
        msg = "a preview belongs to a version"
        raise TypeError(msg)
    bit = shapes.level_of(version.adapter, image.maturity)
    level = next(name for name, bits in LEVEL_NAMES.items() if bits & bit)
    meta = shapes.meta(exhibit, version, main_of(bundle.files(version))) if has_meta else None
    return {
        "id": image.pk,
        "url": bundle.origin + exhibit.url,
        "hash": "",
        "width": image.width,
        "height": image.height,
        "type": shapes.type_of(exhibit),
        "nsfw": bit > 1,
        "nsfwLevel": level,
        "browsingLevel": bit,
        "createdAt": shapes.date(image.created_at),
        "postId": image.render_id,
        "username": version.adapter.owner,
        "baseModel": name_of(version.family, version.lineage),
        "modelVersionIds": [version.pk],
        "stats": {f"{name}Count": 0 for name in _REACTIONS},
        "meta": meta,
    }
