"""Accepted file types, detected from the first bytes; limits, and reasons for refusal."""

from __future__ import annotations

import re
from enum import StrEnum

#: Number of bytes that ``sniff`` needs.
HEAD_BYTES = 1024


class Format(StrEnum):
    """Accepted file types."""

    PNG = "png"
    JPEG = "jpeg"
    WEBP = "webp"
    MP4 = "mp4"
    WEBM = "webm"

    @property
    def is_film(self) -> bool:
        """Whether it is a video; a WebP may also be animated."""
        return self in {Format.MP4, Format.WEBM}


_SIGNATURES = {
    b"\x89PNG\r\n\x1a\n": Format.PNG,
    b"\xff\xd8\xff": Format.JPEG,
}

#: Names of other file types.
_OTHERS = {
    b"GIF8": "GIF",
    b"%PDF": "PDF",
    b"PK\x03\x04": "ZIP archive",
    b"Rar!": "RAR archive",
    b"7z\xbc\xaf\x27\x1c": "7z archive",
    b"\x1f\x8b": "gzip archive",
    b"BM": "BMP",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"8BPS": "Photoshop document",
    b"\0\0\1\0": "icon",
    b"\xff\x0a": "JPEG XL",
    b"\0\0\0\x0cJXL ": "JPEG XL",
    b"MZ": "Windows program",
    b"\x7fELF": "program",
    b"#!": "script",
    b"OggS": "Ogg file",
    b"ID3": "MP3",
    b"FLV": "Flash video",
}
_MARKUP = (
    (re.compile(rb"<svg[\s>]", re.IGNORECASE), "SVG"),
    (re.compile(rb"<(!doctype html|html|script|body|iframe)[\s>]", re.IGNORECASE), "HTML page"),
    (re.compile(rb"\A\s{0,1024}(\xef\xbb\xbf)?\s{0,1024}<\?xml", re.IGNORECASE), "XML document"),
)
_STILLS_IN_BOXES = {b"avif": "AVIF", b"avis": "AVIF", b"heic": "HEIC", b"heix": "HEIC",
                    b"mif1": "HEIC", b"msf1": "HEIC"}  # fmt: skip
_SAFETENSORS = re.compile(rb"\A.{6}\0\0\{\s{0,1024}\"", re.DOTALL)


def sniff(head: bytes) -> Format:
    """Return the type of a file from its first ``HEAD_BYTES`` bytes.

    Raises:
        Refused: the type is not accepted (``KIND``) or unknown (``UNKNOWN``).
    """
    for signature, kind in _SIGNATURES.items():
        if head.startswith(signature):
            return kind
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return Format.WEBP
    if head[4:8] == b"ftyp" and head[8:12] not in _STILLS_IN_BOXES:
        return Format.MP4
    if head.startswith(b"\x1a\x45\xdf\xa3") and b"webm" in head[:64]:
        return Format.WEBM
    what = named(head)
    if what:
        raise Refused(Why.KIND, what=what)
    raise Refused(Why.UNKNOWN)


def named(head: bytes) -> str:
    """Return the name of a file type that is not accepted; empty if unknown."""
    if head[4:8] == b"ftyp":
        return _STILLS_IN_BOXES.get(head[8:12], "MP4")
    if head.startswith(b"\x1a\x45\xdf\xa3"):
        return "Matroska video"
    for signature, what in _OTHERS.items():
        if head.startswith(signature):
            return what
    if _SAFETENSORS.match(head):
        return "safetensors file"
    return next((what for pattern, what in _MARKUP if pattern.search(head[:HEAD_BYTES])), "")


class Why(StrEnum):
    """Why a file is refused, with the facts in brackets."""

    KIND = "kind"  # another file type [what]
    UNKNOWN = "unknown"  # unknown file type
    SIZE = "size"  # too many bytes [limit_mib]
    PIXELS = "pixels"  # too many pixels [width, height, megapixels]
    CUT = "cut"  # incomplete
    TRAILING = "trailing"  # data after the end [what]
    DAMAGED = "damaged"  # cannot be decoded
    TEXTS = "texts"  # compressed metadata that is too large
    LENGTH = "length"  # video too long [seconds, limit_s]
    FRAMES = "frames"  # too many frames [limit]
    BLANK = "blank"  # a video without a picture
    CODEC = "codec"  # unsupported video codec [codec]
    SLOW = "slow"  # decoding takes too long
    HEAVY = "heavy"  # decoding takes too much memory


class Refused(Exception):
    """The file is refused."""

    def __init__(self, why: Why, **facts: str | int) -> None:
        super().__init__(why.value)
        self.why = why
        self.facts = facts


class Interrupted(Exception):
    """The reader was stopped from outside; the file can be read again."""


MIB = 1024 * 1024

MAX_PICTURE_BYTES = 20 * MIB
MAX_FILM_BYTES = 64 * MIB

#: Limits of a picture; libwebp has at most 16,383 pixels on a side, libjpeg 65,535.
MAX_PIXELS = 40_000_000
MAX_SIDE = 16_383

#: Limits of a video or animation: 1080p in either orientation, 60 frames per second.
MAX_FILM_PIXELS = 1920 * 1088
MAX_SECONDS = 20
MAX_FRAMES = 1_200

#: Maximum size of all texts of a file, decompressed; workflows of ComfyUI can have a megabyte.
MAX_TEXT_BYTES = 4 * MIB

#: Limits of the reader: address space, CPU time, wall time, bytes of a written file.
MEMORY_BYTES = 1536 * MIB
CPU_S = 60
WALL_S = 120
WRITE_BYTES = 64 * MIB
