"""Pictures at other widths: what is made, what is refused, and that it is always the same."""

from __future__ import annotations

import base64
import io
import random
import struct
import zlib

import pytest
from PIL import Image

from previews.derived import Unreadable, opened, placeholder, smaller

WHATEVER_SAVES = 10**9


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
    ("size", "widths"),
    [
        ((1024, 128), {256, 512, 1024}),
        ((768, 200), {256, 512, 768}),
        ((2048, 256), {256, 512, 1024}),
        ((300, 300), {256, 300}),
    ],
)
def test_three_widths_at_most_and_none_above_the_picture(
    size: tuple[int, int], widths: set[int]
) -> None:
    made = smaller(soft(*size), WHATEVER_SAVES)
    assert {one.width for one in made} == widths
    assert [one.kind for one in made] == ["avif"] * len(widths) + ["webp"] * len(widths)
    for one in made:
        with Image.open(io.BytesIO(one.data)) as picture:
            assert (picture.format or "").casefold() == one.kind
            assert picture.size == (one.width, one.height)
        assert one.height == max(1, round(size[1] * one.width / size[0]))


def test_a_small_picture_has_one_form_in_its_own_width() -> None:
    [only] = smaller(soft(128, 128), WHATEVER_SAVES)
    assert (only.width, only.height) == (128, 128)


def test_what_saves_nothing_is_not_made() -> None:
    assert smaller(soft(128, 128), 40) == []


def test_the_forms_look_like_the_picture() -> None:
    picture = noise(8, 8).resize((256, 256), Image.Resampling.BICUBIC)
    for one in smaller(picture, WHATEVER_SAVES):
        with Image.open(io.BytesIO(one.data)) as made:
            pairs = zip(picture.tobytes(), made.convert("RGB").tobytes(), strict=True)
            apart = [abs(a - b) for a, b in pairs]
        assert sum(apart) / len(apart) < 4


@pytest.mark.parametrize("size", [(1, 1), (1, 4000), (4000, 1), (257, 3)])
def test_odd_sizes_have_forms_too(size: tuple[int, int]) -> None:
    made = smaller(noise(*size), WHATEVER_SAVES)
    assert made
    assert all(one.width <= size[0] and one.height >= 1 for one in made)
    assert len(placeholder(noise(*size))) <= 400


def test_the_same_picture_gives_the_same_bytes() -> None:
    first, second = (smaller(opened(saved(soft(300, 200))), WHATEVER_SAVES) for _ in range(2))
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
    for one in smaller(opened(stream.getvalue()), WHATEVER_SAVES):
        assert b"secret" not in one.data
        with Image.open(io.BytesIO(one.data)) as picture:
            assert picture.mode == "RGB"
