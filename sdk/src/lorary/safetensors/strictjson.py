"""JSON for headers: no duplicate names, no extensions, bounded before it is parsed.

Two parsers, one verdict: `orjson` when it is installed, else the standard library. `orjson` keeps
the last of two equal names silently, so the texts in the raw bytes are counted and compared with
what came out; the two differ only if something was dropped.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, NoReturn

from lorary.safetensors.errors import HeaderError

if TYPE_CHECKING:
    from lorary.safetensors.limits import Limits

try:
    import orjson
except ImportError:  # pragma: no cover - depends on the installation
    orjson = None  # type: ignore[assignment]

__all__ = ["check_budget", "count_texts", "load_fast", "load_strict"]

_NEGATIVE_ZERO = re.compile(rb"[\[,:]\s*-0")
_HARMLESS_BYTES = 1024 * 1024  # JSON that cannot build more than some 30 MiB of objects
_LONGEST_NUMBER = 20  # digits of 2**64, so longer ones cannot be sizes


def count_texts(raw: bytes) -> int:
    """Number of JSON strings in valid JSON, names included.

    Quotes are counted and escaped ones taken off; pairs of backslashes go first so that an escaped
    backslash before a closing quote is not taken for an escaped quote.
    """
    quotes = raw.count(b'"')
    if b"\\" in raw:
        quotes -= raw.replace(b"\\\\", b"").count(b'\\"')
    return quotes // 2


def check_budget(raw: bytes, limits: Limits) -> int:
    """Refuse JSON that would build more objects than a header within the limits can hold.

    Args:
        raw: The header's JSON.
        limits: Bounds of the header.

    Returns:
        The number of strings in `raw`.

    Raises:
        HeaderError: `too_many_tensors` or `header_too_complex`.
    """
    texts = count_texts(raw)
    if texts > 5 * limits.tensors + 2 * limits.metadata_keys + 1:
        if raw.count(b'"data_offsets"') > limits.tensors:
            raise too_many_tensors(raw.count(b'"data_offsets"'), limits)
        raise _too_complex(what="names and texts", count=texts)
    budgets = (
        (b"{", 2 * limits.tensors + 2),
        (b"[", 3 * limits.tensors),
        (b",", (4 + limits.dimensions) * limits.tensors + limits.metadata_keys),
    )
    if len(raw) > _HARMLESS_BYTES and any(raw.count(mark) > most for mark, most in budgets):
        bare = _outside_texts(raw)  # metadata is full of brackets; only those outside count
        for mark, most in budgets:
            if bare.count(mark) > most:
                raise _too_complex(what=f"{mark.decode()} marks", count=bare.count(mark))
    return texts


def _outside_texts(raw: bytes) -> bytes:
    """JSON with its texts taken out. A pattern would keep a state for every letter of them."""
    return b"".join(raw.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')[::2])


def too_many_tensors(count: int, limits: Limits) -> HeaderError:
    """The error for a file with more tensors than allowed."""
    return HeaderError(
        "too_many_tensors",
        f"The file has {count:,} tensors; {limits.tensors:,} are allowed.",
        facts={"tensors": count, "limit": limits.tensors},
    )


def _too_complex(what: str, count: int) -> HeaderError:
    return HeaderError(
        "header_too_complex",
        f"The header holds {count:,} {what}, more than an adapter can need.",
        facts={"count": count},
    )


def load_fast(raw: bytes) -> object | None:
    """Parse with `orjson`, or None when the strict parser has to decide.

    None is returned for anything unusual, so that one place words the errors.
    """
    if orjson is None or (b"-0" in raw and _NEGATIVE_ZERO.search(raw)):
        return None
    try:
        parsed: object = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None
    return parsed


def load_strict(raw: bytes) -> object:
    """Parse with the standard library and every leniency of it turned off.

    Raises:
        HeaderError: `header_not_utf8`, `header_invalid_json` or `duplicate_key`.
    """
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise HeaderError(
            code="header_not_utf8", message="The header is not valid UTF-8.", offset=8 + error.start
        ) from None
    try:
        return _DECODER.decode(text)
    except RecursionError:
        raise HeaderError(
            code="header_invalid_json", message="The header is nested too deeply.", offset=8
        ) from None
    except UnicodeEncodeError:
        message = "A name or text in the header holds half of a surrogate pair."
        raise HeaderError(code="header_invalid_json", message=message, offset=8) from None
    except json.JSONDecodeError as error:
        offset = 8 + len(text[: error.pos].encode())
        message = f"The header is not valid JSON: {error.msg}."
        raise HeaderError(code="header_invalid_json", message=message, offset=offset) from None


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for name, value in pairs:
        name.encode()
        if isinstance(value, str):
            value.encode()
        if name in found:
            shown = name if len(name) <= 80 else name[:80] + "…"
            message = f"The name {shown!r} occurs twice in one object of the header."
            raise HeaderError(
                code="duplicate_key", message=message, offset=8, facts={"name": shown}
            )
        found[name] = value
    return found


def _no_constant(name: str) -> NoReturn:
    message = f"The header is not valid JSON: {name} is no JSON value."
    raise HeaderError(code="header_invalid_json", message=message, offset=8)


def _whole_number(digits: str) -> int | float:
    """The number, or a float for what cannot be a size, which the checks of the fields refuse."""
    if len(digits) > _LONGEST_NUMBER or digits == "-0":
        return float(digits)
    return int(digits)


_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique, parse_constant=_no_constant, parse_int=_whole_number
)
