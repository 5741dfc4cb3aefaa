"""What the search on ComfyUI's page asks: adapters and packs of the hub, with pictures.

```
GET /lorary/search?what=adapters|packs&q=WORDS&rating=general   {"results": [FOUND], "error": ""}
GET /lorary/picture?what=adapters|packs&name=owner/name         the cover
GET /lorary/strength?name=owner/name@v3                         {"strength": 0.8}, or null
```

The page asks ComfyUI instead of the hub, because only ComfyUI's computer has the token, and it may
be the only one that reaches the hub. Pages of other sites get no answer: an image that loads would
tell them which private adapters the token can see.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import web
from server import PromptServer

from lorary.anatomy import family_title
from lorary.client import Adapter, Hub, LoraryError, Pack
from lorary.client.errors import NotFound
from lorary.client.models import RATINGS

_LIMIT = 30
#: What browsers say about a request of a page of another site, port or scheme.
_ELSEWHERE = frozenset({"cross-site", "same-site"})
_KINDS = {b"\x89PNG": "image/png", b"RIFF": "image/webp", b"\xff\xd8\xff": "image/jpeg"}
#: A drawn cover is SVG; opened alone, it must not run scripts.
_HEADERS = {
    "Cache-Control": "private, max-age=60",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
    "X-Content-Type-Options": "nosniff",
}


def add() -> None:
    """Add the routes to ComfyUI's server."""
    routes = PromptServer.instance.routes
    routes.get("/lorary/search")(_search)
    routes.get("/lorary/picture")(_picture)
    routes.get("/lorary/strength")(_strength)


async def _search(request: web.Request) -> web.Response:
    try:
        results = await _asked(_found, request)
    except LoraryError as error:
        return web.json_response({"results": [], "error": error.detail})
    return web.json_response({"results": results, "error": ""})


async def _picture(request: web.Request) -> web.Response:
    try:
        data = await _asked(_cover, request)
    except LoraryError as error:
        raise web.HTTPNotFound(text=error.detail) from error
    kind = next((kind for start, kind in _KINDS.items() if data.startswith(start)), "image/svg+xml")
    return web.Response(body=data, content_type=kind, headers=_HEADERS)


async def _strength(request: web.Request) -> web.Response:
    try:
        strength = await _asked(_recommended, request)
    except LoraryError:
        strength = None
    return web.json_response({"strength": strength})


async def _asked(ask: Callable[[Hub, Mapping[str, str]], Any], request: web.Request) -> Any:  # noqa: ANN401 - what is asked
    """Ask the hub in a thread: the client of the hub waits for answers."""
    if request.headers.get("Sec-Fetch-Site") in _ELSEWHERE:
        raise web.HTTPForbidden(text="Only ComfyUI's own page may send this request.")

    def call() -> Any:  # noqa: ANN401 - what is asked
        with Hub(timeout_s=15) as hub:
            return ask(hub, request.query)

    return await asyncio.to_thread(call)


def _found(hub: Hub, query: Mapping[str, str]) -> list[dict[str, object]]:
    words, rating = query.get("q", ""), query.get("rating") or RATINGS[0]
    if query.get("what") == "packs":
        packs = hub.packs(words, max_rating=rating, limit=_LIMIT)
        return [_of_pack(pack) for pack in packs if pack.latest_version]
    found = hub.search(words, max_rating=rating, limit=_LIMIT)
    return [_of_adapter(adapter) for adapter in found if adapter.latest_version]


def _of_adapter(adapter: Adapter) -> dict[str, object]:
    return {
        "name": adapter.full_name,
        "title": adapter.title,
        "version": adapter.latest_version,
        "for": family_title(adapter.family),
        "words": ", ".join(adapter.trigger_words),
    }


def _of_pack(pack: Pack) -> dict[str, object]:
    return {
        "name": pack.full_name,
        "title": pack.title,
        "version": pack.latest_version,
        "for": ", ".join(
            f"{name} ({family_title(family)})" for name, family, _output in pack.variants
        ),
        "words": pack.summary,
        "variants": [name for name, _family, _output in pack.variants],
    }


def _cover(hub: Hub, query: Mapping[str, str]) -> bytes:
    name = query.get("name", "")
    found = hub.pack(name) if query.get("what") == "packs" else hub.info(name)
    url = found.data.get("cover")
    if not isinstance(url, str):
        msg = f"{name} has no cover."
        raise NotFound(msg)
    return hub.picture(url)


def _recommended(hub: Hub, query: Mapping[str, str]) -> float | None:
    return hub.version(query.get("name", "")).recommended_strength
