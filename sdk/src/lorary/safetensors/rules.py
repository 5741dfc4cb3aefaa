"""Rules that the fast and the strict header parser share: memory, names, metadata, layout."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import accumulate, chain
from operator import itemgetter
from typing import Final

from lorary.safetensors.errors import HeaderError

FORMAT_HEADER_BYTES: Final = 100_000_000
"""The format's own limit on a header. Source: safetensors `MAX_HEADER_SIZE`."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits on one header.

    The defaults suit adapters: real headers stay below 1 MiB with their metadata and below 6,000
    tensors.

    Attributes:
        header_bytes: Maximum length of the JSON header.
        tensors: Maximum number of tensors.
        metadata_bytes: Maximum UTF-8 bytes of all keys and values of `__metadata__`.
        metadata_keys: Maximum number of keys of `__metadata__`.
        name_chars: Maximum length of a tensor name.
        dimensions: Maximum dimensions of a tensor.
        depth: Maximum nesting of objects and lists; the format needs three levels.
    """

    header_bytes: int = 16 * 1024 * 1024
    tensors: int = 100_000
    metadata_bytes: int = 8 * 1024 * 1024
    metadata_keys: int = 4_096
    name_chars: int = 512
    dimensions: int = 8
    depth: int = 4


DEFAULT_LIMITS = Limits()


# Limits the memory that a header's JSON can take, by counting its marks before it is parsed.
#
# Every tensor has five strings (its name, three field names and the number format) and every
# metadata key has two. So the number of strings limits how many lists, objects and commas a valid
# header can have.


_HARMLESS_BYTES = 512 * 1024
"""JSON of this size takes at most about 25 MiB when parsed, whatever its content."""

_SLACK = 1_000
"""Number of surplus marks that are left to the checks of the fields."""

_STEP_BYTES = 64 * 1024
_MARKS_WALKED = 1_000_000  # a header with more brackets exceeds its budget anyway

_STEPS = {ord("{"): 1, ord("["): 1, ord("}"): -1, ord("]"): -1}
_ALL_BUT_BRACKETS = bytes(set(range(256)) - set(_STEPS))
_MARKS = re.compile(rb'\\.|["\[\]{}]', re.DOTALL)


def count_texts(raw: bytes) -> int:
    """Return the number of strings in valid JSON, including names.

    Escaped quotes don't count. A quote after two backslashes isn't escaped.
    """
    quotes = raw.count(b'"')
    if b"\\" in raw:
        quotes -= raw.replace(b"\\\\", b"").count(b'\\"')
    return quotes // 2


def most_texts(limits: Limits) -> int:
    """Return the number of strings in the largest accepted header."""
    return 5 * limits.tensors + 2 * limits.metadata_keys + 1


def is_harmless(raw: bytes, texts: int, limits: Limits) -> bool:
    """Return whether JSON with this many strings (`texts`) can be parsed without `check_budget`."""
    if texts > most_texts(limits):
        return False
    if len(raw) <= _HARMLESS_BYTES:
        return True
    return all(raw.count(mark) <= most for mark, most in _budgets(texts, limits))


def check_budget(raw: bytes, limits: Limits) -> None:
    """Refuse JSON that is nested too deeply or has more marks than its strings account for.

    Raises:
        HeaderError: `too_many_tensors` or `header_too_complex`.
    """
    texts = _check_texts(raw, limits)
    bare = _outside_texts(raw)
    _check_depth(raw, bare, limits)
    for mark, most in _budgets(texts, limits):
        count = bare.count(mark)
        if count > most:
            raise _too_complex(what=f"{mark.decode()} marks", count=count)


def _check_texts(raw: bytes, limits: Limits) -> int:
    # Text with escaped quotes doesn't match, so only keys and values of the metadata add to this.
    tensors = raw.count(b'"data_offsets"')
    if tensors > limits.tensors + 2 * limits.metadata_keys:
        raise too_many_tensors(tensors, limits)
    texts = count_texts(raw)
    if texts > most_texts(limits):
        raise _too_complex(what="strings", count=texts)
    return texts


def _check_depth(raw: bytes, bare: bytes, limits: Limits) -> None:
    marks = bare.translate(None, _ALL_BUT_BRACKETS)[:_MARKS_WALKED]
    levels = accumulate(map(_STEPS.__getitem__, marks))
    if max(levels, default=0) > limits.depth:
        offset = next((at for at, level in _levels(raw) if level > limits.depth), 0)
        message = f"The header is nested too deeply; {limits.depth} levels are allowed."
        raise HeaderError(
            message, code="header_too_complex", offset=8 + offset, facts={"limit": limits.depth}
        )


def _levels(raw: bytes) -> Iterator[tuple[int, int]]:
    """Yield offset and nesting level of every bracket outside strings."""
    level, is_inside = 0, False
    for found in _MARKS.finditer(raw):
        step = _STEPS.get(found[0][0])
        if step is not None and not is_inside:
            level += step
            yield found.start(), level
        elif found[0] == b'"':
            is_inside = not is_inside


def _budgets(texts: int, limits: Limits) -> tuple[tuple[bytes, int], ...]:
    """Return pairs of a mark and how often a header with this many strings may have it."""
    tensors = texts // 5 + 1
    return (
        (b"{", tensors + _SLACK),
        (b"[", 2 * tensors + _SLACK),
        (b",", (4 + limits.dimensions) * tensors + texts + _SLACK),
    )


def _outside_texts(raw: bytes) -> bytes:
    """Return JSON without its strings.

    Works in steps, because the pieces of the whole text would take many times its memory.
    """
    plain = raw.replace(b"\\\\", b"").replace(b'\\"', b"")
    found, is_inside = [], False
    for begin in range(0, len(plain), _STEP_BYTES):
        pieces = plain[begin : begin + _STEP_BYTES].split(b'"')
        found.append(b"".join(pieces[is_inside::2]))
        is_inside ^= len(pieces) % 2 == 0
    return b"".join(found)


def too_many_tensors(count: int, limits: Limits, offset: int | None = None) -> HeaderError:
    """Return the error for a file with more tensors than allowed."""
    return HeaderError(
        f"The file has {count:,} tensors; {limits.tensors:,} are allowed.",
        code="too_many_tensors",
        offset=offset,
        facts={"tensors": count, "limit": limits.tensors},
    )


def _too_complex(what: str, count: int) -> HeaderError:
    return HeaderError(
        f"The header has {count:,} {what}, more than an adapter needs.",
        code="header_too_complex",
        facts={"count": count},
    )


_BAD_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_DRIVE = re.compile(r"[A-Za-z]:[\\/]")
_PLAIN_LETTERS = bytes(set(range(0x20, 0x7F)) - set(b"/\\"))

_begin, _end = itemgetter(0), itemgetter(1)


def are_plain_names(names: Collection[str], limits: Limits) -> bool:
    """Return whether all tensor names are short printable ASCII without slashes."""
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
    """Return whether a value is a mapping of text to text within the limits."""
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
    """Return whether every byte of the data section belongs to exactly one tensor.

    Args:
        begins: First byte of each tensor; there is at least one tensor.
        ends: Byte after the last one of each tensor, larger than its begin.
    """
    if begins[0] != 0 or begins[1:] != ends[:-1]:
        pairs = sorted(zip(begins, ends, strict=True))
        begins, ends = list(map(_begin, pairs)), list(map(_end, pairs))
    return begins[0] == 0 and begins[1:] == ends[:-1] and ends[-1] == data_bytes
