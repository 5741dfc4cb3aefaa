"""Headers in the form of the official library, which are read by columns."""

from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors.numpy import save

from lorary.safetensors import DEFAULT_LIMITS, Limits, TensorInfo, parse_header
from lorary.safetensors.canonical import read_canonical
from lorary.safetensors.strict import read_careful
from lorary.safetensors.tensors import Tensors
from tests.builders.weights import file_of


def _compact(header: object) -> bytes:
    return file_of(json.dumps(header, separators=(",", ":")).encode())


def _entry(dtype: str, shape: list[int], begin: int, end: int) -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


CANONICAL: dict[str, object] = {
    "__metadata__": {"format": "pt", "a": '{"b":{"dtype":"F16"'},
    "a.weight": _entry("F16", [2, 3], 0, 12),
    "a.alpha": _entry("F32", [], 12, 16),
}


def test_the_official_form_is_read_without_parsing_tensors_as_json() -> None:
    data = _compact(CANONICAL)
    raw = data[8:]
    content = read_canonical(raw, 16, DEFAULT_LIMITS)
    assert content == read_careful(raw, 16, DEFAULT_LIMITS)
    assert content is not None
    assert content.metadata == CANONICAL["__metadata__"]
    bare = _compact({name: CANONICAL[name] for name in ("a.weight", "a.alpha")})[8:]
    assert read_canonical(bare, 16, DEFAULT_LIMITS) == (content.tensors, {})


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"F16"', '"f16"'),
        ('"shape"', '"shapes"'),
        ('"shape"', '"shape" '),
        ("[2,3]", "[2, 3]"),
        ("[2,3]", "[02,3]"),
        ("[2,3]", "[2,0]"),
        ("[2,3]", "[2,3,]"),
        ("[2,3]", "[-2,-3]"),
        ("[2,3]", "[6,1e0]"),
        ("[2,3]", "[3,3]"),
        ("[2,3]", "[1,1,1,1,1,1,1,1,6]"),
        ("[2,3]", "[36893488147419103232,1]"),
        ("[0,12]", "[00,12]"),
        ("[0,12]", "[,12]"),
        ("[0,12]", "[0,12,12]"),
        ("[0,12]", "[0.0,12]"),
        ("[0,12]", "[0,12]1"),
        ("[0,12]}", "[0,12]},\n:[12,16]}"),
        ("[12,16]", "[12,016]"),
        ("[12,16]", "[12,17]"),
        ("[0,12]", "[-0,12]"),
        ("[0,12]", "[1,13]"),
        ("[12,16]", "[11,15]"),
        ("[12,16]}}", "[12,16]}"),
        ("[12,16]}}", "[12,16]}}}"),
        ("[12,16]}}", "[12,16]}},"),
        ("a.alpha", "a.weight"),
        ("a.alpha", "__metadata__"),
        ("a.alpha", ""),
        ("a.alpha", "a/../b"),
        ("a.alpha", "a\\u002ealpha"),
        ("a.alpha", "a.\x7flpha"),
        ('"format":"pt"', '"format":1'),
        ('"format"', '"a"'),
        ("},", "},,"),
        ("},", "} ,"),
        ('{"__metadata__"', '{"__metadata__":{},"__metadata__"'),
        ('"a.weight":{"dtype":', '"a.weight":{"x":1,"dtype":'),
    ],
)
def test_every_departure_from_the_official_form_is_left_to_others(old: str, new: str) -> None:
    raw = _compact(CANONICAL)[8:].replace(old.encode(), new.encode(), 1)
    assert read_canonical(raw, 16, DEFAULT_LIMITS) is None


def test_tensors_in_another_order_than_their_bytes_are_left_to_others() -> None:
    data = _compact({name: CANONICAL[name] for name in ("a.alpha", "a.weight")})
    assert read_canonical(data[8:], 16, DEFAULT_LIMITS) is None
    assert list(parse_header(data, size=len(data) + 16).tensors) == ["a.alpha", "a.weight"]


@pytest.mark.parametrize(
    "limits",
    [
        Limits(tensors=1),
        Limits(name_chars=7),
        Limits(dimensions=1),
        Limits(metadata_keys=1),
        Limits(metadata_bytes=9),
    ],
)
def test_limits_hold_for_the_official_form(limits: Limits) -> None:
    assert read_canonical(_compact(CANONICAL)[8:], 16, limits) is None


def test_the_official_library_writes_the_official_form() -> None:
    arrays = {"b.weight": np.zeros((2, 3), "f4"), "a.alpha": np.ones((), "f2")}
    data = save(arrays, metadata={"format": "np", "x": '{"y": [1, 2]}'})
    header = parse_header(data)
    raw, data_bytes = data[8 : header.data_start], len(data) - header.data_start
    assert read_canonical(raw, data_bytes, DEFAULT_LIMITS) == (header.tensors, header.metadata)


def test_tensors_are_a_map_however_they_are_kept() -> None:
    rows = {"a": TensorInfo("F16", (2, 3), 0, 12), "b": TensorInfo("F32", (), 12, 16)}
    tensors = Tensors.of(rows)
    assert Tensors.of(tensors) is tensors
    assert tensors == rows == dict(tensors)
    assert (list(tensors), len(tensors), "a" in tensors, "c" in tensors) == (
        ["a", "b"],
        2,
        True,
        False,
    )
    assert (list(tensors.keys()), list(tensors.values())) == (list(rows), list(rows.values()))
    assert tensors.at([1, 0]) == [tensors["b"], tensors.row(0)]
    assert repr(tensors) == f"Tensors({rows!r})"
    assert Tensors.of({}) == {} == Tensors()
    assert Tensors().at([]) == []
