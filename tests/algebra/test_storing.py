"""Number formats of new factors, and the codes of refusals."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from lorary.algebra import MergeSettings, extract, resize_to_bytes, resize_to_rank, resize_to_share
from lorary.algebra.errors import ALGEBRA_CODES, AlgebraError
from lorary.algebra.files import NUMPY_DTYPES
from lorary.algebra.formats import DTYPES
from lorary.algebra.storing import _LARGEST, planned_alpha, stored_dtype
from lorary.safetensors.tensors import FLOAT_DTYPES

DOCS = Path(__file__).resolve().parents[2] / "docs" / "algebra.md"


def test_the_largest_numbers_are_those_of_the_formats() -> None:
    assert _LARGEST.keys() == FLOAT_DTYPES
    for name, value in _LARGEST.items():
        with np.errstate(over="ignore"):
            below, above = (
                np.float64(one).astype(NUMPY_DTYPES[name]) for one in (value, value * 1.1)
            )
        assert float(below) == value
        assert not np.isfinite(above)


def test_a_number_format_has_two_names() -> None:
    for word, name in DTYPES.items():
        assert stored_dtype(word) == stored_dtype(name) == MergeSettings(dtype=word).dtype == name
    assert stored_dtype(None) is MergeSettings().dtype is None


def test_other_number_formats_are_refused_before_a_file_is_read(tmp_path: Path) -> None:
    path, out = tmp_path / "in", tmp_path / "folder" / "out"
    for call in (
        lambda: resize_to_rank(path, out, rank=1, dtype="float16"),
        lambda: resize_to_share(path, out, share=1, dtype="float16"),
        lambda: resize_to_bytes(path, out, size_bytes=1, dtype="float16"),
        lambda: extract(path, path, out, rank=1, dtype="float16"),
        lambda: MergeSettings(dtype="float16"),
    ):
        with pytest.raises(AlgebraError, match=r"one of fp32 \(F32\), .*, not 'float16'") as caught:
            call()
        assert caught.value.code == "dtype_unsupported"
    assert not out.parent.exists()


def test_an_alpha_that_is_computed_back_from_the_scale_keeps_its_format() -> None:
    inexact = [rank for rank in range(1, 200) if 7 / rank * rank != 7]
    assert inexact
    for rank in inexact:
        assert planned_alpha(7 / rank * rank, "F16", ()).dtype == "F16"
    assert planned_alpha(8 / 12 * 5, "F16", ()).dtype == "F32"


def test_every_code_is_documented() -> None:
    table = DOCS.read_text("utf-8").partition("## Errors")[2]
    assert set(ALGEBRA_CODES) <= set(re.findall(r"^\| `(\w+)`", table, re.MULTILINE))


def test_every_code_is_used() -> None:
    folder = Path(DOCS.parents[1], "sdk", "src", "lorary", "algebra")
    code = "".join(path.read_text("utf-8") for path in folder.rglob("*.py"))
    assert {name for name in ALGEBRA_CODES if code.count(f'"{name}"') < 2} == set()
