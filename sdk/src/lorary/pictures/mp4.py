"""Reads the boxes of an untrusted MP4 or QuickTime file, and their texts.

```
u32 BE length, 4 letters, bytes … box after box; length 1: u64 follows, 0: to the end
ftyp | moov ─┬─ udta ─┬─ meta ─┬─ keys   names, for the numbers in ilst
             └─ meta  └─ ©cmt  └─ ilst   items: ©cmt or a number, with a box `data`
```

Only `moov` is read, so that a video of any size needs little memory.

Source: ISO/IEC 14496-12 §4.2; Apple, QuickTime File Format, “Metadata”.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import BinaryIO

from lorary.pictures.faults import Broken, Fault

#: Maximum size of `moov`; its tables need a few bytes for each frame.
MAX_MOOV_BYTES = 64 * 1024 * 1024
#: Maximum number of boxes at the top of a file, and of items with text.
MAX_BOXES, MAX_ITEMS = 100_000, 1000
#: Maximum number of boxes in a box.
_MAX_INNER = 10_000

_LETTERS = re.compile(rb"[ -~\xa9]{4}\Z")
#: Items with a name of their own → their keyword.
_ITEMS = {b"\xa9cmt": "comment", b"\xa9des": "description", b"desc": "description"}


def walk(file: BinaryIO, size: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield letters, start and end of the bytes of each box at the top of a file.

    The last box may end after the file. The caller checks the letters.

    Raises:
        Broken: a length is impossible.
    """
    place = 0
    for _ in range(MAX_BOXES):
        if place >= size:
            return
        file.seek(place)
        head = file.read(16)
        length, letters, start = int.from_bytes(head[:4], "big"), head[4:8], 8
        if length == 1:
            length, start = int.from_bytes(head[8:16], "big"), 16
        elif length == 0:
            length = size - place
        yield letters, place + start, place + length
        if length < 8:
            raise Broken(Fault.CHANGED)
        place += length
    raise Broken(Fault.ENDLESS)


def is_letters(letters: bytes) -> bool:
    """Return whether four bytes can be the name of a box."""
    return _LETTERS.match(letters) is not None


def texts_in(file: BinaryIO, size: int, room: int) -> dict[str, str]:
    """Return the texts of a file by keyword, in lower case.

    Args:
        room: Maximum number of bytes of all texts.

    Raises:
        Broken: the file is incomplete or damaged, or its texts are too large.
    """
    for letters, start, end in walk(file, size):
        if not is_letters(letters):
            raise Broken(Fault.CHANGED)
        if letters == b"moov":
            if end > size:
                raise Broken(Fault.CUT)
            if end - start > MAX_MOOV_BYTES:
                raise Broken(Fault.TEXTS)
            file.seek(start)
            return _texts(file.read(end - start), room)
    return {}


def _texts(moov: bytes, room: int) -> dict[str, str]:
    found: dict[str, str] = {}
    boxes = list(_boxes(moov))
    below = [box for name, body in boxes if name == b"udta" for box in _boxes(body)]
    for name, body in [*boxes, *below]:
        items = _items(body) if name == b"meta" else _quicktime(name, body)
        for keyword, text in items:
            room -= len(text)
            if room < 0:
                raise Broken(Fault.TEXTS)
            found.setdefault(keyword, text.decode("utf-8", "replace"))
    return found


def _boxes(body: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield letters and bytes of boxes; a broken one ends them."""
    place = 0
    for _ in range(_MAX_INNER):
        if place + 8 > len(body):
            return
        length = int.from_bytes(body[place : place + 4], "big")
        if length < 8 or place + length > len(body):
            return
        yield body[place + 4 : place + 8], body[place + 8 : place + length]
        place += length


def _items(meta: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield keyword and text of each item of `meta`."""
    # In MP4, four bytes for version and flags come first; in QuickTime they do not.
    boxes = dict(_boxes(meta if meta[4:8] == b"hdlr" else meta[4:]))
    names = list(_names(boxes.get(b"keys", b"")[8:]))
    for count, (letters, item) in enumerate(_boxes(boxes.get(b"ilst", b""))):
        number = int.from_bytes(letters, "big")
        keyword = names[number - 1] if 1 <= number <= len(names) else _ITEMS.get(letters, "")
        data = dict(_boxes(item)).get(b"data", b"")
        if keyword and count < MAX_ITEMS:
            yield keyword, data[8:]  # after type and language


def _names(keys: bytes) -> Iterator[str]:
    """Yield the names in `keys`; their boxes have the name space in place of letters."""
    for _space, name in _boxes(keys):
        yield name.decode("utf-8", "replace").casefold()


def _quicktime(letters: bytes, body: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield the text of a box of `udta`: u16 length, u16 language, text."""
    if letters in _ITEMS and letters.startswith(b"\xa9"):
        yield _ITEMS[letters], body[4 : 4 + int.from_bytes(body[:2], "big")]
