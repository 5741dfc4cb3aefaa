"""Parses untrusted PNG files within limits, before a decoder reads them.

Nothing is decompressed here. The decoder gets only the chunks of the picture itself.
"""

from __future__ import annotations

import io
import re
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from PIL import Image

from lorary.pictures.faults import Broken, Fault
from lorary.pictures.png import MAX_CHUNKS, PICTURE, SIGNATURE, TEXTS, walk
from previews.render.errors import PictureInvalid
from previews.render.recipe import MAX_SIDE

#: Maximum file size; the largest picture has 50 MB uncompressed.
MAX_FILE_BYTES = 64 * 1024 * 1024

_NAME = re.compile(rb"[A-Za-z]{4}\Z")


@dataclass(frozen=True, slots=True)
class Png:
    """A parsed file.

    Attributes:
        texts: ``tEXt`` chunks by keyword; None for other text chunks and duplicates.
    """

    data: bytes  # the whole file
    width: int  # width of the picture; like the height at most MAX_SIDE
    height: int
    texts: Mapping[str, bytes | None]
    bare: bytes  # the file with only the chunks of the picture

    def pixels(self) -> Image.Image:
        """Return the picture in RGB.

        Raises:
            PictureInvalid: it cannot be decoded.
        """
        try:
            with Image.open(io.BytesIO(self.bare), formats=["PNG"]) as picture:
                return picture.convert("RGB")
        except (OSError, SyntaxError, ValueError, EOFError, zlib.error, struct.error):
            _refuse("The picture cannot be decoded; it is damaged or incomplete.")


def read_png(file: Path) -> Png:
    """Read and parse a file."""
    try:
        if not file.is_file():
            _refuse(f"{file}: there is no such file.")
        with file.open("rb") as handle:
            data = handle.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:
        _refuse(f"{file} cannot be read: {error}.")
    return parse_png(data)


def parse_png(data: bytes) -> Png:
    """Parse a PNG.

    Raises:
        PictureInvalid: not a PNG, damaged, or outside the limits.
    """
    if len(data) > MAX_FILE_BYTES:
        _refuse(f"The file has more than {MAX_FILE_BYTES // 2**20} MiB.")
    if not data.startswith(SIGNATURE):
        _refuse(f"This is not a PNG{_looks_like(data)}.")
    width, height = 0, 0
    texts: dict[str, bytes | None] = {}
    bare = [SIGNATURE]
    for name, start, body, end in _chunks(data):
        if not width:
            width, height = _size(name, body)
        if name in TEXTS:
            keyword, _, text = body.partition(b"\0")
            word = keyword[:80].decode("latin-1")
            texts[word] = text if name == b"tEXt" and word not in texts else None
        elif name in PICTURE:
            bare.append(data[start:end])
    return Png(data, width, height, texts, b"".join(bare))


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, bytes, int]]:
    """Yield name, start, bytes and end of each chunk."""
    end = 0
    try:
        for chunk in walk(data):
            name, _start, _body, end = chunk
            _require_name(name)
            yield chunk
    except Broken as fault:
        _refuse(_message(fault))
    if end != len(data):
        _refuse("The file contains other data after the picture.")


def _require_name(name: bytes) -> None:
    if not _NAME.match(name):
        _refuse("The file is damaged: a chunk has no name.")


def _message(fault: Broken) -> str:
    if fault.why == Fault.CUT:
        return "The file is incomplete."
    if fault.why == Fault.ENDLESS:
        return f"The file has more than {MAX_CHUNKS} chunks."
    _require_name(fault.name)
    return f"The file is damaged or was changed: {fault.name.decode()} is not intact."


def _size(name: bytes, body: bytes) -> tuple[int, int]:
    if name != b"IHDR" or len(body) != 13:
        _refuse("The file is damaged: it does not start with its size.")
    width, height = struct.unpack(">II", body[:8])
    if not (1 <= width <= MAX_SIDE and 1 <= height <= MAX_SIDE):
        text = f"The picture has {width} × {height} pixels; {MAX_SIDE} × {MAX_SIDE} are allowed."
        _refuse(text)
    return width, height


def _looks_like(data: bytes) -> str:
    start = data[:512].lstrip().lower()
    if b"<svg" in start or start.startswith(b"<?xml"):
        return " but an SVG"
    kinds = {b"\xff\xd8\xff": " but a JPEG", b"GIF8": " but a GIF", b"RIFF": " but perhaps a WebP"}
    return next((words for sign, words in kinds.items() if data.startswith(sign)), "")


def _refuse(text: str) -> NoReturn:
    raise PictureInvalid(text)
