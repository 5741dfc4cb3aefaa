"""The reader and writer of tensors."""

from __future__ import annotations

import hashlib
import struct
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lorary.algebra.errors import AlgebraError
from lorary.algebra.files import NUMPY_DTYPES, PlannedTensor, WeightFile, write_weights
from lorary.safetensors import HeaderError
from tests.builders.weights import file_of


def _planned(dtype: str, shape: tuple[int, ...], seed: int = 0) -> tuple[PlannedTensor, bytes]:
    count = int(np.prod(shape)) * NUMPY_DTYPES[dtype].itemsize
    raw = np.random.default_rng(seed).integers(0, 2, count, np.uint8).tobytes()
    array = np.frombuffer(raw, np.uint8).view(NUMPY_DTYPES[dtype]).reshape(shape)
    return PlannedTensor(dtype, shape, lambda: array), raw


_SPECS = {
    "bool": "BOOL", "uint8": "U8", "int8": "I8", "float8_e5m2": "F8_E5M2",
    "float8_e4m3fn": "F8_E4M3", "float8_e8m0fnu": "F8_E8M0", "float8_e4m3fnuz": "F8_E4M3FNUZ",
    "float8_e5m2fnuz": "F8_E5M2FNUZ", "int16": "I16", "uint16": "U16", "float16": "F16",
    "bfloat16": "BF16", "int32": "I32", "uint32": "U32", "float32": "F32", "float64": "F64",
    "int64": "I64", "uint64": "U64", "complex64": "C64",
}  # fmt: skip


def test_the_bytes_are_those_of_the_official_library(tmp_path: Path) -> None:
    safetensors = pytest.importorskip("safetensors")
    tensors, specs, kept = {}, {}, []
    for number, (official, dtype) in enumerate(_SPECS.items()):
        for name, shape in ((f"ü{number}", (3, 2)), (f"a.{number}", ()), ('q"\\', (0, 4))):
            planned, raw = _planned(dtype, shape, number)
            buffer = np.frombuffer(raw or b"\0", np.uint8)
            kept.append(buffer)
            key = f"{name}.{dtype}"
            tensors[key] = planned
            specs[key] = safetensors.TensorSpec(
                dtype=official, shape=list(shape), data_ptr=buffer.ctypes.data, data_len=len(raw)
            )
    metadata = {"ss_tag": 'é\x01"\\/\u2028\x7f\n'}
    ours, official_path = tmp_path / "ours.safetensors", tmp_path / "official.safetensors"
    written = write_weights(ours, dict(reversed(tensors.items())), metadata)
    safetensors.serialize_file(specs, str(official_path), metadata)
    content = ours.read_bytes()
    assert content == official_path.read_bytes()
    assert written == (ours, hashlib.sha256(content).hexdigest(), len(content))


@given(
    shapes=st.dictionaries(
        st.text("abcü._0", min_size=1, max_size=8).filter(lambda name: name != ".."),
        st.tuples(
            st.sampled_from(sorted(NUMPY_DTYPES)),
            st.lists(st.integers(0, 4), max_size=4).map(tuple),
        ),
        max_size=6,
    ),
    metadata=st.dictionaries(st.text(max_size=5), st.text(max_size=9), max_size=4),
)
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_what_is_written_is_read_again(
    tmp_path: Path, shapes: dict[str, tuple[str, tuple[int, ...]]], metadata: dict[str, str]
) -> None:
    path = tmp_path / "file.safetensors"
    planned = {name: _planned(dtype, shape) for name, (dtype, shape) in shapes.items()}
    try:
        first = write_weights(path, {name: one for name, (one, _) in planned.items()}, metadata)
    except UnicodeEncodeError:  # a lone surrogate
        return
    with WeightFile(path) as file:
        assert dict(file.metadata) == metadata
        assert set(file.tensors) == set(planned)
        for name, (one, raw) in planned.items():
            array = file.array(name)
            assert bytes(file.raw(name)) == raw == array.tobytes()
            assert (array.dtype, array.shape) == (NUMPY_DTYPES[one.dtype], one.shape)
            assert not array.flags.writeable
        copies = {
            name: PlannedTensor(tensor.dtype, tensor.shape, partial(file.raw, name))
            for name, tensor in file.tensors.items()
        }
        again = write_weights(tmp_path / "again.safetensors", copies, file.metadata)
    assert again.sha256 == first.sha256


def test_unaligned_tensors_of_other_writers_are_read(tmp_path: Path) -> None:
    header = {
        "flag": {"dtype": "BOOL", "shape": [1], "data_offsets": [0, 1]},
        "w": {"dtype": "F32", "shape": [2], "data_offsets": [1, 9]},
        "half": {"dtype": "F4", "shape": [2], "data_offsets": [9, 10]},
    }
    path = tmp_path / "file.safetensors"
    path.write_bytes(file_of(header, b"\x01" + struct.pack("<2f", 1.5, -2) + b"\x21", align=False))
    with WeightFile(path) as file:
        assert file.array("w").tolist() == [1.5, -2]
        file.drop_pages()
        assert file.array("flag").tolist() == [True]
        assert bytes(file.raw("half")) == b"\x21"
        with pytest.raises(AlgebraError, match="F4"):
            file.array("half")


def test_an_array_outlives_its_file(tmp_path: Path) -> None:
    path = tmp_path / "file.safetensors"
    planned, raw = _planned("F16", (4,))
    write_weights(path, {"w": planned}, {})
    with WeightFile(path) as file:
        array = file.array("w")
    assert array.tobytes() == raw


def test_after_an_error_the_old_file_is_kept(tmp_path: Path) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    path = folder / "file.safetensors"
    path.write_bytes(b"old")
    wrong = PlannedTensor("F32", (2,), lambda: np.zeros(3, np.float32))
    with pytest.raises(ValueError, match="'w'"):
        write_weights(path, {"w": wrong}, {})
    with pytest.raises(ValueError, match="'w'"):
        write_weights(path, {"w": PlannedTensor("F32", (2,), lambda: memoryview(b"123"))}, {})
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in folder.iterdir()] == ["file.safetensors"]


def test_names_that_the_reader_refuses_are_not_written(
    tmp_path: Path, subtests: pytest.Subtests
) -> None:
    for name in ("", "../w", "a\nb", "x" * 513, "__metadata__"):
        with subtests.test(name=name[:20]), pytest.raises(HeaderError):
            write_weights(tmp_path / "f", {name: _planned("F32", (1,))[0]}, {"a": "b"})
    with pytest.raises(HeaderError, match="Unicode"):  # a file name that is not UTF-8
        write_weights(tmp_path / "f", {"w": _planned("F32", (1,))[0]}, {"a": "\udcff"})
    assert not list(tmp_path.glob(".lorary-*"))
    assert not (tmp_path / "f").exists()


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file.safetensors"
    for content in (b"", b"\0" * 8, file_of({"w": {"dtype": "F32", "shape": [2**40]}})):
        path.write_bytes(content)
        with pytest.raises(HeaderError):
            WeightFile(path)
