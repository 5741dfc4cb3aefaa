"""Parts of all looks: colours as numbers, outlines, fills without outlines, fixed textures."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from training.miniature.drawing.canvas import INK, PICTURE_PX

Floats = npt.NDArray[np.float32]
Triple = tuple[int, int, int]

ROWS, COLUMNS = np.mgrid[0:PICTURE_PX, 0:PICTURE_PX].astype(np.float32)
LUMA = np.array([0.3, 0.59, 0.11], np.float32)
# How many pixels each place is away from the middle, and from the nearest border.
RADIUS = np.hypot(COLUMNS - 127.5, ROWS - 127.5)
BORDER = np.minimum.reduce([COLUMNS, ROWS, PICTURE_PX - 1 - COLUMNS, PICTURE_PX - 1 - ROWS])


def color(*parts: int) -> Floats:
    """Return a colour of 0..255 as 0..1."""
    return np.array(parts, np.float32) / np.float32(255)


def values(image: Image.Image) -> Floats:
    """Return the picture as 0..1 (height, width, 3)."""
    return np.asarray(image).astype(np.float32) / np.float32(255)


def picture(shown: npt.NDArray[np.floating]) -> Image.Image:
    """Return 0..1 as a picture."""
    return Image.fromarray((np.clip(shown, 0, 1) * 255).astype(np.uint8))


def blur(shown: Floats, radius: float) -> Floats:
    """Return the picture (height, width, 3) or plane (height, width) blurred."""
    clipped = (np.clip(shown, 0, 1) * 255).astype(np.uint8)
    blurred = Image.fromarray(clipped).filter(ImageFilter.GaussianBlur(radius))
    return np.asarray(blurred).astype(np.float32) / np.float32(255)


def mix(first: Floats, second: Floats, share: Floats | float) -> Floats:
    """Return the crossfade; a plane of shares (height, width) counts for all colours."""
    if isinstance(share, np.ndarray) and share.ndim == 2:
        share = share[..., None]
    faded: Floats = first * (1 - share) + second * share
    return faded


def gray(shown: Floats) -> Floats:
    """Return the brightness (height, width)."""
    light: Floats = shown @ LUMA
    return light


def ink(image: Image.Image, grow: int = 0) -> Floats:
    """Return where the outlines are, 0..1 (height, width), `grow` px wider on each side."""
    away = np.abs(np.asarray(image).astype(np.float32) - np.array(INK, np.float32)).max(-1)
    # Pupils and the night sky are nearly as dark, from 18 levels on.
    lines = np.clip((17 - away) / 6, 0, 1)
    if grow:
        wide = Image.fromarray((lines * 255).astype(np.uint8))
        wide = wide.filter(ImageFilter.MaxFilter(2 * grow + 1))
        lines = np.asarray(wide).astype(np.float32) / np.float32(255)
    return blur(lines.astype(np.float32), 0.7)


def fill(image: Image.Image) -> Floats:
    """Return the picture with its outlines painted over by what is beside them."""
    lines = ink(image, 1)[..., None]
    kept = 1 - lines
    shown = values(image)
    around = blur((shown * kept).astype(np.float32), 5)
    weight = blur(np.repeat(kept, 3, 2), 5)
    return mix(shown, np.clip(around / np.maximum(weight, 0.04), 0, 1), lines)


def saturate(shown: Floats, factor: float) -> Floats:
    """Return stronger (factor > 1) or weaker colours."""
    light = gray(shown)[..., None]
    return np.clip(light + (shown - light) * np.float32(factor), 0, 1)


def contrast(plane: Floats, low: float, high: float) -> Floats:
    """Return the plane with `low`..`high` stretched to 0..1."""
    stretched: Floats = np.clip((plane - low) / (high - low), 0, 1).astype(np.float32)
    return stretched


def ramp(plane: Floats, *colors: Triple) -> Floats:
    """Return the colours that stand for 0..1, evenly from the darkest to the brightest."""
    places = np.linspace(0, 1, len(colors))
    parts = np.array(colors, np.float32) / np.float32(255)
    channels = [np.interp(plane, places, parts[:, part]) for part in range(3)]
    return np.stack(channels, -1).astype(np.float32)


def grain(seed: int, period: int = 32, cells: int = 16) -> Floats:
    """Return a rough texture, -0.5..0.5, that repeats every `period` px."""
    rough = np.random.RandomState(seed).rand(cells, cells).astype(np.float32)
    around = np.tile(rough, (3, 3))
    smooth = Image.fromarray((around * 255).astype(np.uint8)).resize(
        (3 * period, 3 * period), Image.Resampling.BICUBIC
    )
    tile = np.asarray(smooth)[period : 2 * period, period : 2 * period]
    repeats = PICTURE_PX // period
    whole = np.tile(tile.astype(np.float32) / np.float32(255) - np.float32(0.5), (repeats, repeats))
    return whole.astype(np.float32)


def clouds(cells: int, seed: int) -> Floats:
    """Return large soft unevenness over the whole picture, -0.5..0.5."""
    rough = np.random.RandomState(seed).rand(cells, cells) * 255
    smooth = Image.fromarray(rough.astype(np.uint8)).resize(
        (PICTURE_PX, PICTURE_PX), Image.Resampling.BICUBIC
    )
    return np.asarray(smooth).astype(np.float32) / np.float32(255) - np.float32(0.5)


def blocks(image: Image.Image, size: int) -> Floats:
    """Return the picture in squares of one colour, `size` px wide."""
    few = image.resize((PICTURE_PX // size, PICTURE_PX // size), Image.Resampling.BOX)
    return values(few.resize((PICTURE_PX, PICTURE_PX), Image.Resampling.NEAREST))


def glow_at(x: float, y: float, radius: float) -> Floats:
    """Return a soft round light, 1 in its middle and 0 from the radius on."""
    away = np.hypot(COLUMNS - x, ROWS - y) / radius
    light: Floats = (np.clip(1 - away, 0, 1) ** 2).astype(np.float32)
    return light
