"""What a cover is drawn of, whoever draws it: an SVG on pages, pixels on cards."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Bar", "Caption", "Shape", "Spot"]


@dataclass(frozen=True, slots=True)
class Caption:
    """Words whose base line begins here."""

    x: float
    y: float
    text: str


@dataclass(frozen=True, slots=True)
class Spot:
    """A dot around its middle; ``ring`` is the radius of a ring around it, 0 for none."""

    x: float
    y: float
    radius: float
    ring: float = 0.0


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar, from its upper left corner."""

    x: float
    y: float
    width: float
    height: float


Shape = Caption | Spot | Bar
