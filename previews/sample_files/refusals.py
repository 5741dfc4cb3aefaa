"""Why a picture is not taken: a slug and its particulars, put into words elsewhere."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["Interrupted", "Refused", "Why"]


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
