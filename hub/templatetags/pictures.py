"""A ``<picture>`` with the sources that the browser chooses from."""

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
    """Return the context of a picture over its blurred placeholder.

    Args:
        shown: Has ``url``, ``width`` and ``height``; may have ``placeholder``, ``sources`` and
            ``animation``.
        alt: Its alternative text; empty if the text beside it describes it.
        sizes: Its width, in the syntax of the ``sizes`` attribute.
        when: ``first`` for the largest picture above the fold, ``now`` for others there,
            ``lazy`` for the rest.
        is_moving: Whether a video plays, unless the user prefers reduced motion.
    """
    animation = getattr(shown, "animation", "") if is_moving else ""
    is_film = getattr(shown, "is_film", False)
    sources = groupby(getattr(shown, "sources", ()), key=attrgetter("type"))
    return {
        "shown": shown,
        "alt": alt,
        "sizes": sizes,
        "moving": "" if is_film else animation,
        "film": animation if is_film else "",
        "forms": [
            {"type": kind, "srcset": ", ".join(f"{one.url} {one.width}w" for one in forms)}
            for kind, forms in sources
        ],
        "is_first": when == "first",
        "is_lazy": when == "lazy",
    }
