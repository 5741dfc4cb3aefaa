"""Rules that the fast and the strict header parser share."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection
from itertools import chain
from operator import itemgetter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lorary.safetensors.limits import Limits

_BAD_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_DRIVE = re.compile(r"[A-Za-z]:[\\/]")
_PLAIN_LETTERS = bytes(set(range(0x20, 0x7F)) - set(b"/\\"))

_begin, _end = itemgetter(0), itemgetter(1)


def are_plain_names(names: Collection[str], limits: Limits) -> bool:
    """Tell whether all tensor names are short printable ASCII without slashes."""
    joined = "".join(names)
    if not joined.isascii() or joined.encode().translate(None, _PLAIN_LETTERS):
        return False
    if ".." in joined and ".." in names:
        return False
    lengths = set(map(len, names))
    return 0 not in lengths and max(lengths, default=0) <= limits.name_chars


def name_fault(name: str, limits: Limits) -> str | None:
    """Return what is wrong with a tensor's name, as words that follow "is", or None."""
    if not name:
        return "empty"
    if len(name) > limits.name_chars:
        return f"longer than {limits.name_chars} characters"
    if any(unicodedata.category(letter) in _BAD_CATEGORIES for letter in name):
        return "unprintable: it has control or direction characters"
    steps = name.replace("\\", "/").split("/")
    if name.startswith(("/", "\\", "~/")) or ".." in steps or _DRIVE.match(name):
        return "a path"
    return None


def is_metadata(value: object, limits: Limits) -> bool:
    """Tell whether a value is a mapping of text to text within the limits."""
    if not isinstance(value, dict) or len(value) > limits.metadata_keys:
        return False
    if set(map(type, value.values())) - {str}:
        return False
    try:
        size = len("".join(chain(value, value.values())).encode())
    except UnicodeEncodeError:  # a lone surrogate, which `json` accepts
        return False
    return size <= limits.metadata_bytes


def is_gapless(begins: list[int], ends: list[int], data_bytes: int) -> bool:
    """Tell whether every byte of the data section belongs to exactly one tensor.

    Args:
        begins: First byte of each tensor; there is at least one tensor.
        ends: Byte after the last one of each tensor, larger than its begin.
    """
    if begins[0] != 0 or begins[1:] != ends[:-1]:
        pairs = sorted(zip(begins, ends, strict=True))
        begins, ends = list(map(_begin, pairs)), list(map(_end, pairs))
    return begins[0] == 0 and begins[1:] == ends[:-1] and ends[-1] == data_bytes
