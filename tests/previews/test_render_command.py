"""``manage.py render``: a picture made again, and what is said of it."""

from __future__ import annotations

import hashlib
import io
import json
import struct
import zlib
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import DatabaseError
from PIL import Image

from previews import demo
from previews.render import Layer, load_bases
from previews.render.defaults import default_recipe
from previews.render.engine import Engine
from previews.render.output.images import Caption, decode, encode
from previews.render.output.png_parsing import parse_png, read_png
from previews.render.recipe import Recipe
from registry.storage import Fetch, store
from tests.previews.updates import recipe, some_updates, write_peft
from tests.whole import by_turns

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from registry.models import Adapter, Version

pytestmark = pytest.mark.django_db

RECIPE = recipe(strengths=(0.0, 0.5), seeds=(1, 2))


def run(*arguments: object) -> tuple[int, str, str]:
    out, err = StringIO(), StringIO()
    with pytest.raises(SystemExit) as leaving:
        call_command("render", *map(str, arguments), stdout=out, stderr=err)
    return int(leaving.value.code or 0), out.getvalue(), err.getvalue()


def asked(*arguments: object) -> tuple[int, Any]:
    code, out, _err = run(*arguments, "--json")
    assert out.count("\n") == 1
    return code, json.loads(out)


def refused(*arguments: object) -> str:
    with pytest.raises(CommandError) as caught:
        call_command("render", *map(str, arguments), stdout=StringIO(), stderr=StringIO())
    assert caught.value.returncode == 2
    code, document = asked(*arguments)
    assert code == 2
    assert document["error"]["message"] == str(caught.value)
    return str(caught.value)


@pytest.fixture(scope="module")
def adapter(tiny_lora: bytes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("adapter") / "noir.safetensors"
    file.write_bytes(tiny_lora)
    return file


@pytest.fixture(scope="module")
def pngs(engine: Engine, adapter: Path) -> Sequence[bytes]:
    sha256 = hashlib.sha256(adapter.read_bytes()).hexdigest()
    layer = Layer(adapter, 0.8, "noir-v1", sha256)
    return [one.png for one in engine.render(RECIPE, [layer], triggers=["neon glow"])]


@pytest.fixture
def picture(pngs: Sequence[bytes], tmp_path: Path) -> Path:
    """Strength 0.5, the second prompt, the first seed."""
    return save(tmp_path, pngs[6])


def save(folder: Path, png: bytes) -> Path:
    file = folder / "picture.png"
    file.write_bytes(png)
    return file


def reseal(png: bytes, alter: Callable[[dict[str, Any]], object]) -> bytes:
    """The same pixels with a recipe that says something else, in itself consistent."""
    read = decode(png)
    alter(read.document)
    read.document["digest"] = Recipe.from_dict(read.document["recipe"]).digest
    return encode(parse_png(png).pixels(), Caption(read.parameters, read.document))


def test_the_configuration_beside_a_file_of_peft_is_read(
    engine: Engine, plain: Any, bases_file: Path, tmp_path: Path
) -> None:
    """Its alpha is there and nowhere else."""
    weights = write_peft(tmp_path / "peft.safetensors", some_updates(plain, text=()))
    config = {"r": 4, "lora_alpha": 8}
    sha256 = hashlib.sha256(weights.read_bytes()).hexdigest()
    one = engine.render(RECIPE, [Layer(weights, 1.0, "peft-v1", sha256, config)])[-1]
    asking = (
        "--recipe", save(tmp_path, one.png), "--adapter", weights, "--bases", bases_file,
    )  # fmt: skip
    beside = tmp_path / "adapter_config.json"
    beside.write_text(json.dumps(config))
    assert asked(*asking)[1]["equality"] == "bytes"
    beside.write_text(json.dumps(config | {"lora_alpha": 4}))
    assert asked(*asking)[0] == 1


@pytest.mark.parametrize("place", by_turns(range(8), 1, 3))
def test_every_picture_of_a_recipe_is_made_again_byte_for_byte(
    pngs: Sequence[bytes], adapter: Path, bases_file: Path, tmp_path: Path, place: int
) -> None:
    out = tmp_path / "again.png"
    code, document = asked(
        "--recipe", save(tmp_path, pngs[place]), "--adapter", adapter, "--bases", bases_file,
        "--out", out,
    )  # fmt: skip
    assert code == 0
    assert document == {
        "matches": True, "equality": "bytes", "difference": 0, "base": "tiny", "versions": {},
        "out": str(out),
    }  # fmt: skip
    assert out.read_bytes() == pngs[place]


def test_people_are_told_in_words(picture: Path, adapter: Path, bases_file: Path) -> None:
    code, out, err = run("--recipe", picture, "--adapter", adapter, "--bases", bases_file)
    assert code == 0
    assert out.startswith("It matches: the same file, byte for byte.\n")
    assert "are the same versions" in out
    assert err.splitlines() == ["opening the base model …", "rendering …"]


@pytest.mark.usefixtures("served")
def test_the_adapter_is_found_in_the_store_by_its_digest(
    publish: Callable[..., Version], noir: Adapter, picture: Path
) -> None:
    assert "is not in the store" in refused("--recipe", picture)
    publish(noir)
    code, document = asked("--recipe", picture)
    assert (code, document["equality"]) == (0, "bytes")


@pytest.mark.usefixtures("served")
def test_a_file_in_the_store_that_was_damaged_is_not_taken(
    publish: Callable[..., Version], noir: Adapter, picture: Path
) -> None:
    primary = publish(noir).primary_file
    assert primary is not None
    path = store().link(primary.sha256, Fetch())
    assert isinstance(path, Path)
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-1] + b"\xff")
    assert "is not in the store" in refused("--recipe", picture)


@pytest.mark.usefixtures("served")
def test_bytes_in_the_store_are_enough_without_a_database(
    publish: Callable[..., Version],
    noir: Adapter,
    picture: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    publish(noir)

    def away(*_args: object, **_kwargs: object) -> None:
        raise DatabaseError

    monkeypatch.setattr("previews.local_weights.File.objects.filter", away)
    assert asked("--recipe", picture)[0] == 0


def test_recompressed_pixels_match(picture: Path, adapter: Path, bases_file: Path) -> None:
    png = picture.read_bytes()
    stream = io.BytesIO()
    parse_png(png).pixels().save(stream, "PNG", compress_level=1)
    end = png.index(b"lorary\0") - 8
    length = struct.unpack(">I", png[end : end + 4])[0]
    text = png[end : end + 12 + length]
    picture.write_bytes(stream.getvalue()[:-12] + text + stream.getvalue()[-12:])
    code, out, _err = run("--recipe", picture, "--adapter", adapter, "--bases", bases_file)
    assert code == 0
    assert out.startswith("It matches: the same pixels; the bytes of the file differ.")


@pytest.mark.parametrize(("by", "code"), [(1, 0), (2, 1)])
def test_one_of_255_is_rounding_and_two_are_not(
    picture: Path, adapter: Path, bases_file: Path, by: int, code: int
) -> None:
    read, pixels = decode(picture.read_bytes()), read_png(picture).pixels()
    red, green, blue = pixels.getpixel((3, 4))  # type: ignore[misc] # RGB has three
    pixels.putpixel((3, 4), (red, green + by if green < 128 else green - by, blue))
    picture.write_bytes(encode(pixels, read))
    told = asked("--recipe", picture, "--adapter", adapter, "--bases", bases_file)
    assert told[0] == code
    assert told[1]["difference"] == by


ALTERED: list[Callable[[dict[str, Any]], object]] = [
    lambda said: said["adapters"].clear(),
    lambda said: said["adapters"][0].update(strength=-0.4),
    lambda said: said["recipe"].update(steps=3),
    lambda said: said["image"].update(seed=2),
    lambda said: said["image"].update(prompt="a green frog"),
    lambda said: said["recipe"].update(guidance=9.0),
    lambda said: said["recipe"].update(width=128),
]


@pytest.mark.parametrize("alter", by_turns(ALTERED, 0, 3))
def test_a_recipe_of_another_picture_differs(
    picture: Path, adapter: Path, bases_file: Path, alter: Callable[[dict[str, Any]], object]
) -> None:
    picture.write_bytes(reseal(picture.read_bytes(), alter))
    code, out, _err = run("--recipe", picture, "--adapter", adapter, "--bases", bases_file)
    assert code == 1
    assert out.startswith("It differs: by up to ")


def test_versions_of_there_and_here_are_told(
    picture: Path, adapter: Path, bases_file: Path
) -> None:
    def older(said: dict[str, Any]) -> None:
        said["made_with"].update(torch="2.0.1")
        said["recipe"].update(renderer="lorary-0")

    picture.write_bytes(reseal(picture.read_bytes(), older))
    code, out, _err = run("--recipe", picture, "--adapter", adapter, "--bases", bases_file)
    assert code == 0
    assert "It matches: the same pixels" in out
    assert "  torch: 2.0.1 in the picture, " in out
    assert "  renderer: lorary-0 in the picture, lorary-1 here" in out
    assert "diffusers" not in out


def test_another_base_of_the_same_name_differs(
    picture: Path, adapter: Path, bases_file: Path, tmp_path: Path
) -> None:
    file = tmp_path / "bases.toml"
    file.write_text(
        bases_file.read_text()
        .replace('"tiny"', f'"{bases_file.parent / "tiny"}"')
        .replace("steps", "call = { guidance_rescale = 0.9 }\nsteps")
    )
    code, _document = asked("--recipe", picture, "--adapter", adapter, "--bases", file)
    assert code == 1


@pytest.mark.parametrize(
    ("alter", "words"),
    [
        (lambda said: said["recipe"].update(base="sdxl"), "no base model “sdxl”"),
        (lambda said: said["recipe"].update(sampler="NoScheduler"), "no sampler “NoScheduler”"),
        # needs a library that is not installed
        (lambda said: said["recipe"].update(sampler="DPMSolverSDEScheduler"), "cannot make this"),
        (lambda said: said["adapters"][0].update(part="transformer_2"), "no “transformer_2”"),
    ],
)
def test_what_cannot_be_made_here_is_said(
    picture: Path,
    adapter: Path,
    bases_file: Path,
    alter: Callable[[dict[str, Any]], object],
    words: str,
) -> None:
    picture.write_bytes(reseal(picture.read_bytes(), alter))
    assert words in refused("--recipe", picture, "--adapter", adapter, "--bases", bases_file)


def test_a_recipe_that_does_not_fit_its_digest_is_refused(
    picture: Path, adapter: Path, bases_file: Path
) -> None:
    png = picture.read_bytes()
    read = decode(png)
    read.document["recipe"]["steps"] = 3
    picture.write_bytes(encode(parse_png(png).pixels(), read))
    text = refused("--recipe", picture, "--adapter", adapter, "--bases", bases_file)
    assert "its digest differs" in text


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not a PNG but an SVG"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", 30_000, 30_000), "incomplete"),
    ],
)
def test_what_is_no_picture_is_refused(tmp_path: Path, data: bytes, words: str) -> None:
    assert words in refused("--recipe", save(tmp_path, data))


def test_a_picture_of_enormous_size_is_refused(tmp_path: Path) -> None:
    body = b"IHDR" + struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n\0\0\0\r" + body + struct.pack(">I", zlib.crc32(body))
    assert "30000 × 30000 pixels" in refused("--recipe", save(tmp_path, data))


def test_a_picture_without_a_recipe_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "plain.png"
    Image.new("RGB", (8, 8)).save(file)
    assert "has no recipe" in refused("--recipe", file)
    assert "no such file" in refused("--recipe", tmp_path / "gone.png")


def test_files_that_took_no_part_are_refused(
    picture: Path, adapter: Path, bases_file: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.safetensors"
    other.write_bytes(adapter.read_bytes() + b"\n")
    text = refused("--recipe", picture, "--adapter", other, "--bases", bases_file)
    assert "not made with the file" in text
    gone = tmp_path / "gone.safetensors"
    assert "gone.safetensors: " in refused(
        "--recipe", picture, "--adapter", gone, "--bases", bases_file
    )


def test_places_that_cannot_be_written_are_refused_before_rendering(
    picture: Path, adapter: Path, tmp_path: Path
) -> None:
    assert "would overwrite" in refused("--recipe", picture, "--out", picture)
    assert "cannot be used" in refused("--recipe", picture, "--out", tmp_path)
    assert "cannot be used" in refused("--recipe", picture, "--out", tmp_path / "gone" / "x.png")


def test_a_broken_bases_file_is_refused(picture: Path, tmp_path: Path) -> None:
    file = tmp_path / "bases.toml"
    file.write_text("[bases.a]\n")
    assert "“family” is missing" in refused("--recipe", picture, "--bases", file)


@pytest.mark.slow
def test_pictures_of_the_miniature_and_a_demo_style_are_made_again(tmp_path: Path) -> None:
    style = next(one for one in demo.catalogue() if one.name == "mosaic")
    bases = load_bases()
    one = default_recipe(bases.get("miniature"), "style")
    layer = Layer(style.path, 1.0, "mosaic-v1", hashlib.sha256(style.path.read_bytes()).hexdigest())
    words = style.entry["trigger_words"]
    pictures = Engine(bases).render(one, [layer], triggers=words)
    for picture in (pictures[1], pictures[-2]):
        file = save(tmp_path, picture.png)
        code, document = asked("--recipe", file, "--adapter", style.path)
        assert (code, document["equality"]) == (0, "bytes")
