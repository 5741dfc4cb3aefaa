"""Reads the texts in Exif: a TIFF structure from a JPEG, a WebP or a PNG.

```
"II" or "MM" (byte order) | 42 | place of the first directory
directory: count | tag, type, count, value or its place (12 bytes) … | place of the next one
```

A1111 writes its text as UserComment, after 8 bytes for the encoding; UTF-16 occurs in either byte
order. ComfyUI writes ``prompt:{…}`` and ``workflow:{…}`` into make and model.
Source: TIFF 6.0 §2; Exif 2.32 §4.6.5.
"""

from __future__ import annotations

import re

#: Maximum number of tags of a directory.
_MAX_TAGS = 1000
_MAKE, _MODEL, _DESCRIPTION = 0x010F, 0x0110, 0x010E
_EXIF_IFD, _USER_COMMENT = 0x8769, 0x9286
_WANTED = frozenset({_MAKE, _MODEL, _DESCRIPTION, _EXIF_IFD, _USER_COMMENT})
#: Type → bytes of one value.
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 7: 1}
_NAMED = re.compile(r"\s{0,64}(prompt|workflow)\s{0,64}:\s{0,64}(?=\{)", re.IGNORECASE)


def texts_of(exif: bytes) -> dict[str, str]:
    """Return the texts in Exif, by the keywords of PNG; {} if it cannot be read."""
    data = exif.removeprefix(b"Exif\0\0")
    order = {b"II*\0": "little", b"MM\0*": "big"}.get(data[:4])
    if order is None:
        return {}
    is_big = order == "big"
    first = _directory(data, _number(data[4:8], is_big=is_big), is_big=is_big)
    below = _directory(data, _number(first.get(_EXIF_IFD, b"")[:4], is_big=is_big), is_big=is_big)
    texts: dict[str, str] = {}
    for tag in (_MODEL, _MAKE, _DESCRIPTION):
        text = first.get(tag, b"").decode("utf-8", "replace")
        if named := _NAMED.match(text):
            texts.setdefault(named[1].casefold(), text[named.end() :].rstrip("\0 "))
    if _USER_COMMENT in below:
        texts["parameters"] = _decoded(below[_USER_COMMENT])
    return texts


def _directory(data: bytes, start: int, *, is_big: bool) -> dict[int, bytes]:
    """Return wanted tag → bytes of its value; entries outside of the data are left out."""
    count = _number(data[start : start + 2], is_big=is_big) if start >= 8 else 0
    found: dict[int, bytes] = {}
    for place in range(start + 2, start + 2 + 12 * min(count, _MAX_TAGS), 12):
        entry = data[place : place + 12]
        tag, kind = _number(entry[:2], is_big=is_big), _number(entry[2:4], is_big=is_big)
        length = _number(entry[4:8], is_big=is_big) * _SIZES.get(kind, 0)
        begin = place + 8 if length <= 4 else _number(entry[8:12], is_big=is_big)
        if tag in _WANTED and len(entry) == 12 and length and begin + length <= len(data):
            found[tag] = data[begin : begin + length]
    return found


def _number(digits: bytes, *, is_big: bool) -> int:
    return int.from_bytes(digits, "big" if is_big else "little")


def _decoded(comment: bytes) -> str:
    code, text = comment[:8], comment[8:]
    if code == b"UNICODE\0":
        return text.decode(_order(text), "replace").strip("\ufeff\0 ")
    if code not in {b"ASCII\0\0\0", b"\0" * 8}:
        text = comment
    return text.decode("utf-8", "replace").strip("\0 ")


def _order(text: bytes) -> str:
    """Return the byte order of UTF-16, by the position of zeros in Latin text."""
    if text.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    start = text[:512]
    return "utf-16-le" if start[1::2].count(0) >= start[::2].count(0) else "utf-16-be"
