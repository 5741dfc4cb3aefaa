"""The pictures of generated adapters: a few real files that all of them share."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.db import transaction
from PIL import Image, ImageDraw

from hub.generation.vocabulary import seeded
from previews.derived import placeholder
from registry.blobs import promote

if TYPE_CHECKING:
    from random import Random

    from registry.models import Blob

#: Width and height.
SIDE = 384
#: Number of files.
DRAWN = 6


@dataclass(frozen=True, slots=True)
class SharedPicture:
    """A picture that is stored twice: as a PNG, and as a WebP like those in galleries."""

    png: int
    webp: int
    placeholder: str


def store(seed: int) -> list[SharedPicture]:
    """Draw and store the pictures; the same for the same seed."""
    return [_stored(_drawn(seeded(seed, "picture", number))) for number in range(DRAWN)]


def _stored(picture: Image.Image) -> SharedPicture:
    png, webp = (_blob(picture, kind) for kind in ("PNG", "WEBP"))
    return SharedPicture(png.pk, webp.pk, placeholder(picture))


def _blob(picture: Image.Image, kind: str) -> Blob:
    file = io.BytesIO()
    picture.save(file, kind)
    written = promote.put([file.getvalue()])
    with transaction.atomic():
        return promote.mark_stored(written)


def _drawn(random: Random) -> Image.Image:
    """Return circles on a gradient."""
    paper, shade = (_colour(random) for _ in range(2))
    ramp = Image.linear_gradient("L").rotate(random.randrange(4) * 90).resize((SIDE, SIDE))
    picture = Image.composite(
        Image.new("RGB", ramp.size, paper), Image.new("RGB", ramp.size, shade), ramp
    )
    pen = ImageDraw.Draw(picture)
    for _ in range(random.randrange(3, 9)):
        x, y, radius = random.randrange(SIDE), random.randrange(SIDE), random.randrange(20, 140)
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=_colour(random))
    return picture


def _colour(random: Random) -> tuple[int, int, int]:
    return random.randrange(256), random.randrange(256), random.randrange(256)
