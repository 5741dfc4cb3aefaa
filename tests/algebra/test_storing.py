"""Number formats of new factors, and the codes of refusals."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from lorary.algebra.errors import ALGEBRA_CODES
from lorary.algebra.files import NUMPY_DTYPES
from lorary.algebra.storing import _LARGEST, planned_alpha
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
