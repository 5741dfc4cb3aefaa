"""A short pass of what `algebra.py` does for ten minutes."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import numpy as np
import pytest

from lorary.algebra.comparing import Energies, measure
from lorary.algebra.errors import ALGEBRA_CODES
from lorary.safetensors.errors import HEADER_CODES
from tools.fuzz import algebra
from tools.fuzz.algebra import Broken, Run

if TYPE_CHECKING:
    from pathlib import Path


def tried(run: Run, folder: Path) -> Run:
    while run.done < 40:
        run.next(folder)
    return run


def test_random_and_hostile_adapters_break_no_rule(tmp_path: Path) -> None:
    run = tried(Run(1), tmp_path)
    assert run.answers["converted"] > 5
    assert set(run.answers) <= {"converted", *ALGEBRA_CODES, *HEADER_CODES}


def test_files_of_one_seed_are_always_the_same(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    first, second = (algebra.bytes_of(Random("1:7"), path) for _ in range(2))
    assert first == second


def test_a_wrong_conversion_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A check of the check: a conversion that loses half of the update breaks a rule."""

    def halved(path: Path) -> Energies:
        found = measure(path)
        return found if path.name == "adapter.safetensors" else Energies(found.total / 2, ())

    monkeypatch.setattr(algebra, "measure", halved)
    run = Run(1)
    with pytest.raises(Broken) as broken:
        tried(run, tmp_path)
    assert broken.value.data
    assert np.isfinite(run.slowest_s)
