"""How much a header's JSON can build, told from its bytes before they are parsed.

Every tensor takes five texts (its name, three field names, the number format) and every metadata
key two, so that the number of texts bounds the number of everything else in a valid header.
"""

from __future__ import annotations

import re
from itertools import accumulate
from typing import TYPE_CHECKING

from lorary.safetensors.errors import HeaderError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lorary.safetensors.limits import Limits

__all__ = ["check_budget", "count_texts", "is_harmless", "too_many_tensors"]

_HARMLESS_BYTES = 512 * 1024
"""JSON that cannot build more than some 25 MiB of objects, whatever is in it."""

_SLACK = 1_000
"""Marks more than a valid header needs that are left to the checks of the fields."""

_STEP_BYTES = 64 * 1024
_MARKS_WALKED = 1_000_000  # more of them are over the budget

_STEPS = {ord("{"): 1, ord("["): 1, ord("}"): -1, ord("]"): -1}
_ALL_BUT_BRACKETS = bytes(set(range(256)) - set(_STEPS))
_MARKS = re.compile(rb'\\.|["\[\]{}]', re.DOTALL)


def count_texts(raw: bytes) -> int:
    """Number of JSON strings in valid JSON, names included.

    Quotes are counted and escaped ones taken off; pairs of backslashes go first so that an escaped
    backslash before a closing quote is not taken for an escaped quote.
    """
    quotes = raw.count(b'"')
    if b"\\" in raw:
        quotes -= raw.replace(b"\\\\", b"").count(b'\\"')
    return quotes // 2


def most_texts(limits: Limits) -> int:
    """Strings of the largest accepted header."""
    return 5 * limits.tensors + 2 * limits.metadata_keys + 1


def is_harmless(raw: bytes, texts: int, limits: Limits) -> bool:
    """Tell whether the JSON can be parsed at once, without counting what is outside its texts.

    Args:
        raw: The header's JSON.
        texts: Strings in it.
        limits: Bounds of the header.
    """
    if texts > most_texts(limits):
        return False
    if len(raw) <= _HARMLESS_BYTES:
        return True
    return all(raw.count(mark) <= most for mark, most in _budgets(texts, limits))


def check_budget(raw: bytes, limits: Limits) -> None:
    """Refuse JSON that is too deep, or would build more than a header of so many texts can hold.

    Args:
        raw: The header's JSON.
        limits: Bounds of the header.

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
    # Escaped quotes do not match, so that only a key or value of the metadata can add to it.
    tensors = raw.count(b'"data_offsets"')
    if tensors > limits.tensors + 2 * limits.metadata_keys:
        raise too_many_tensors(tensors, limits)
    texts = count_texts(raw)
    if texts > most_texts(limits):
        raise _too_complex(what="names and texts", count=texts)
    return texts


def _check_depth(raw: bytes, bare: bytes, limits: Limits) -> None:
    marks = bare.translate(None, _ALL_BUT_BRACKETS)[:_MARKS_WALKED]
    levels = accumulate(map(_STEPS.__getitem__, marks))
    if max(levels, default=0) > limits.depth:
        place = next((at for at, level in _levels(raw) if level > limits.depth), 0)
        raise HeaderError(
            code="header_too_complex",
            message=f"The header is nested too deeply; {limits.depth} levels are allowed.",
            offset=8 + place,
            facts={"limit": limits.depth},
        )


def _levels(raw: bytes) -> Iterator[tuple[int, int]]:
    """Place and level of every bracket outside texts."""
    level, is_inside = 0, False
    for found in _MARKS.finditer(raw):
        step = _STEPS.get(found[0][0])
        if step is not None and not is_inside:
            level += step
            yield found.start(), level
        elif found[0] == b'"':
            is_inside = not is_inside


def _budgets(texts: int, limits: Limits) -> tuple[tuple[bytes, int], ...]:
    """Mark to the most of it that a header with so many texts may have outside of them."""
    tensors = texts // 5 + 1
    return (
        (b"{", tensors + _SLACK),
        (b"[", 2 * tensors + _SLACK),
        (b",", (4 + limits.dimensions) * tensors + texts + _SLACK),
    )


def _outside_texts(raw: bytes) -> bytes:
    """JSON with its texts taken out.

    In steps, because the pieces of a text take many times its room, and without a pattern, which
    would keep a state for every letter.
    """
    plain = raw.replace(b"\\\\", b"").replace(b'\\"', b"")
    found, is_inside = [], False
    for begin in range(0, len(plain), _STEP_BYTES):
        pieces = plain[begin : begin + _STEP_BYTES].split(b'"')
        found.append(b"".join(pieces[is_inside::2]))
        is_inside ^= len(pieces) % 2 == 0
    return b"".join(found)


def too_many_tensors(count: int, limits: Limits, offset: int | None = None) -> HeaderError:
    """The error for a file with more tensors than allowed."""
    return HeaderError(
        "too_many_tensors",
        f"The file has {count:,} tensors; {limits.tensors:,} are allowed.",
        offset,
        {"tensors": count, "limit": limits.tensors},
    )


def _too_complex(what: str, count: int) -> HeaderError:
    return HeaderError(
        "header_too_complex",
        f"The header holds {count:,} {what}, more than an adapter can need.",
        facts={"count": count},
    )
