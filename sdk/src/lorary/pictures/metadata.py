"""Reads the adapters that a file names: a picture, a video, a workflow or a text, by its content.

Nothing is decoded, and only parts with text are kept. The limits hold for every file.
"""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from lorary.pictures import exif, jpeg, mp4, png, webm, webp
from lorary.pictures.claims.gather import loras_in, loras_in_document, loras_in_text
from lorary.pictures.faults import Broken, Fault
from lorary.pictures.formats import HEAD_BYTES, Format, format_of, named

if TYPE_CHECKING:
    from lorary.pictures.claims.facts import Resource

MIB = 1024 * 1024
#: Maximum size of a picture; and of a workflow or text, and of all texts of a file, decompressed.
MAX_PICTURE_BYTES, MAX_TEXT_BYTES = 256 * MIB, 16 * MIB

_REASONS = {
    Fault.CUT: "The file is incomplete.",
    Fault.CHANGED: "The file is damaged.",
    Fault.ENDLESS: "The file has too many parts.",
    Fault.TEXTS: "Its metadata is too large.",
}


class Unreadable(ValueError):
    """A file whose metadata cannot be read; the message says why."""


def loras_of(place: str | os.PathLike[str]) -> list[Resource]:
    """Return the adapters that a file names; see ``read``.

    Raises:
        OSError: the file cannot be opened.
        Unreadable: it is damaged, too large or of another type.
    """
    with Path(place).open("rb") as file:
        return read(file)


def read(
    file: BinaryIO,
    *,
    max_bytes: int = MAX_PICTURE_BYTES,
    max_text_bytes: int = MAX_TEXT_BYTES,
) -> list[Resource]:
    """Return the adapters that an open file names, each once.

    Args:
        file: A seekable binary file.
        max_bytes: Maximum size of a picture. Of videos only the metadata are read.
        max_text_bytes: Maximum size of a document, and of all texts of a file.

    Raises:
        Unreadable: it is damaged, too large or of another type.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    head = file.read(HEAD_BYTES)
    kind = format_of(head)
    try:
        if kind is None:
            return _of_document(file, head, size, max_text_bytes)
        return loras_in(_texts(kind, file, size, max_bytes, max_text_bytes))
    except Broken as fault:
        raise Unreadable(_REASONS[fault.why]) from fault
    except MemoryError as error:
        raise Unreadable(_REASONS[Fault.TEXTS]) from error


def _texts(kind: Format, file: BinaryIO, size: int, max_bytes: int, room: int) -> dict[str, str]:
    """Return the texts of a picture or a video by keyword."""
    if kind == Format.MP4:
        return mp4.texts_in(file, size, room)
    if kind == Format.WEBM:
        return webm.texts_in(file, size, room)
    data = _whole(file, size, max_bytes)
    if kind == Format.PNG:
        return png.texts_in(data, room)
    found = jpeg.exif_in(data) if kind == Format.JPEG else webp.exif_in(data)
    if len(found) > room:
        raise Broken(Fault.TEXTS)
    return exif.texts_of(found)


def _whole(file: BinaryIO, size: int, max_bytes: int) -> bytes:
    if size > max_bytes:
        msg = f"The file has more than {max_bytes // MIB} MiB."
        raise Unreadable(msg)
    file.seek(0)
    return file.read(max_bytes)


def _of_document(file: BinaryIO, head: bytes, size: int, limit: int) -> list[Resource]:
    """Return the adapters that a workflow or a text names."""
    is_wide = head.startswith(_UTF16)
    is_markup = head.lstrip().startswith(b"<") and bool(named(head))
    if (b"\0" in head and not is_wide) or is_markup:
        raise _unknown(head)
    data = _whole(file, size, limit)
    try:
        text = data.decode("utf-16" if is_wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise _unknown(head) from error
    if not text.lstrip().startswith(("{", "[")):
        return loras_in_text(text)
    try:
        return loras_in_document(json.loads(text))
    except RecursionError as error:
        msg = "Its JSON is nested too deeply."
        raise Unreadable(msg) from error
    except ValueError as error:
        msg = f"Its JSON is damaged: {error}."
        raise Unreadable(msg) from error


def _unknown(head: bytes) -> Unreadable:
    what = named(head)
    return Unreadable(f"This is neither a picture nor a text{f', but: {what}' if what else ''}.")


_UTF16 = (b"\xff\xfe", b"\xfe\xff")


def read_bytes(data: bytes) -> list[Resource]:
    """Return the adapters that the bytes of a file name; see ``read``."""
    return read(io.BytesIO(data))
