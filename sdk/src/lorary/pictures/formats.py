"""File types, detected from the first bytes."""

from __future__ import annotations

import re
from enum import Enum

#: Number of bytes that ``format_of`` needs.
HEAD_BYTES = 1024


class Format(str, Enum):
    """File types of pictures and videos that are read."""

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


def format_of(head: bytes) -> Format | None:
    """Return the type of a file from its first ``HEAD_BYTES`` bytes; None for other types."""
    for signature, kind in _SIGNATURES.items():
        if head.startswith(signature):
            return kind
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return Format.WEBP
    if head[4:8] == b"ftyp" and head[8:12] not in _STILLS_IN_BOXES:
        return Format.MP4
    if head.startswith(b"\x1a\x45\xdf\xa3") and b"webm" in head[:64]:
        return Format.WEBM
    return None


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
