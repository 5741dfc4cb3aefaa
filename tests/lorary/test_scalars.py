"""Values of scalar tensors."""

from __future__ import annotations

import math

import pytest

from lorary.safetensors import BytesSource, parse_header, read_scalar
from lorary.safetensors.scalars import decode_scalar
from tests.builders.weights import number, safetensors


@pytest.mark.parametrize(
    "dtype",
    ["F64", "F32", "F16", "BF16", "I64", "I32", "I16", "I8", "U64", "U32", "U16", "U8"],
)
def test_reads_the_value_in_every_format(dtype: str) -> None:
    data = safetensors({"w": ("F16", (3,)), "a": (dtype, ())}, values={"a": 16.0})
    header = parse_header(data)
    assert read_scalar(BytesSource(data), header, header.tensors["a"]) == 16.0


def test_a_flag_is_one_or_zero() -> None:
    assert decode_scalar("BOOL", b"\x01") == 1.0


def test_more_than_one_number_is_no_scalar() -> None:
    data = safetensors({"a": ("F32", (2,))})
    header = parse_header(data)
    assert read_scalar(BytesSource(data), header, header.tensors["a"]) is None


def test_bytes_that_are_not_at_hand_give_nothing() -> None:
    data = safetensors({"a": ("F32", (1,))})
    header = parse_header(data)
    source = BytesSource(data[: header.data_start], len(data))
    assert read_scalar(source, header, header.tensors["a"]) is None


def test_not_a_number_is_passed_on() -> None:
    found = decode_scalar("F32", number("F32", math.nan))
    assert found is not None
    assert math.isnan(found)


@pytest.mark.parametrize("dtype", ["C64", "F8_E4M3", "F4"])
def test_formats_without_a_plain_number_give_nothing(dtype: str) -> None:
    assert decode_scalar(dtype, b"\x00" * 8) is None
