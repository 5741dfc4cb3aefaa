"""Reads headers member by member: checks every rule, and finds the position of the error.

This is slower than `fast`, and is only used if `fast` finds something unusual. The two outer levels
of the JSON are parsed here; the contents of a tensor's entry by the standard library.

It is stricter than the official reader (safetensors 0.8.0), which accepts repeated names, unknown
fields, `null` metadata, foreign white space and names that are paths.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NoReturn

from lorary.safetensors.errors import HeaderError
from lorary.safetensors.rules import check_budget, name_fault, too_many_tensors
from lorary.safetensors.tensors import DTYPE_BITS, MOST_BYTES, MOST_ELEMENTS, Content, TensorInfo

if TYPE_CHECKING:
    from lorary.safetensors.rules import Limits

_SPACE = re.compile(r"[ \t\n\r]*")
_FOREIGN_PADDING = re.compile(rb"[\t\n\r\x00 ]+")
_LONGEST_NUMBER = 20  # digits of 2**64; longer numbers cannot be sizes
_SHOWN = 80  # maximum characters of a name in a message


def read_careful(raw: bytes, data_bytes: int, limits: Limits) -> Content:
    """The content of a header.

    Raises:
        HeaderError: a rule is broken.
    """
    check_budget(raw, limits)
    _check_padding(raw)
    return _Reader(raw, limits).read(data_bytes)


def _check_padding(raw: bytes) -> None:
    end = raw.rfind(b"}") + 1
    if end and _FOREIGN_PADDING.fullmatch(raw, end):
        rest = raw[end:]
        foreign = len(rest) - len(rest.lstrip(b" "))
        if foreign < len(rest):
            message = "The header is padded with something other than spaces."
            raise HeaderError(message, code="header_bad_padding", offset=8 + end + foreign)


class _Fault(Exception):
    """An error inside a value; its position is only determined when it is reported."""

    def __init__(self, code: str, message: str, **facts: object) -> None:
        super().__init__(message)
        self.code, self.message, self.facts = code, message, facts


class _Reader:
    """The text of a header, with the positions of its members."""

    def __init__(self, raw: bytes, limits: Limits) -> None:
        self._limits = limits
        self._data_start = 8 + len(raw)
        try:
            self._text = raw.decode()
        except UnicodeDecodeError as error:
            message = "The header is not valid UTF-8."
            raise HeaderError(message, code="header_not_utf8", offset=8 + error.start) from None

    def read(self, data_bytes: int) -> Content:
        """Check everything, first the text and then the data, in order."""
        tensors: dict[str, TensorInfo] = {}
        places: dict[str, int] = {}
        metadata: Mapping[str, str] | None = None
        for name, place, value, value_place in self._members(0):
            if name in tensors or (name == "__metadata__" and metadata is not None):
                self._refuse(_repeated(name), place)
            if name == "__metadata__":
                metadata = self._metadata(value, value_place)
                continue
            if len(tensors) == self._limits.tensors:
                raise too_many_tensors(len(tensors) + 1, self._limits, self._at(place))
            try:
                _check_name(name, self._limits)
                tensors[name] = _tensor(name, value, self._limits)
            except _Fault as fault:
                self._refuse(fault, place)
            places[name] = place
        self._check_layout(tensors, places, data_bytes)
        return Content(tensors, metadata or {})

    def _metadata(self, value: object, place: int) -> Mapping[str, str]:
        if not isinstance(value, dict):
            self._refuse(_Fault("metadata_invalid", "`__metadata__` is not an object."), place)
        limits = self._limits
        if len(value) > limits.metadata_keys:
            message = (
                f"`__metadata__` has {len(value):,} keys; {limits.metadata_keys:,} are allowed."
            )
            self._refuse(_Fault("metadata_too_large", message, keys=len(value)), place)
        if not all(isinstance(text, str) for text in value.values()):
            for name, at, text, _ in self._members(place):
                if not isinstance(text, str):
                    message = f"`__metadata__` maps {_shown(name)} to a value that is not text."
                    self._refuse(_Fault("metadata_invalid", message, name=name[:_SHOWN]), at)
        size = sum(len(name.encode()) + len(text.encode()) for name, text in value.items())
        if size > limits.metadata_bytes:
            message = f"`__metadata__` has {size:,} bytes; {limits.metadata_bytes:,} are allowed."
            self._refuse(_Fault("metadata_too_large", message, bytes=size), place)
        return value

    def _check_layout(
        self, tensors: Mapping[str, TensorInfo], places: Mapping[str, int], data_bytes: int
    ) -> None:
        """Check that every byte of the data section belongs to exactly one tensor."""
        cursor = 0
        for begin, end, name in sorted((t.begin, t.end, name) for name, t in tensors.items()):
            if begin != cursor:
                overlap = begin < cursor
                what = "shares bytes with" if overlap else "leaves a gap after"
                message = f"The tensor {_shown(name)} {what} the tensor before it."
                facts = {"name": name[:_SHOWN], "begin": begin, "expected": cursor}
                code = "overlap" if overlap else "hole"
                self._refuse(_Fault(code, message, **facts), places[name])
            cursor = end
        facts = {"expected_bytes": cursor, "data_bytes": data_bytes}
        offset = self._data_start + min(cursor, data_bytes)
        if cursor < data_bytes:
            message = f"{data_bytes - cursor:,} bytes follow the last tensor and belong to none."
            raise HeaderError(message, code="trailing_bytes", offset=offset, facts=facts)
        if cursor > data_bytes:
            message = f"The file ends {cursor - data_bytes:,} bytes before its last tensor does."
            raise HeaderError(message, code="file_truncated", offset=offset, facts=facts)

    def _members(self, place: int) -> Iterator[tuple[str, int, object, int]]:
        """Yield name, its position, value and its position of each member of an object.

        The outermost object must be followed only by padding.
        """
        text, index = self._text, self._skip(place + 1)
        is_first = True
        while True:
            if is_first and text.startswith("}", index):
                break
            if not text.startswith('"', index):
                self._refuse(_Fault("header_invalid_json", _NO_NAME), index)
            name, after = self._value(index)
            colon = self._skip(after)
            if not text.startswith(":", colon):
                self._refuse(_Fault("header_invalid_json", _NO_COLON), colon)
            start = self._skip(colon + 1)
            value, after = self._value(start)
            yield name, index, value, start
            index, is_first = self._skip(after), False
            if text.startswith("}", index):
                break
            if not text.startswith(",", index):
                self._refuse(_Fault("header_invalid_json", _NO_COMMA), index)
            index = self._skip(index + 1)
        if place == 0 and text[index + 1 :].strip(" "):
            index = self._skip(index + 1)
            self._refuse(_Fault("header_invalid_json", _MORE), index)

    def _value(self, place: int) -> tuple[Any, int]:
        """Return the value at a position, and the position after it."""
        try:
            value, after = _DECODER.raw_decode(self._text, place)
            if isinstance(value, str):
                _check_text(value)
        except json.JSONDecodeError as error:
            what = error.msg.removesuffix(" starting at").removesuffix(" at")
            fault = _Fault("header_invalid_json", f"The header is not valid JSON: {what}.")
            self._refuse(fault, error.pos)
        except _Fault as fault:
            self._locate(fault, place)
        return value, after

    def _locate(self, fault: _Fault, place: int) -> NoReturn:
        """Report an error inside a value, at the member that contains it."""
        if self._text.startswith("{", place):
            seen = set()
            for name, at, _, _ in self._members(place):  # deeper errors are reported from here
                if name in seen:
                    self._refuse(_repeated(name), at)
                seen.add(name)
        self._refuse(fault, place)

    def _refuse(self, fault: _Fault, index: int) -> NoReturn:
        raise HeaderError(
            fault.message, code=fault.code, offset=self._at(index), facts=fault.facts
        ) from None

    def _at(self, index: int) -> int:
        """Return the byte offset in the file of a character."""
        return 8 + len(self._text[:index].encode())

    def _skip(self, index: int) -> int:
        found = _SPACE.match(self._text, index)
        return index if found is None else found.end()


_NO_NAME = "The header is not valid JSON: a name in double quotes is expected here."
_NO_COLON = "The header is not valid JSON: a colon is expected here."
_NO_COMMA = "The header is not valid JSON: a comma or a closing brace is expected here."
_MORE = "The header is not valid JSON: something follows its closing brace."


def _shown(name: str) -> str:
    return repr(name if len(name) <= _SHOWN else name[:_SHOWN] + "…")


def _repeated(name: str) -> _Fault:
    message = f"The name {_shown(name)} occurs twice in one object of the header."
    return _Fault("duplicate_key", message, name=name[:_SHOWN])


def _check_text(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        message = "A name or text in the header contains half of a surrogate pair."
        raise _Fault(code="header_invalid_json", message=message) from None


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for name, value in pairs:
        _check_text(name)
        if isinstance(value, str):
            _check_text(value)
        if name in found:
            raise _repeated(name)
        found[name] = value
    return found


def _no_constant(name: str) -> NoReturn:
    message = f"The header is not valid JSON: {name} is not a JSON value."
    raise _Fault(code="header_invalid_json", message=message)


def _whole_number(digits: str) -> int | float:
    """Return the number, or a float if it cannot be a size; the field checks refuse floats."""
    if len(digits) > _LONGEST_NUMBER or digits == "-0":
        return 0.0
    return int(digits)


_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique,
    parse_constant=_no_constant,
    parse_int=_whole_number,
    parse_float=lambda _: 0.0,  # no field accepts a float
)


def _check_name(name: str, limits: Limits) -> None:
    fault = name_fault(name, limits)
    if fault is not None:
        message = f"The tensor name {_shown(name)} is {fault}."
        raise _Fault(code="tensor_name_invalid", message=message, name=name[:_SHOWN])


def _tensor(name: str, entry: object, limits: Limits) -> TensorInfo:
    if not isinstance(entry, dict) or entry.keys() != _FIELDS:
        message = f"The entry of tensor {_shown(name)} needs exactly dtype, shape and data_offsets."
        raise _Fault(code="tensor_fields_invalid", message=message, name=name[:_SHOWN])
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    bits = DTYPE_BITS.get(dtype) if type(dtype) is str else None
    if bits is None:
        message = f"The tensor {_shown(name)} has the unknown number format {str(dtype)[:40]!r}."
        raise _Fault(code="dtype_unknown", message=message, name=name[:_SHOWN])
    begin, end = offsets if type(offsets) is list and len(offsets) == 2 else (None, None)
    if type(begin) is not int or type(end) is not int or not 0 <= begin <= end <= MOST_BYTES:
        message = f"The data_offsets of tensor {_shown(name)} are not two ordered whole numbers."
        raise _Fault(code="offsets_invalid", message=message, name=name[:_SHOWN])
    total = _elements(name, shape, limits) * bits
    if total != (end - begin) * 8:
        message = (
            f"The tensor {_shown(name)} needs {total / 8:,g} bytes by its shape and number format, "
            f"but has {end - begin:,}."
        )
        raise _Fault(
            code="size_mismatch", message=message, name=name[:_SHOWN], found_bytes=end - begin
        )
    return TensorInfo(dtype, tuple(shape), begin, end)


_FIELDS = {"dtype", "shape", "data_offsets"}


def _elements(name: str, shape: object, limits: Limits) -> int:
    """Return the product of a shape, checked at every step: 2**63 x 4 x 0 overflows elsewhere."""
    count = 1
    if type(shape) is list and len(shape) <= limits.dimensions:
        for length in shape:
            if type(length) is not int or not 0 <= length <= MOST_ELEMENTS:
                break
            count *= length
            if count > MOST_ELEMENTS:
                break
        else:
            return count
    message = f"The shape of tensor {_shown(name)} is not a short list of whole numbers."
    raise _Fault(code="shape_invalid", message=message, name=name[:_SHOWN])
