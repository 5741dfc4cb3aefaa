"""Files that must be refused, by the name of the attack, with the code that refuses them."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

from tests.builders.weights import file_of, safetensors

if TYPE_CHECKING:
    from collections.abc import Mapping


class Attack(NamedTuple):
    """A hostile or broken file and the code it must be refused with."""

    data: bytes
    code: str


_FOUR = b"\x00\x00\x80\x3f"
_TENSOR = '{"dtype":"F32","shape":[1],"data_offsets":[0,4]}'


def _one(**changes: object) -> dict[str, object]:
    return {"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4], **changes}}


def _two(first: list[int], second: list[int]) -> dict[str, object]:
    return {
        "a": {"dtype": "F32", "shape": [1], "data_offsets": first},
        "b": {"dtype": "F32", "shape": [1], "data_offsets": second},
    }


def _text(header: str) -> bytes:
    return file_of(header.encode(), _FOUR)


def _attacks() -> dict[str, Attack]:
    return {
        **_foreign(),
        **_framing(),
        **_json(),
        **_entries(),
        **_layout(),
        **_names(),
    }


def _foreign() -> dict[str, Attack]:
    return {
        "zip of torch": Attack(b"PK\x03\x04" + bytes(60), "is_zip"),
        "pickle": Attack(b"\x80\x02}q\x00(X\x01\x00\x00\x00a" + bytes(20), "is_pickle"),
        "gguf": Attack(b"GGUF\x03\x00\x00\x00" + b"\xff" * 40, "is_gguf"),
        "hdf5": Attack(b"\x89HDF\r\n\x1a\n" + bytes(40), "is_hdf5"),
        "plain text": Attack(b"just some words, renamed to look like a model", "is_text"),
        "html error page": Attack(b"\n<!DOCTYPE html><html>Not found</html>", "is_html"),
        "lfs pointer": Attack(b"version https://git-lfs.github.com/spec/v1\n", "is_lfs_pointer"),
        "json answer": Attack(b'{"error": "Invalid token"}', "is_json"),
        "png": Attack(b"\x89PNG\r\n\x1a\n" + bytes(40), "is_image"),
        "tar": Attack(b"storages".ljust(257, b"\x00") + b"ustar  \x00" + bytes(240), "is_archive"),
        "onnx": Attack(b"\x08\x08\x12\x07pytorch\x1a\x052.1.0" + bytes(40), "is_other_model"),
        "gzip": Attack(b"\x1f\x8b\x08\x00" + b"\xff" * 40, "is_archive"),
        "pdf": Attack(b"%PDF-1.7\n" + b"x" * 40, "is_pdf"),
    }


def _framing() -> dict[str, Attack]:
    whole = file_of(_one(), _FOUR)
    return {
        "empty file": Attack(b"", "file_empty"),
        "seven bytes": Attack(bytes(7), "file_truncated"),
        "header length of zero": Attack(bytes(16), "header_bad_start"),
        "header longer than the file": Attack(struct.pack("<Q", 500) + b"{}", "file_truncated"),
        "header of 2 to the 63": Attack(struct.pack("<Q", 2**63) + b"{}", "header_too_large"),
        "header over the limit": Attack(struct.pack("<Q", 2**25) + b"{}", "header_too_large"),
        "data cut short": Attack(whole[:-1], "file_truncated"),
        "zip after the tensors": Attack(whole + b"PK\x05\x06" + bytes(18), "trailing_bytes"),
        "leading space": Attack(_text(" {}"), "header_bad_start"),
        "byte order mark": Attack(_text("\ufeff{}"), "header_bad_start"),
        "newline as padding": Attack(
            file_of(b"{}\n", align=False),
            "header_bad_padding",
        ),
        "nul as padding": Attack(file_of(b"{}\x00", align=False), "header_bad_padding"),
        "array as header": Attack(_text("[]"), "header_bad_start"),
    }


def _json() -> dict[str, Attack]:
    return {
        "second value": Attack(_text("{}{}"), "header_invalid_json"),
        "trailing comma": Attack(_text('{"a":' + _TENSOR + ",}"), "header_invalid_json"),
        "not a number": Attack(_text('{"a":NaN}'), "header_invalid_json"),
        "comment": Attack(_text("{/* hello */}"), "header_invalid_json"),
        "deep nesting": Attack(_text('{"a":' + "[" * 50_000 + "}"), "header_too_complex"),
        "deep nesting, closed": Attack(
            _text('{"a":' + "[" * 90_000 + "]" * 90_000 + "}"), "header_too_complex"
        ),
        "five levels": Attack(_text('{"a":{"b":[[[]]]}}'), "header_too_complex"),
        "cut in the middle": Attack(_text('{"a":{"dtype":"F32","sha'), "header_invalid_json"),
        "no value": Attack(_text('{"a":}'), "header_invalid_json"),
        "no colon": Attack(_text('{"a"1}'), "header_invalid_json"),
        "no comma": Attack(_text('{"__metadata__":{"a":"b" "c":"d"}}'), "header_invalid_json"),
        "name without quotes": Attack(_text("{a:1}"), "header_invalid_json"),
        "infinity": Attack(_text('{"a":[-Infinity]}'), "header_invalid_json"),
        "invalid utf-8": Attack(file_of(b'{"\xff":1}'), "header_not_utf8"),
        "half a surrogate": Attack(_text('{"\\ud800":' + _TENSOR + "}"), "header_invalid_json"),
        "half a surrogate as value": Attack(
            _text('{"__metadata__":{"a":"\\udfff"}}'), "header_invalid_json"
        ),
        "huge number": Attack(
            _text(_TENSOR.join(['{"a":', "}"]).replace("[1]", f"[{'9' * 40}]")),
            "shape_invalid",
        ),
        "negative zero": Attack(
            _text('{"a":{"dtype":"F32","shape":[0],"data_offsets":[-0,0]}}'),
            "offsets_invalid",
        ),
        "tensor twice": Attack(_text(f'{{"a":{_TENSOR},"a":{_TENSOR}}}'), "duplicate_key"),
        "tensor twice, once escaped": Attack(
            _text(f'{{"a":{_TENSOR},"\\u0061":{_TENSOR}}}'), "duplicate_key"
        ),
        "metadata twice": Attack(_text('{"__metadata__":{},"__metadata__":{}}'), "duplicate_key"),
        "metadata key twice": Attack(_text('{"__metadata__":{"k":"1","k":"2"}}'), "duplicate_key"),
        "field twice": Attack(
            _text('{"a":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}}'),
            "duplicate_key",
        ),
        "key twice behind escaped quotes": Attack(
            _text('{"__metadata__":{"k\\\\":"\\"1\\\\\\"","k\\\\":"2"}}'), "duplicate_key"
        ),
    }


def _entries() -> dict[str, Attack]:
    return {
        "unknown field": Attack(file_of(_one(extra=1), _FOUR), "tensor_fields_invalid"),
        "missing field": Attack(
            file_of({"a": {"dtype": "F32", "shape": [1]}}, _FOUR), "tensor_fields_invalid"
        ),
        "misspelt field": Attack(
            file_of({"a": {"dtype": "F32", "shape": [1], "offsets": [0, 4]}}, _FOUR),
            "tensor_fields_invalid",
        ),
        "entry is a list": Attack(file_of({"a": [1, 2, 3]}, _FOUR), "tensor_fields_invalid"),
        "lower-case format": Attack(file_of(_one(dtype="f32"), _FOUR), "dtype_unknown"),
        "format is a list": Attack(file_of(_one(dtype=["F32"]), _FOUR), "dtype_unknown"),
        "boolean size": Attack(file_of(_one(shape=[True]), _FOUR), "shape_invalid"),
        "negative size": Attack(file_of(_one(shape=[-1]), _FOUR), "shape_invalid"),
        "float size": Attack(file_of(_one(shape=[1.0]), _FOUR), "shape_invalid"),
        "text as size": Attack(file_of(_one(shape=["1"]), _FOUR), "shape_invalid"),
        "shape is a number": Attack(file_of(_one(shape=1), _FOUR), "shape_invalid"),
        "nine dimensions": Attack(file_of(_one(shape=[1] * 9), _FOUR), "shape_invalid"),
        "overflow before a zero": Attack(
            file_of(_one(shape=[2**63, 4, 0], data_offsets=[0, 0])), "shape_invalid"
        ),
        "length of 65 bits after a zero": Attack(
            file_of(_one(shape=[0, 2**64], data_offsets=[0, 0])), "shape_invalid"
        ),
        "three offsets": Attack(file_of(_one(data_offsets=[0, 4, 4]), _FOUR), "offsets_invalid"),
        "offsets as text": Attack(file_of(_one(data_offsets="04"), _FOUR), "offsets_invalid"),
        "boolean offset": Attack(file_of(_one(data_offsets=[False, 4]), _FOUR), "offsets_invalid"),
        "negative offset": Attack(file_of(_one(data_offsets=[-4, 0]), _FOUR), "offsets_invalid"),
        "end of 65 bits": Attack(
            file_of(_one(dtype="U8", shape=[2**63], data_offsets=[2**63, 2**64])),
            "offsets_invalid",
        ),
        "end before begin": Attack(file_of(_one(data_offsets=[4, 0]), _FOUR), "offsets_invalid"),
        "size and shape differ": Attack(file_of(_one(shape=[2]), _FOUR), "size_mismatch"),
        "half a byte": Attack(
            file_of(_one(dtype="F4", shape=[3], data_offsets=[0, 2]), b"  "), "size_mismatch"
        ),
        "metadata is null": Attack(file_of({"__metadata__": None}), "metadata_invalid"),
        "metadata is a list": Attack(file_of({"__metadata__": []}), "metadata_invalid"),
        "metadata holds a number": Attack(file_of({"__metadata__": {"a": 1}}), "metadata_invalid"),
        "metadata is nested": Attack(
            file_of({"__metadata__": {"a": {"b": "c"}}}), "metadata_invalid"
        ),
        "metadata of nine megabytes": Attack(
            file_of({"__metadata__": {"a": "x" * (9 * 1024 * 1024)}}), "metadata_too_large"
        ),
        "five thousand metadata keys": Attack(
            file_of({"__metadata__": {str(key): "" for key in range(5_000)}}),
            "metadata_too_large",
        ),
    }


def _layout() -> dict[str, Attack]:
    eight = _FOUR * 2
    return {
        "tensors overlap": Attack(file_of(_two([0, 4], [2, 6]), eight), "overlap"),
        "tensors share bytes": Attack(file_of(_two([0, 4], [0, 4]), _FOUR), "overlap"),
        "hole between tensors": Attack(file_of(_two([0, 4], [8, 12]), _FOUR * 3), "hole"),
        "hole before the first": Attack(file_of(_one(data_offsets=[4, 8]), eight), "hole"),
        "tensors past the end": Attack(file_of(_two([0, 4], [4, 8]), _FOUR), "file_truncated"),
    }


def _names() -> dict[str, Attack]:
    def named(name: str) -> bytes:
        return safetensors({name: ("F32", (1,))})

    entry = '{"dtype":"U8","shape":[0],"data_offsets":[0,0]}'
    flood = ",".join(f'"{number}":""' for number in range(300_000))
    brackets = "[],"
    return {
        "empty name": Attack(named(""), "tensor_name_invalid"),
        "name of 513 letters": Attack(named("a" * 513), "tensor_name_invalid"),
        "control character in a name": Attack(named("a\x07"), "tensor_name_invalid"),
        "direction override in a name": Attack(named("a\u202eb"), "tensor_name_invalid"),
        "path as name": Attack(named("../../etc/passwd"), "tensor_name_invalid"),
        "two dots as name": Attack(named(".."), "tensor_name_invalid"),
        "windows path as name": Attack(named("..\\secret"), "tensor_name_invalid"),
        "absolute path as name": Attack(named("/etc/passwd"), "tensor_name_invalid"),
        "drive path as name": Attack(named("C:\\secret"), "tensor_name_invalid"),
        "120,000 tensors": Attack(
            _text("{" + ",".join(f'"{number}":{entry}' for number in range(120_000)) + "}"),
            "too_many_tensors",
        ),
        "flood of texts": Attack(_text("{" + flood + "}"), "header_too_complex"),
        "flood of lists": Attack(
            _text('{"a":[' + brackets * 400_000 + "[]]}"), "header_too_complex"
        ),
        "flood of numbers": Attack(_text('{"a":[' + "1," * 900_000 + "1]}"), "header_too_complex"),
    }


ATTACKS: Mapping[str, Attack] = _attacks()
"""Attack to file and expected code."""

FEW = (
    "pickle",
    "header of 2 to the 63",
    "data cut short",
    "metadata key twice",
    "flood of texts",
)
"""What each endpoint is tried with, while the parser is tried with all."""
