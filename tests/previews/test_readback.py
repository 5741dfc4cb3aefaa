"""Recipes in pictures from strangers: what is read, and what is refused."""

from __future__ import annotations

import io
import json
import struct
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from lorary.pictures.png import SIGNATURE
from previews.render import Layer, PictureInvalid, Recipe, RecipeInvalid
from previews.render.bases.model_paths import installed
from previews.render.output import png_parsing as chunks_module
from previews.render.output.images import caption, encode
from previews.render.output.png_parsing import parse_png, read_png
from previews.render.output.readback import Original, UsedAdapter, read_back

if TYPE_CHECKING:
    from collections.abc import Callable

RECIPE = Recipe("tiny", ("a café", "a cat"), (7, 8), (0.0, 0.5), 8, 2.5, 64, 64, negative="dull")
LAYER = Layer(Path("x"), 0.8, "noir-v1", "ab" * 32, part="transformer_2")


def picture() -> Image.Image:
    return Image.linear_gradient("L").resize((64, 64)).convert("RGB")


def png(place: int = -1) -> bytes:
    return encode(picture(), caption(RECIPE, RECIPE.shots(["ink"])[place], [LAYER], "DDIM"))


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def with_text(text: bytes, *, plain: bytes = b"") -> bytes:
    """A picture with this chunk, as whole chunks, before its end."""
    stream = io.BytesIO()
    picture().save(stream, "PNG")
    body, end = stream.getvalue()[:-12], stream.getvalue()[-12:]
    return body + (chunk(b"tEXt", b"lorary\0" + plain) if plain else b"") + text + end


def said() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(parse_png(png()).texts["lorary"] or b"")
    return document


def told(document: Any) -> bytes:
    text = document if isinstance(document, bytes) else json.dumps(document).encode()
    return with_text(b"", plain=text)


def read(data: bytes) -> Original:
    return read_back(parse_png(data))


def test_a_picture_tells_all_that_it_was_made_with() -> None:
    original = read(png())
    assert original.recipe == RECIPE
    assert (original.shot.prompt, original.shot.seed, original.shot.strength) == (
        "ink, a cat", 8, 0.5,
    )  # fmt: skip
    assert original.adapters == (UsedAdapter("noir-v1", "ab" * 32, 0.4, "transformer_2"),)
    assert original.made_with == installed()
    assert original.versions() == {}
    assert original.png.pixels().tobytes() == picture().tobytes()


def test_a_control_was_made_without_adapters() -> None:
    assert read(png(0)).adapters == ()


def test_a_control_tells_its_place_in_its_call() -> None:
    shot = RECIPE.shots(["ink"])[0]
    alone = encode(picture(), caption(RECIPE, shot, [], "DDIM"))
    of_seven = encode(picture(), caption(RECIPE, shot, [], "DDIM", (7, 2)))
    assert (read(alone).place, read(of_seven).place) == ((1, 0), (7, 2))


@pytest.mark.parametrize(
    "call", [[7, 7], [7, -1], [0, 0], [300, 0], [7], [7, 1, 1], "77", [7, 0.5]]
)
def test_a_place_outside_its_call_is_refused(call: Any) -> None:
    with pytest.raises(PictureInvalid, match="Its recipe"):
        read(change("image.call", call)())


def test_versions_that_differ_are_told() -> None:
    document = said()
    document["made_with"]["torch"] = "1.0"
    document["recipe"]["renderer"] = "lorary-0"
    document["digest"] = Recipe.from_dict(document["recipe"]).digest
    versions = read(told(document)).versions()
    assert versions == {
        "renderer": ("lorary-0", "lorary-1"),
        "torch": ("1.0", installed()["torch"]),
    }
    del document["made_with"]  # pictures of the first renderer
    assert read(told(document)).versions()["diffusers"] == ("", installed()["diffusers"])


def change(path: str, value: Any, *, is_resealed: bool = True) -> Callable[[], bytes]:
    def changed() -> bytes:
        document = said()
        *parents, last = path.split(".")
        place: Any = document
        for key in parents:
            place = place[int(key) if key.isdigit() else key]
        place[last] = value
        if is_resealed and parents[:1] == ["recipe"]:
            try:
                document["digest"] = Recipe.from_dict(document["recipe"]).digest
            except (RecipeInvalid, OverflowError):  # one that is none has no digest
                document["digest"] = "0" * 64
        return told(document)

    return changed


@pytest.mark.parametrize(
    "changed",
    [
        change("recipe.steps", 9, is_resealed=False),
        change("recipe.steps", "8"),
        change("recipe.steps", 8.0),
        change("recipe.steps", True),
        change("recipe.steps", 10**400),
        change("recipe.guidance", 10**400),
        change("recipe.width", 2**31),
        change("recipe.height", 63),
        change("recipe.prompts", "abc"),
        change("recipe.prompts", ["x" * 100_000]),
        change("recipe.strengths", [10**400]),
        change("recipe.base", "../../etc"),
        change("recipe.base", "\x1b[2J"),
        change("recipe.sampler", "__import__('os')"),
        change("recipe.renderer", "\x1b[31mred"),
        change("recipe.extra", 1),
        change("recipe", []),
        change("digest", 3),
        change("image.seed", 9),
        change("image.seed", True),
        change("image.strength", 0.6),
        change("image.strength", 0),
        change("image.prompt", 3),
        change("image.more", 3),
        change("image", "text"),
        change("adapters", {}),
        change("adapters", [{}] * 17),
        change("adapters", ["text"]),
        change("adapters.0.sha256", "AB" * 32),
        change("adapters.0.sha256", "../" * 21 + "a"),
        change("adapters.0.strength", 0),
        change("adapters.0.strength", 101),
        change("adapters.0.strength", 10**400),
        change("adapters.0.strength", "0.4"),
        change("adapters.0.part", "__class__\n"),
        change("adapters.0.name", "x" * 201),
        change("made_with", ["torch"]),
        change("made_with", {"torch": "1\x1b[31m"}),
        change("made_with", {"torch": 2}),
        change("more", 1),
        lambda: told(b"{"),
        lambda: told(b"[]"),
        lambda: told(b"{}"),
        lambda: told(b"[" * 500_000),
        lambda: told(b'{"recipe":1,"recipe":2}'),
        lambda: told(b'{"recipe": NaN}'),
        lambda: told(b'{"recipe": ' + b"9" * 5000 + b"}"),
        lambda: told("{“recipe”}".encode()),
        lambda: told(b" " * (1024 * 1024 + 1)),
        lambda: with_text(chunk(b"zTXt", b"lorary\0\0" + zlib.compress(b" " * 10**7))),
        lambda: with_text(chunk(b"iTXt", b"lorary\0\1\0\0\0" + zlib.compress(b" " * 10**7))),
        lambda: with_text(chunk(b"tEXt", b"lorary\0{}"), plain=b"{}"),
    ],
)
def test_a_recipe_that_was_changed_is_refused(changed: Callable[[], bytes]) -> None:
    with pytest.raises(PictureInvalid):
        read(changed())


def test_a_picture_of_somebody_else_has_no_recipe() -> None:
    with pytest.raises(PictureInvalid, match="has no recipe"):
        read(with_text(chunk(b"tEXt", b"parameters\0a cat\nSteps: 20")))


def test_bombs_in_other_texts_are_left_alone() -> None:
    bomb = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b" " * 10**8))
    data = png()
    taken = parse_png(data[:-12] + bomb * 3 + data[-12:])
    assert read_back(taken).recipe == RECIPE
    assert bomb not in taken.bare
    taken.pixels()


def header(width: int, height: int) -> bytes:
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))


END = chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "not a PNG"),
        (b"GIF89a", "a GIF"),
        (b"\xff\xd8\xff\xe0", "a JPEG"),
        (b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>', "not a PNG but an SVG"),
        (b"  <svg onload='x'/>", "not a PNG but an SVG"),
        (SIGNATURE, "incomplete"),
        (SIGNATURE + header(30_000, 30_000) + END, "30000 × 30000 pixels; 4096 × 4096"),
        (SIGNATURE + header(0, 8) + END, "0 × 8"),
        (SIGNATURE + END, "does not start with its size"),
        (SIGNATURE + header(8, 8) + END + b"PK\x03\x04", "other data after the picture"),
        (SIGNATURE + header(8, 8) + b"\xff\xff\xff\xff" + b"IDAT", "incomplete"),
        (SIGNATURE + header(8, 8) + chunk(b"12\x1b[", b""), "damaged"),
        (SIGNATURE + header(8, 8)[:-1] + b"\0" + END, "IHDR is not intact"),
        (SIGNATURE + header(8, 8) + chunk(b"tIME", b"") * 20_001, "more than 20000 chunks"),
    ],
    ids=lambda value: value if isinstance(value, str) else "data",
)
def test_files_that_are_no_pictures_are_refused(data: bytes, words: str) -> None:
    with pytest.raises(PictureInvalid, match=words):
        parse_png(data)


@pytest.mark.parametrize(
    "rest",
    [b"", chunk(b"IDAT", b"nothing"), chunk(b"IDAT", zlib.compress(b"\0" * 10))],
)
def test_pixels_that_cannot_be_decoded_are_refused(rest: bytes) -> None:
    with pytest.raises(PictureInvalid, match="cannot be decoded"):
        parse_png(SIGNATURE + header(8, 8) + rest + END).pixels()


def test_pixels_beyond_the_size_are_never_unpacked() -> None:
    bomb = chunk(b"IDAT", zlib.compress(b"\0" * 10**8))
    assert parse_png(SIGNATURE + header(8, 8) + bomb + END).pixels().size == (8, 8)


def test_files_that_cannot_be_read_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(PictureInvalid, match="no such file"):
        read_png(tmp_path / "gone.png")
    with pytest.raises(PictureInvalid, match="no such file"):
        read_png(tmp_path)
    monkeypatch.setattr(chunks_module, "MAX_FILE_BYTES", 2**20)
    (tmp_path / "large.png").write_bytes(SIGNATURE + b"\0" * 2**20)
    with pytest.raises(PictureInvalid, match="more than 1 MiB"):
        read_png(tmp_path / "large.png")
