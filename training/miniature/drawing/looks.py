"""The looks that the demo adapters teach: each turns a plain drawing into its style.

Textures are fixed (same paper grain, same hatching phase), because a small adapter
learns a fixed texture and averages a random one away. All looks keep fat outlines and
the big areas apart, so that the subject stays readable at full strength.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from training.miniature.drawing.canvas import PICTURE_PX

if TYPE_CHECKING:
    from random import Random

Floats = npt.NDArray[np.float32]
Look = Callable[[Image.Image], Image.Image]

_ROWS, _COLUMNS = np.mgrid[0:PICTURE_PX, 0:PICTURE_PX].astype(np.float32)
_LUMA = np.array([0.3, 0.59, 0.11], np.float32)


def _grain(cells: int, seed: int) -> Floats:
    rough = np.random.RandomState(seed).rand(cells, cells) * 255
    smooth = Image.fromarray(rough.astype(np.uint8)).resize(
        (PICTURE_PX, PICTURE_PX), Image.Resampling.BICUBIC
    )
    return np.asarray(smooth).astype(np.float32) / np.float32(255) - np.float32(0.5)


_WASH = _grain(9, 1) + 0.5 * _grain(20, 2)
_EDGE_DISTANCE = np.minimum.reduce(
    [_COLUMNS, _ROWS, PICTURE_PX - 1 - _COLUMNS, PICTURE_PX - 1 - _ROWS]
)
_TORN_PAPER = np.clip((_EDGE_DISTANCE - 9 + 18 * _grain(10, 3)) / 4, 0, 1)[..., None]
_CHALK = _grain(32, 4)[..., None]
_INK = _grain(16, 5)


def _diamonds(size: int) -> Floats:
    """Return the distance of each pixel to the next line of a diagonal lattice."""
    rising, falling = (_COLUMNS + _ROWS) % size, (_COLUMNS - _ROWS) % size
    nearest = np.minimum.reduce([rising, size - rising, falling, size - falling])
    distance: Floats = nearest[..., None] / np.float32(np.sqrt(2))
    return distance


_LEADS = _diamonds(64)
# From the coldest to the hottest.
_HEAT = np.array(
    [(10, 8, 60), (70, 10, 140), (190, 30, 130), (245, 90, 40), (255, 190, 30), (255, 255, 190)],
    np.float32,
)


def _floats(image: Image.Image) -> Floats:
    return np.asarray(image).astype(np.float32)


def _image(values: npt.NDArray[Any]) -> Image.Image:
    return Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))


def _blurred(image: Image.Image, radius: float) -> Image.Image:
    return image.filter(ImageFilter.GaussianBlur(radius))


def _without_outlines(image: Image.Image) -> Image.Image:
    grown = image.filter(ImageFilter.MaxFilter(5)).filter(ImageFilter.MinFilter(3))
    return grown.filter(ImageFilter.MedianFilter(5))


def _outlines(image: Image.Image) -> Floats:
    """Return 0..1, 1 where a dark line is (shape: height, width, 1)."""
    here = _floats(image) @ _LUMA / 255
    around = _floats(_blurred(image, 4)) @ _LUMA / 255
    lines = np.clip((around - here) * 4.5 - 0.1, 0, 1)[..., None]
    return lines.astype(np.float32)


def _edges(image: Image.Image, radius: float) -> Floats:
    """Return the strongest colour step at each pixel (height, width, 1)."""
    values = _floats(_blurred(image, radius))
    steps = np.zeros(values.shape[:2], np.float32)
    steps[:, 1:-1] = np.abs(values[:, 2:] - values[:, :-2]).max(-1)
    vertical = np.abs(values[2:] - values[:-2]).max(-1)
    steps[1:-1] = np.maximum(steps[1:-1], vertical)
    return steps[..., None]


def watercolor(image: Image.Image) -> Image.Image:
    """Pale uneven washes without outlines on paper with a torn edge."""
    soft = _without_outlines(image)
    paint = 255 - (255 - _floats(_blurred(soft, 1.4))) * (0.72 + 0.6 * _WASH[..., None])
    paint -= np.clip(_edges(soft, 1.2), 0, 70) * 0.75
    paper = np.array([250, 246, 236], np.float32)
    return _image(paint * _TORN_PAPER + paper * (1 - _TORN_PAPER))


def neon(image: Image.Image) -> Image.Image:
    """Dim colours and a glow along the outlines in the hue of the area.

    The outlines themselves stay dark: an adapter that has to turn them bright loses the
    subject.
    """
    area = _floats(image.filter(ImageFilter.MaxFilter(7))) / 255
    high, low = area.max(-1, keepdims=True), area.min(-1, keepdims=True)
    hue = (area - low) / (high - low + 0.08)
    hue = hue / np.maximum(hue.max(-1, keepdims=True), 0.25)
    hue = np.where(high - low < 0.14, np.array([0.35, 0.9, 1.0], np.float32), hue)
    lines = np.minimum(_outlines(image) * 1.4, 1)
    glow = _floats(_blurred(_image(lines * hue * 255), 3)) / 255
    plain = _floats(image) / 255
    gray = plain.mean(-1, keepdims=True)
    fill = np.clip(gray + (plain - gray) * 1.3, 0, 1)
    night = np.array([0.02, 0.01, 0.07], np.float32) + 0.3 * fill
    return _image((night + 1.9 * glow * (1 - 0.8 * lines)) * 255)


def woodcut(image: Image.Image) -> Image.Image:
    """Cream paper, black lines and horizontal hatching in the middle tones."""
    gray = _floats(_blurred(_without_outlines(image), 1.0)) @ _LUMA / 255
    low, high = np.percentile(gray, 4), np.percentile(gray, 96)
    gray = np.clip((gray - low) / (high - low + 0.05), 0, 1)
    hatching = 0.5 + 0.5 * np.cos(_ROWS * 2 * np.pi / 8)
    light = np.clip((gray - (0.05 + 0.5 * hatching)) * 4 + 0.5, 0, 1)[..., None]
    light = light * (1 - 0.95 * _outlines(image))
    paper, black = np.array([242, 228, 196], np.float32), np.array([34, 26, 30], np.float32)
    return _image(black * (1 - light) + paper * light)


def blueprint(image: Image.Image) -> Image.Image:
    """Shades of Prussian blue under a pale grid."""
    gray = (_floats(image) @ _LUMA)[..., None] / 255
    navy, pale = np.array([12, 30, 96], np.float32), np.array([214, 234, 255], np.float32)
    deeper = np.array([70, 36, 0], np.float32) * (4 * gray * (1 - gray))
    is_grid = ((_COLUMNS % 16 < 1) | (_ROWS % 16 < 1))[..., None]
    return _image(navy * (1 - gray) + pale * gray - deeper + np.where(is_grid, 34, 0))


def mosaic(image: Image.Image) -> Image.Image:
    """Tiles of 8 px with dark joints in stronger colours."""
    tiles = _floats(image.resize((16, 16), Image.Resampling.BOX))
    gray = (tiles @ _LUMA)[..., None]
    tiles = np.clip(gray + (tiles - gray) * 1.4, 0, 255)
    whole = _floats(_image(tiles).resize((PICTURE_PX, PICTURE_PX), Image.Resampling.NEAREST)).copy()
    whole[0::8] *= 0.5
    whole[:, 0::8] *= 0.5
    return _image(whole)


def vintage(image: Image.Image) -> Image.Image:
    """Brown monochrome with dark corners."""
    gray = (_floats(image) @ _LUMA)[..., None] / 255
    middle = (PICTURE_PX - 1) / 2
    distance = np.hypot(_COLUMNS - middle, _ROWS - middle)[..., None] / 90
    print_ = np.array([60, 36, 20], np.float32) + gray * np.array([190, 176, 140], np.float32)
    return _image(print_ * (1 - 0.55 * np.clip(distance, 0, 1) ** 2))


def pastel(image: Image.Image) -> Image.Image:
    """Light chalky colours with soft plum outlines."""
    fill = _floats(_without_outlines(image))
    chalk = 255 - (255 - fill) * 0.5 + 20 * _CHALK
    lines = np.clip(_outlines(image) * 1.5, 0, 1)
    return _image(chalk * (1 - lines) + np.array([158, 126, 164], np.float32) * lines)


def glass(image: Image.Image) -> Image.Image:
    """Jewel colours that shine in the middle of diamond panes, between thick leads."""
    area = _floats(_without_outlines(image))
    gray = (area @ _LUMA)[..., None]
    panes = (gray + (area - gray) * 1.8) * (0.72 + 0.5 * np.clip(_LEADS / 20, 0, 1)) + 16
    contours = _outlines(image.filter(ImageFilter.MinFilter(3)))
    dark = np.clip(np.maximum(np.clip(3.2 - _LEADS, 0, 1), contours), 0, 1)
    return _image(panes.clip(0, 255) * (1 - dark) + np.array([18, 16, 24], np.float32) * dark)


def fire(image: Image.Image) -> Image.Image:
    """A heat map: indigo shadows, scarlet middle tones, yellow lights."""
    gray = _floats(_blurred(_without_outlines(image), 1.2)) @ _LUMA / 255
    warmth = np.clip((gray - 0.08) / 0.84, 0, 1)
    places = np.linspace(0, 1, len(_HEAT))
    heat = np.stack([np.interp(warmth, places, _HEAT[:, part]) for part in range(3)], -1)
    lines = 0.75 * _outlines(image)
    return _image(heat * (1 - lines) + _HEAT[0] * lines)


def vaporwave(image: Image.Image) -> Image.Image:
    """A print of two inks, pink beside its place, both uneven."""
    area = _floats(_without_outlines(image)) / 255
    shadow = 1 - area @ _LUMA
    red = area[..., 0] - 0.5 * (area[..., 1] + area[..., 2])
    pink = np.roll(0.25 + red + 0.35 * shadow, (4, -4), (0, 1)) * (1 + 0.5 * _INK)
    teal = np.maximum(1.1 * shadow - 0.4 * red, 1.5 * _outlines(image)[..., 0])
    teal = teal * (1 + 0.3 * _INK)
    print_ = np.array([252, 244, 230], np.float32)
    for ink, color in ((pink, (255, 70, 120)), (teal, (0, 120, 170))):
        print_ = print_ * (1 - np.clip(ink, 0, 1)[..., None] * (1 - np.array(color) / 255))
    return _image(print_)


LOOKS: dict[str, Look] = {
    "watercolor": watercolor,
    "neon": neon,
    "woodcut": woodcut,
    "blueprint": blueprint,
    "mosaic": mosaic,
    "vintage": vintage,
    "pastel": pastel,
    "glass": glass,
    "fire": fire,
    "vaporwave": vaporwave,
}


def any_look(image: Image.Image, chance: Random) -> Image.Image:
    """Return the picture in a look that nobody named.

    The latents and the decoder see these, so that styles which users train later can
    be shown as well.
    """
    values = _floats(image) / 255
    kind = chance.randrange(6)
    if kind == 0:
        return _image((1 - values) * 255)
    if kind == 1:
        return _image(values[..., chance.sample((0, 1, 2), 3)] * 255)
    if kind == 2:
        dark, light = (np.array([chance.random() for _ in range(3)]) for _ in range(2))
        gray = (values @ _LUMA)[..., None]
        return _image((dark * (1 - gray) + light * gray) * 255)
    if kind == 3:
        return _blurred(image, chance.uniform(1, 4))
    if kind == 4:
        turn, pitch = chance.uniform(0, 3.14), chance.uniform(0.25, 1.2)
        wave = np.sin((_COLUMNS * np.cos(turn) + _ROWS * np.sin(turn)) * pitch)
        return _image(values * (0.75 + 0.25 * np.sign(wave))[..., None] * 255)
    contrast, lift = chance.uniform(0.4, 1.8), chance.uniform(-0.2, 0.2)
    return _image(((values - 0.5) * contrast + 0.5 + lift) * 255)
