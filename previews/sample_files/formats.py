"""Accepted file types, limits, and reasons for refusal."""

from __future__ import annotations

from enum import StrEnum

from lorary.pictures.faults import Broken, Fault
from lorary.pictures.formats import HEAD_BYTES, Format, format_of, named

__all__ = [
    "HEAD_BYTES",
    "Format",
    "Interrupted",
    "Refused",
    "Why",
    "named",
    "refusal_of",
    "sniff",
]


def sniff(head: bytes) -> Format:
    """Return the type of a file from its first ``HEAD_BYTES`` bytes.

    Raises:
        Refused: the type is not accepted (``KIND``) or unknown (``UNKNOWN``).
    """
    kind = format_of(head)
    if kind is not None:
        return kind
    what = named(head)
    if what:
        raise Refused(Why.KIND, what=what)
    raise Refused(Why.UNKNOWN)


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


_WHYS = {Fault.CUT: Why.CUT, Fault.TEXTS: Why.TEXTS}


def refusal_of(fault: Broken) -> Refused:
    """Return the refusal of a file whose parts cannot be read."""
    return Refused(_WHYS.get(fault.why, Why.DAMAGED))


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
