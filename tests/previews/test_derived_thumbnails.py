"""Pictures at other widths: what is made, what is refused, and that it is always the same."""

from __future__ import annotations

import base64
import io
import random
import struct
import zlib

import pytest
from PIL import Image

from previews.derived import Unreadable, encoded, offered, opened, placeholder


def noise(width: int, height: int, seed: int = 1) -> Image.Image:
    """A picture that packs badly."""
    drawn = random.Random(seed)
    return Image.frombytes("RGB", (width, height), drawn.randbytes(width * height * 3))


def soft(width: int, height: int) -> Image.Image:
    """A picture as renderers make them: no two neighbours far apart."""
    rough = noise(width // 4, height // 4)
    return rough.resize((width, height), Image.Resampling.BICUBIC)


def saved(picture: Image.Image, kind: str = "PNG") -> bytes:
    stream = io.BytesIO()
    picture.save(stream, kind)
    return stream.getvalue()


def header_of(width: int, height: int) -> bytes:
    """A PNG that announces a size and holds nothing."""
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    crc = struct.pack(">I", zlib.crc32(chunk))
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + crc


@pytest.mark.parametrize(
    ("width", "widths"),
    [
        (2048, [256, 512, 1024]),
        (1024, [256, 512, 1024]),
        (768, [256, 512, 768]),
        (256, [256]),
    ],
)
def test_three_widths_at_most_and_none_above_the_picture(width: int, widths: list[int]) -> None:
    wanted = [(kind, one) for kind in ("avif", "webp") for one in widths]
    assert offered(width) == wanted


def test_a_narrow_picture_has_one_form_in_its_own_width() -> None:
    assert offered(128) == [("webp", 128)]
    assert offered(128, is_webp=True) == []


def test_a_webp_is_not_encoded_in_its_own_width() -> None:
    assert offered(512, is_webp=True) == [("avif", 256), ("webp", 256)]


@pytest.mark.parametrize("kind", ["avif", "webp"])
@pytest.mark.parametrize("size", [(300, 200), (1, 1), (1, 4000), (4000, 1), (257, 3)])
def test_a_thumbnail_keeps_the_ratio(size: tuple[int, int], kind: str) -> None:
    width = min(256, size[0])
    with Image.open(io.BytesIO(encoded(noise(*size), kind, width))) as made:
        assert made.size == (width, max(1, round(size[1] * width / size[0])))
        assert (made.format or "").casefold() == kind
    assert len(placeholder(noise(*size))) <= 400


def test_a_thumbnail_is_not_wider_than_its_picture() -> None:
    with Image.open(io.BytesIO(encoded(soft(128, 64), "webp", 256))) as made:
        assert made.size == (128, 64)


@pytest.mark.parametrize("kind", ["avif", "webp"])
def test_a_thumbnail_looks_like_the_picture(kind: str) -> None:
    picture = noise(8, 8).resize((256, 256), Image.Resampling.BICUBIC)
    with Image.open(io.BytesIO(encoded(picture, kind, 256))) as made:
        pairs = zip(picture.tobytes(), made.convert("RGB").tobytes(), strict=True)
        apart = [abs(a - b) for a, b in pairs]
    assert sum(apart) / len(apart) < 4


@pytest.mark.parametrize("kind", ["avif", "webp"])
def test_the_same_picture_gives_the_same_bytes(kind: str) -> None:
    first, second = (encoded(opened(saved(soft(300, 200))), kind, 256) for _ in range(2))
    assert first == second


@pytest.mark.parametrize("seed", range(4))
def test_a_blur_is_at_most_four_hundred_bytes(seed: int) -> None:
    address = placeholder(noise(16, 16, seed))
    assert len(address) <= 400
    kind, _comma, data = address.partition(",")
    assert kind == "data:image/webp;base64"
    with Image.open(io.BytesIO(base64.b64decode(data))) as picture:
        assert max(picture.size) <= 16


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"GIF89a",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        header_of(30_000, 30_000),
        header_of(4097, 4096),
        header_of(0, 10),
        saved(noise(64, 64))[:500],
        saved(noise(8, 8), "BMP"),
        saved(noise(8, 8), "TIFF"),
    ],
    ids=["empty", "gif", "svg", "900 Mpx", "just too large", "no width", "half", "bmp", "tiff"],
)
def test_what_is_no_picture_of_ours_is_refused(data: bytes) -> None:
    with pytest.raises(Unreadable):
        opened(data)


def test_transparency_and_metadata_do_not_come_along() -> None:
    clear = Image.new("RGBA", (64, 64), (255, 0, 0, 0))
    stream = io.BytesIO()
    clear.save(stream, "PNG", exif=Image.Exif().tobytes() + b"secret")
    for kind in ("avif", "webp"):
        made = encoded(opened(stream.getvalue()), kind, 256)
        assert b"secret" not in made
        with Image.open(io.BytesIO(made)) as picture:
            assert picture.mode == "RGB"
