"""What a file is, by its first bytes; its name and its declared type prove nothing."""

from __future__ import annotations

import re
from enum import StrEnum

__all__ = [
    "HEAD_BYTES",
    "MAX_FILM_BYTES",
    "MAX_FRAMES",
    "MAX_PICTURE_BYTES",
    "MAX_PIXELS",
    "MAX_SECONDS",
    "MAX_SIDE",
    "MAX_TEXT_BYTES",
    "MIB",
    "Format",
    "Interrupted",
    "Refused",
    "Why",
    "named",
    "sniff",
]

#: As many first bytes as ``sniff`` looks at.
HEAD_BYTES = 1024


class Format(StrEnum):
    """Kinds of files that are taken."""

    PNG = "png"
    JPEG = "jpeg"
    WEBP = "webp"
    MP4 = "mp4"
    WEBM = "webm"

    @property
    def is_film(self) -> bool:
        """Whether it is a container of videos; a WebP may move as well."""
        return self in {Format.MP4, Format.WEBM}


_SIGNATURES = {
    b"\x89PNG\r\n\x1a\n": Format.PNG,
    b"\xff\xd8\xff": Format.JPEG,
}

#: What people send by mistake or worse, called as they would call it.
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
    """Return the kind of file.

    Args:
        head: Its first ``HEAD_BYTES`` bytes, or all of a shorter one.

    Raises:
        Refused: it is of a kind that is not taken (``KIND``, by name), or of none (``UNKNOWN``).
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
    """Return how people call a kind of file that is not taken; "" when it is not known."""
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
    """What is wrong with a file; its particulars are those in brackets."""

    KIND = "kind"  # another kind of file [what]
    UNKNOWN = "unknown"  # nothing that is known
    SIZE = "size"  # too many bytes [limit_mib]
    PIXELS = "pixels"  # too large a picture [width, height, megapixels]
    CUT = "cut"  # ends before it is over
    TRAILING = "trailing"  # goes on after its end [what]
    DAMAGED = "damaged"  # cannot be decoded
    TEXTS = "texts"  # metadata that unpack to far more than they are
    LENGTH = "length"  # too long a video [seconds, limit_s]
    FRAMES = "frames"  # too many pictures in a video [limit]
    BLANK = "blank"  # a video without pictures
    CODEC = "codec"  # a video of a kind that is not decoded here [codec]
    SLOW = "slow"  # decoding takes too long
    HEAVY = "heavy"  # decoding takes too much memory


class Refused(Exception):
    """The file is not taken."""

    def __init__(self, why: Why, **facts: str | int) -> None:
        super().__init__(why.value)
        self.why = why
        self.facts = facts


class Interrupted(Exception):
    """The process that read was ended from outside; the file is not to blame."""


MIB = 1024 * 1024

MAX_PICTURE_BYTES = 20 * MIB
MAX_FILM_BYTES = 64 * MIB

#: Of a still picture; libwebp and libjpeg go to 16,383 and 65,535 pixels a side.
MAX_PIXELS = 40_000_000
MAX_SIDE = 16_383

#: Of whatever moves: 1080p, either way round, 60 frames a second.
MAX_FILM_PIXELS = 1920 * 1088
MAX_SECONDS = 20
MAX_FRAMES = 1_200

#: Texts of a file together, unpacked; workflows of ComfyUI reach a megabyte.
MAX_TEXT_BYTES = 4 * MIB

#: Of the process that reads: address space, seconds of CPU, seconds by the clock, bytes a file.
MEMORY_BYTES = 1536 * MIB
CPU_S = 60
WALL_S = 120
WRITE_BYTES = 64 * MIB
