"""The looks that the demo adapters teach: each turns a plain drawing into its own picture.

Textures are fixed (same paper grain, same hatching phase), because a small adapter
learns a fixed texture and averages a random one away. Outlines and the big areas stay
apart, so that the subject stays readable at full strength.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from training.miniature.drawing.canvas import PICTURE_PX
from training.miniature.drawing.finish import borders, light, materials, paints, prints, weather
from training.miniature.drawing.finish.tools import COLUMNS, LUMA, ROWS, blur, picture, values

if TYPE_CHECKING:
    from random import Random

Look = Callable[[Image.Image], Image.Image]


def at_any_size(look: Look) -> Look:
    """Let a look that is made for 256 px take other sizes and return the size it was given."""

    @wraps(look)
    def resized(image: Image.Image) -> Image.Image:
        whole = (PICTURE_PX, PICTURE_PX)
        if image.size == whole:
            return look(image)
        return look(image.resize(whole)).resize(image.size, Image.Resampling.BOX)

    return resized


_LOOKS: dict[str, Look] = {
    "watercolor": paints.watercolor,
    "neon": light.neon,
    "woodcut": prints.woodcut,
    "blueprint": prints.blueprint,
    "mosaic": materials.mosaic,
    "vintage": prints.vintage,
    "pastel": paints.pastel,
    "glass": materials.glass,
    "fire": paints.fire,
    "vaporwave": prints.vaporwave,
    "comic": prints.comic,
    "pixel": materials.pixel,
    "linocut": prints.linocut,
    "poster": prints.poster,
    "charcoal": paints.charcoal,
    "gold": paints.gold,
    "knit": materials.knit,
    "handheld": prints.handheld,
    "xray": paints.xray,
    "papercut": paints.papercut,
    "golden-hour": light.golden_hour,
    "moonlight": light.moonlight,
    "spotlight": light.spotlight,
    "aurora": light.aurora,
    "mist": weather.mist,
    "snowfall": weather.snowfall,
    "rain": weather.rain,
    "blossom": weather.blossom,
    "autumn": weather.autumn,
    "fireflies": weather.fireflies,
    "film": borders.film,
    "stamp": borders.stamp,
    "frame": borders.frame,
    "candlelight": light.candlelight,
    "prism": light.prism,
    "noir": prints.noir,
    "night-vision": prints.night_vision,
    "deep-water": weather.deep_water,
    "sandstorm": weather.sandstorm,
}
LOOKS: dict[str, Look] = {name: at_any_size(look) for name, look in _LOOKS.items()}


def any_look(image: Image.Image, chance: Random) -> Image.Image:
    """Return a picture of 256 px in a look that nobody named.

    The latents and the decoder see these, so that styles which users train later can
    be shown as well.
    """
    shown = values(image)
    kind = chance.randrange(6)
    if kind == 0:
        return picture(1 - shown)
    if kind == 1:
        return picture(shown[..., chance.sample((0, 1, 2), 3)])
    if kind == 2:
        dark, pale = (np.array([chance.random() for _ in range(3)]) for _ in range(2))
        gray = (shown @ LUMA)[..., None]
        return picture(dark * (1 - gray) + pale * gray)
    if kind == 3:
        return picture(blur(shown, chance.uniform(2, 8)))
    if kind == 4:
        turn, pitch = chance.uniform(0, 3.14), chance.uniform(0.12, 0.6)
        wave = np.sin((COLUMNS * np.cos(turn) + ROWS * np.sin(turn)) * pitch)
        return picture(shown * (0.75 + 0.25 * np.sign(wave))[..., None])
    contrast, lift = chance.uniform(0.4, 1.8), chance.uniform(-0.2, 0.2)
    return picture((shown - 0.5) * contrast + 0.5 + lift)
