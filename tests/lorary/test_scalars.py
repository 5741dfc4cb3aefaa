"""Values of scalar tensors."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

import pytest

from lorary.safetensors import (
    BytesSource,
    FileSource,
    open_source,
    parse_header,
    read_scalar,
    read_scalars,
)
from lorary.safetensors.header import decode_scalar
from tests.builders.weights import number, safetensors

if TYPE_CHECKING:
    from pathlib import Path


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


def test_reads_many_in_the_order_asked_for() -> None:
    tensors: dict[str, tuple[str, list[int]]] = {}
    for name, dtype, gap in (
        ("a", "F32", 7),
        ("b", "BF16", 2000),
        ("c", "F16", 0),
        ("d", "I64", 1),
    ):
        tensors[name] = (dtype, [])
        tensors[f"{name}.weight"] = ("U8", [gap])
    tensors["e"] = ("F32", [2])
    data = safetensors(tensors, values={"a": 1.0, "b": 2.0, "c": 3.0, "d": 4.0})
    header = parse_header(data)
    asked = [header.tensors[name] for name in "decba"]
    assert read_scalars(BytesSource(data), header, asked) == [4.0, None, 3.0, 2.0, 1.0]
    assert read_scalars(BytesSource(data), header, []) == []


def test_neighbours_are_read_together_and_distant_ones_apart() -> None:
    class Counting(BytesSource):
        reads: ClassVar[list[int]] = []

        def read_at(self, offset: int, size: int) -> bytes:
            self.reads.append(size)
            return super().read_at(offset, size)

    near = {str(index): ("F16", ()) for index in range(100)}
    data = safetensors({**near, "w": ("F16", (5000,)), "far": ("F16", ())})
    header = parse_header(data)
    asked = [tensor for name, tensor in header.tensors.items() if name != "w"]
    assert None not in read_scalars(Counting(data), header, asked)
    assert Counting.reads == [200, 2]


def test_values_past_the_bytes_at_hand_are_absent_alone() -> None:
    data = safetensors({"a": ("F16", ()), "w": ("F16", (5000,)), "b": ("F16", ())})
    header = parse_header(data)
    source = BytesSource(data[: header.data_start + 2], len(data))
    first, second = read_scalars(source, header, [header.tensors["a"], header.tensors["b"]])
    assert first is not None
    assert second is None


def test_a_file_that_was_cut_gives_what_is_left(tmp_path: Path) -> None:
    data = safetensors({"a": ("F16", ()), "w": ("F16", (5000,)), "b": ("F16", ())})
    header = parse_header(data)
    asked = [header.tensors["a"], header.tensors["b"]]
    path = tmp_path / "cut"
    path.write_bytes(data[:-1])
    with open_source(path) as source:
        assert read_scalars(source, header, asked)[1] is None
    with path.open("rb") as file:
        assert read_scalars(FileSource(file), header, asked)[1] is None
    path.write_bytes(data)
    with open_source(path) as source:
        assert None not in read_scalars(source, header, asked)
