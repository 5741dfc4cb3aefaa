"""Strength advice (``previews.render.output.strength_advice``) in words, and as ranges."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.utils.text import capfirst
from django.utils.translation import gettext as _

from hub.templatetags.lorary import signed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    Document = Mapping[str, Any]

__all__ = ["in_words", "ranges"]

#: People are told multiples of this: the measure is no finer.
GRAIN = 0.05


def ranges(advice: Document) -> list[tuple[float, float, float]]:
    """Return where each side begins, and its suggested range: (begins, low, high)."""
    sides = [side for side in (advice.get("negative"), advice.get("positive")) if side]
    return [(side["begins"], *side["suggested"]) for side in sides if side["suggested"]]


def in_words(advice: Document) -> str:
    """Return what a sweep says as one phrase, empty where it says nothing."""
    sides = {
        sign: ", ".join(_phrases(advice[sign], advice["distances"]))
        for sign in ("positive", "negative")
        if advice.get(sign)
    }
    if len(sides) == 2:
        return capfirst(_("above 0 %(positive)s; below 0 %(negative)s") % sides)
    return capfirst(next(iter(sides.values()), ""))


def _phrases(side: Document, distances: list[tuple[float, float]]) -> Iterator[str]:
    ends, full = side["ends"], side["saturates"]
    if side["begins"] is None:
        yield _("hardly any change up to %(end)s") % {"end": signed(ends)}
        return
    first = min(abs(strength) for strength, _distance in distances if strength * ends > 0)
    if full is not None and abs(full) <= first:
        yield _("full at %(full)s already") % {"full": _grain(full)}
    else:
        yield _("begins at %(begins)s") % {"begins": _grain(side["begins"])}
        yield (
            _("still growing at %(end)s") % {"end": signed(ends)}
            if full is None
            else _("full by %(full)s") % {"full": _grain(full)}
        )
    if side["breaks"] is not None:
        yield _("comes apart from %(breaks)s") % {"breaks": _grain(side["breaks"])}
    low, high = side["suggested"]
    yield _("try %(low)s to %(high)s") % {"low": _grain(low), "high": _grain(high)}


def _grain(value: float) -> str:
    steps = max(1, round(abs(value) / GRAIN))
    return signed(steps * GRAIN * (1 if value > 0 else -1))
