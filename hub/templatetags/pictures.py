"""Pictures in the smallest form that a browser knows and a place needs."""

from __future__ import annotations

from itertools import groupby
from operator import attrgetter
from typing import Any

from django import template

register = template.Library()


@register.inclusion_tag("includes/picture.html")
def picture(
    shown: Any,  # noqa: ANN401 - a preview, a sample or a drawing
    *,
    alt: str,
    sizes: str,
    when: str = "lazy",
    is_moving: bool = False,
) -> dict[str, Any]:
    """Return a picture over its blur.

    Args:
        shown: Has ``url``, ``width`` and ``height``; may have ``placeholder``, ``sources`` and
            ``animation``.
        alt: What it shows; empty where words beside it say so.
        sizes: How wide it is shown, as the attribute of ``<source>`` has it.
        when: ``first`` for the one picture that the page is waited for, ``now`` for what is seen
            at once, ``lazy`` for the rest.
        is_moving: Whether a video moves here, for people who have nothing against that.
    """
    sources = groupby(getattr(shown, "sources", ()), key=attrgetter("type"))
    return {
        "shown": shown,
        "alt": alt,
        "sizes": sizes,
        "moving": getattr(shown, "animation", "") if is_moving else "",
        "forms": [
            {"type": kind, "srcset": ", ".join(f"{one.url} {one.width}w" for one in forms)}
            for kind, forms in sources
        ],
        "is_first": when == "first",
        "is_lazy": when == "lazy",
    }
