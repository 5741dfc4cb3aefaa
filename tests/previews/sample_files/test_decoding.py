"""What is served: pictures upright, in sRGB, without metadata; videos short, silent, in H.264."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import av
import pytest
from PIL import Image, ImageCms

from previews.sample_files import stills, videos
from previews.sample_files.formats import Format
from tests.previews.sample_files import files

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from previews.sample_files.sandbox import Reading

    Read = Callable[[bytes], Reading]


def shown(data: bytes, kind: Format) -> Image.Image:
    return stills.decode(kind, stills.take_apart(kind, data))


def red_of(picture: Image.Image, place: tuple[int, int]) -> int:
    pixel = picture.convert("RGB").getpixel(place)
    assert isinstance(pixel, tuple)
    return int(pixel[0])


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_a_picture_is_encoded_again_without_its_metadata(read: Read, kind: str) -> None:
    exif = Image.Exif()
    exif[0x010E] = "secret description"
    data = files.encoded(files.photo(), kind, exif=exif, comment=b"secret")
    found = read(data)
    served = found.picture.read_bytes()
    assert (found.width, found.height, found.film) == (96, 64, None)
    assert b"secret" in data
    assert b"secret" not in served
    with Image.open(io.BytesIO(served)) as picture:
        assert picture.size == (96, 64)
        assert abs(red_of(picture, (48, 60)) - red_of(files.photo(), (48, 60))) < 12


def test_a_placeholder_of_a_few_pixels_is_there(read: Read) -> None:
    found = read(files.encoded(files.photo(1000, 500), "JPEG"))
    assert found.placeholder.startswith("data:image/webp;base64,")
    assert len(found.placeholder) < 400


def test_a_large_picture_is_made_smaller() -> None:
    picture = shown(files.encoded(files.photo(5000, 100), "JPEG"), Format.JPEG)
    assert picture.size == (2048, 41)


def test_few_colours_stay_exact(tmp_path: Path) -> None:
    drawing = Image.new("RGB", (80, 80), "white")
    drawing.paste((200, 10, 30), (10, 10, 40, 40))
    stills.save(drawing, tmp_path / "picture.webp")
    with Image.open(tmp_path / "picture.webp") as kept:
        assert kept.convert("RGB").tobytes() == drawing.tobytes()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_turned_as_their_exif_says(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    upright = files.photo()
    back = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # the transpositions that undo it
    held = upright.transpose(Image.Transpose(back[orientation])) if orientation > 1 else upright
    picture = shown(files.encoded(held, "PNG", exif=exif), Format.PNG)
    assert picture.tobytes() == upright.tobytes()


def test_a_colour_profile_is_applied() -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    swapped = srgb.replace(b"rXYZ", b"????").replace(b"bXYZ", b"rXYZ").replace(b"????", b"bXYZ")
    blue = Image.new("RGB", (8, 8), (0, 0, 255))
    assert shown(files.encoded(blue, "PNG", icc_profile=srgb), Format.PNG).getpixel((0, 0)) == (
        0,
        0,
        255,
    )
    managed = shown(files.encoded(blue, "PNG", icc_profile=swapped), Format.PNG)
    assert red_of(managed, (0, 0)) > 240


def test_a_profile_that_does_not_fit_is_left_aside() -> None:
    data = files.encoded(files.photo(), "PNG", icc_profile=b"no profile at all")
    assert shown(data, Format.PNG).size == (96, 64)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "I;16", "CMYK"])
def test_every_kind_of_pixels_is_understood(mode: str) -> None:
    grey = files.photo().convert("L")
    if mode == "I;16":
        picture = Image.new("I;16", grey.size, 128 * 257)
    else:
        picture = files.photo().convert("RGBA" if mode == "LA" else "RGB").convert(mode)
    kind = Format.JPEG if mode == "CMYK" else Format.PNG
    found = shown(files.encoded(picture, kind.upper()), kind)
    assert found.mode == "RGB"
    if mode == "I;16":
        assert red_of(found, (5, 5)) == 128


def test_what_can_be_seen_through_stays_so(read: Read) -> None:
    glass = files.photo().convert("RGBA")
    glass.putalpha(Image.linear_gradient("L").resize(glass.size))
    with Image.open(read(files.encoded(glass, "PNG")).picture) as served:
        assert served.mode == "RGBA"


def test_an_animated_png_is_its_first_picture() -> None:
    second = Image.new("RGB", (96, 64), "blue")
    data = files.encoded(files.photo(), "PNG", save_all=True, append_images=[second])
    assert shown(data, Format.PNG).tobytes() == files.photo().tobytes()


def seen(file: Path) -> list[tuple[float, int]]:
    with av.open(file) as container:
        assert [stream.type for stream in container.streams] == ["video"]
        assert container.streams.video[0].codec_context.name == "h264"
        return [(frame.time or 0.0, red_of(frame.to_image(), (20, 20))) for frame in
                container.decode(video=0)]  # fmt: skip


@pytest.mark.parametrize(("kind", "codec"), [("mp4", "libx264"), ("webm", "libvpx-vp9")])
def test_a_video_becomes_a_silent_mp4_with_a_poster(read: Read, kind: str, codec: str) -> None:
    found = read(files.film(kind=kind, codec=codec, tags={"comment": "secret"}))
    assert (found.width, found.height) == (64, 48)
    assert found.film is not None
    assert b"secret" not in found.film.read_bytes()
    frames = seen(found.film)
    assert [round(at, 1) for at, _red in frames][:5] == [0.0, 0.1, 0.2, 0.3, 0.4]
    assert frames[4][1] > frames[0][1] + 80


def test_an_animated_webp_becomes_a_video_of_the_same_length(read: Read) -> None:
    film = read(files.animation((200, 300, 500))).film
    assert film is not None
    times = [round(at, 1) for at, _red in seen(film)]
    assert times[:3] == [0.0, 0.2, 0.5]
    assert times[-1] == pytest.approx(1.0, abs=0.05)


def test_fast_videos_are_thinned(tmp_path: Path) -> None:
    made = []

    def make() -> Image.Image:
        made.append(1)
        return files.photo()

    videos.save([(make, (number + 1) / 120) for number in range(120)], tmp_path / "film.mp4")
    assert len(made) == 30
