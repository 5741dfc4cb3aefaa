"""Files that mean harm, or are broken: each is refused for a reason, and the caller lives on."""

from __future__ import annotations

import json
import struct
import zlib
from typing import TYPE_CHECKING, Any

import pytest

from previews.sample_files import formats, reader
from previews.sample_files.formats import Format, Interrupted, Refused, Why, sniff
from registry.confined import processes
from tests.previews.sample_files import files

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from previews.sample_files.sandbox import Reading

    Read = Callable[[bytes], Reading]

PHOTO_PNG = files.encoded(files.photo(), "PNG")
PHOTO_JPEG = files.encoded(files.photo(), "JPEG")
PHOTO_WEBP = files.encoded(files.photo(), "WEBP")
WEBM = files.film(kind="webm", codec="libvpx-vp9")
BOMB = zlib.compress(b"A" * (64 * 1024 * 1024), 9)


@pytest.mark.parametrize(
    ("head", "what"),
    [
        (b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg">', "SVG"),
        (b"\n <SVG onload=alert(1)>", "SVG"),
        (b"<!DOCTYPE html><script>alert(1)</script>", "HTML page"),
        (b"GIF89a\x01\x00\x01\x00", "GIF"),
        (b"%PDF-1.7", "PDF"),
        (b"PK\x03\x04\x14\0", "ZIP archive"),
        (b"\0\0\0\x1cftypavif\0\0\0\0", "AVIF"),
        (b"\0\0\0\x1cftypheic\0\0\0\0", "HEIC"),
        (b"\x1a\x45\xdf\xa3\x9f\x42\x82\x88matroska", "Matroska video"),
        (b"MZ\x90\0", "Windows program"),
        (b'\x40\0\0\0\0\0\0\0{"__metadata__":{}}', "safetensors file"),
    ],
)
def test_other_files_are_refused_by_name(head: bytes, what: str) -> None:
    with pytest.raises(Refused) as refusal:
        sniff(head)
    assert (refusal.value.why, refusal.value.facts) == (Why.KIND, {"what": what})


@pytest.mark.parametrize("head", [b"", b"hello", b"RIFF\0\0\0\0AVI LIST", b"\x89PNG"])
def test_what_is_nothing_known_is_refused(head: bytes) -> None:
    with pytest.raises(Refused) as refusal:
        sniff(head)
    assert refusal.value.why == Why.UNKNOWN


def test_the_bytes_decide_and_not_the_name() -> None:
    assert sniff(PHOTO_PNG) == Format.PNG
    assert sniff(PHOTO_JPEG) == Format.JPEG
    assert sniff(PHOTO_WEBP) == Format.WEBP


def longer(data: bytes, seconds: int) -> bytes:
    """Write into the header of an MP4 that each of its frames is seen for so long."""
    scale = struct.unpack(">I", data[data.index(b"mdhd") + 16 :][:4])[0]
    place = data.index(b"stts") + 16
    long = data[:place] + struct.pack(">I", seconds * scale) + data[place + 4 :]
    return long.replace(b"edts", b"free")  # the edit list would cut it short again


def broken(data: bytes) -> bytes:
    """Overwrite the beginning of the last frame of a WebP."""
    place = data.rindex(b"VP8 ") + 8
    return data[:place] + b"\0" * 20 + data[place + 20 :]


ATTACKS = {
    "30,000 × 30,000 pixels in PNG": (files.png(size=(30_000, 30_000)), Why.PIXELS),
    "no pixels at all": (files.png(size=(0, 5)), Why.DAMAGED),
    "a size that the data does not fill": (files.png(size=(4000, 4000)), Why.DAMAGED),
    "a changed byte": (PHOTO_PNG[:60] + b"\xee" + PHOTO_PNG[61:], Why.DAMAGED),
    "half a PNG": (PHOTO_PNG[: len(PHOTO_PNG) // 2], Why.CUT),
    "only a signature": (PHOTO_PNG[:8], Why.CUT),
    "an archive behind a PNG": (PHOTO_PNG + b"PK\x03\x04" + b"x" * 50, Why.TRAILING),
    "a page behind a JPEG": (PHOTO_JPEG + b"<html>", Why.TRAILING),
    "a byte behind a WebP": (PHOTO_WEBP + b"\0", Why.TRAILING),
    "half a JPEG": (PHOTO_JPEG[: len(PHOTO_JPEG) // 2], Why.CUT),
    "half a WebP": (PHOTO_WEBP[: len(PHOTO_WEBP) // 2], Why.CUT),
    "a bomb in zTXt": (files.png(files.chunk(b"zTXt", b"parameters\0\0" + BOMB)), Why.TEXTS),
    "a bomb in iTXt": (files.png(files.chunk(b"iTXt", b"prompt\0\1\0\0\0" + BOMB)), Why.TEXTS),
    "a bomb in a profile": (files.png(files.chunk(b"iCCP", b"x\0\0" + BOMB)), Why.TEXTS),
    "a canvas of 16,000 × 16,000 in WebP": (
        files.riff((b"VP8X", b"\0\0\0\0\x7f\x3e\0\x7f\x3e\0"), (b"VP8 ", b"\0" * 20)),
        Why.PIXELS,
    ),
    "10,000 frames": (
        files.riff(
            (b"VP8X", b"\x02\0\0\0\x3f\0\0\x3f\0\0"),
            *[(b"ANMF", b"\0" * 12 + b"\x14\0\0\0")] * 10_000,
        ),
        Why.FRAMES,
    ),
    "frames of an hour": (files.animation((100, 3_600_000)), Why.LENGTH),
    "a header of 10 hours": (longer(files.film(), 7200), Why.LENGTH),
    "a video of 30 seconds": (files.film(30, fps=2), Why.LENGTH),
    "a video of 4,096 pixels": (files.film(0.2, size=(4096, 2048)), Why.PIXELS),
    "a codec of long ago": (files.film(codec="mpeg4"), Why.CODEC),
    "a video without pictures": (files.sound(), Why.BLANK),
    "an archive behind an MP4": (files.film() + b"PK\x03\x04\x14\0\0\0" * 9, Why.TRAILING),
    "an archive behind a WebM": (WEBM + b"PK\x03\x04\x14\0\0\0" * 9, Why.TRAILING),
    "a codec that nobody knows": (files.film().replace(b"avc1", b"zzz1"), Why.CODEC),
    "an animation with a broken frame": (broken(files.animation()), Why.DAMAGED),
    "half an MP4": (files.film()[:700], Why.CUT),
    "half a WebM": (WEBM[: len(WEBM) // 2], Why.CUT),
    "a WebM of a header": (WEBM[:4] + b"\x84webm", Why.DAMAGED),
    "an MP4 of nothing": (b"\0\0\0\x18ftypisom" + b"\0" * 12, Why.DAMAGED),
    "an MP4 of empty boxes": (b"\0\0\0\x10ftypisom\0\0\0\0" + b"\0\0\0\0free", Why.DAMAGED),
    "too many bytes": (PHOTO_PNG + b"\0" * formats.MAX_PICTURE_BYTES, Why.SIZE),
}  # fmt: skip


@pytest.mark.parametrize("name", ATTACKS)
def test_it_is_refused(tmp_path: Path, name: str) -> None:
    data, why = ATTACKS[name]
    source = tmp_path / "source.png"
    source.write_bytes(data)
    with pytest.raises(Refused) as refusal:
        reader.read(source, tmp_path)
    assert refusal.value.why == why


def test_a_recording_of_unknown_length_ends_with_the_file(read: Read) -> None:
    """Browsers write WebM so."""
    place = WEBM.index(b"\x18\x53\x80\x67") + 4
    live = WEBM[:place] + b"\x01" + b"\xff" * 7 + WEBM[place + 8 :]
    assert read(live).film is not None


def test_what_follows_a_picture_is_named(read: Read) -> None:
    with pytest.raises(Refused) as refusal:
        read(PHOTO_PNG + b"PK\x03\x04" + b"x" * 50)
    assert refusal.value.facts == {"what": "ZIP archive"}


def reader_that(code: str, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Put other code into the reader's process: what a decoder would do that was taken over."""
    package = folder / "fake" / "previews" / "sample_files"
    package.mkdir(parents=True)
    real = processes.ROOT / "previews" / "sample_files"
    for file in real.glob("*.py"):
        (package / file.name).write_text(file.read_text())
    (package / "stills.py").write_text(code)
    (package.parent / "__init__.py").touch()
    (folder / "fake" / "registry").symlink_to(processes.ROOT / "registry")
    monkeypatch.setattr(processes, "ROOT", folder / "fake")


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("data = bytearray(3 * 2**30)", Why.HEAVY),
        pytest.param("while True: pass", Why.SLOW, marks=pytest.mark.slow),
        pytest.param("import time; time.sleep(60)", Why.SLOW, marks=pytest.mark.slow),
        ("import os; os.abort()", Why.DAMAGED),
        ("1 / 0", Why.DAMAGED),
    ],
)
def test_a_decoder_that_runs_wild_is_stopped(
    read: Read, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, code: str, why: Why
) -> None:
    reader_that(code, monkeypatch, tmp_path)
    file = tmp_path / "fake" / "previews" / "sample_files" / "formats.py"
    file.write_text(file.read_text() + "\nCPU_S = 1\nWALL_S = 2\n")
    with pytest.raises(Refused) as refusal:
        read(PHOTO_PNG)
    assert refusal.value.why == why


def test_a_reader_that_was_stopped_from_outside_blames_nobody(
    read: Read, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    reader_that("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", monkeypatch, tmp_path)
    with pytest.raises(Interrupted):
        read(PHOTO_PNG)


def test_the_reader_gets_none_of_the_workers_secrets(
    read: Read, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LORARY_SECRET_KEY", "secret")
    reader_that("import os; assert not [n for n in os.environ if 'LORARY' in n]; os.abort()",
                monkeypatch, tmp_path)  # fmt: skip
    with pytest.raises(Refused):
        read(PHOTO_PNG)
    assert "AssertionError" not in (tmp_path / "served" / "log").read_text()


@pytest.mark.parametrize(
    "lie",
    [
        {"is_film": True},
        {"refused": "nothing"},
        {"width": -1},
        {"height": 100_000},
        {"placeholder": "javascript:alert(1)"},
    ],
)
def test_an_answer_that_cannot_be_is_not_believed(
    read: Read, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, lie: dict[str, Any]
) -> None:
    honest: dict[str, Any] = {
        "is_film": False,
        "width": 96,
        "height": 64,
        "facts": {},
    }
    said = json.dumps(honest | {"placeholder": "data:image/webp;base64,AAAA"} | lie)
    lines = (
        "import os, pathlib, sys",
        "place = pathlib.Path(sys.argv[2])",
        "(place / 'film.mp4').write_bytes(b'<script>')",
        f"(place / 'picture.webp').write_bytes({PHOTO_WEBP!r})",
        f"(place / 'outcome.json').write_text({said!r})",
        "os._exit(0)",
    )
    reader_that("\n".join(lines), monkeypatch, tmp_path)
    with pytest.raises((ValueError, KeyError, OSError, Refused)):
        read(PHOTO_PNG)
