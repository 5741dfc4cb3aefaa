"""Texts in the Exif of JPEG, WebP and PNG.

A1111 and its kin write ``parameters`` as UserComment, with 8 bytes that name the encoding in
front; UTF-16 is found in either order of bytes. ComfyUI writes ``prompt:{…}`` and
``workflow:{…}`` into the fields of a camera's make and model.

Source: Exif 2.32 §4.6.5 (UserComment).
"""

from __future__ import annotations

import re

from PIL import Image

__all__ = ["texts_of"]

_MAKE, _MODEL, _DESCRIPTION = 0x010F, 0x0110, 0x010E
_EXIF_IFD, _USER_COMMENT = 0x8769, 0x9286
_NAMED = re.compile(r"\s{0,64}(prompt|workflow)\s{0,64}:\s{0,64}(?=\{)", re.IGNORECASE)


def texts_of(exif: bytes) -> dict[str, str]:
    """Return texts by the keywords that a PNG would have them under."""
    said = Image.Exif()
    try:
        said.load(exif)
        fields = [said.get(tag) for tag in (_MODEL, _MAKE, _DESCRIPTION)]
        comment = said.get_ifd(_EXIF_IFD).get(_USER_COMMENT)
    except (OSError, SyntaxError, ValueError, TypeError, KeyError):
        return {}
    texts: dict[str, str] = {}
    for text in [field for field in fields if isinstance(field, str)]:
        if named := _NAMED.match(text):
            texts.setdefault(named[1].casefold(), text[named.end() :].rstrip("\0 "))
    if isinstance(comment, bytes | str):
        texts["parameters"] = comment if isinstance(comment, str) else _decoded(comment)
    return texts


def _decoded(comment: bytes) -> str:
    code, text = comment[:8], comment[8:]
    if code == b"UNICODE\0":
        return text.decode(_order(text), "replace").strip("\ufeff\0 ")
    if code not in {b"ASCII\0\0\0", b"\0" * 8}:
        text = comment
    return text.decode("utf-8", "replace").strip("\0 ")


def _order(text: bytes) -> str:
    """Return which UTF-16 it is: what Latin letters have in front is a zero, or behind."""
    if text.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    start = text[:512]
    return "utf-16-le" if start[1::2].count(0) >= start[::2].count(0) else "utf-16-be"
