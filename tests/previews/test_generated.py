"""Adapters of real models without metadata: the truth stays possible, and nothing is made up.

`pytest -m slow -s tests/previews/test_generated.py` prints the figures of all models.
"""

from __future__ import annotations

import sys
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from lorary.anatomy import analyse
from lorary.anatomy.families import families
from tests.builders.architectures import MODELS, UNLISTED, modules_of
from tests.builders.generated import PARTS, WHOLE, headers_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from lorary.anatomy.report import Base
    from lorary.safetensors import Header

FEW_MODELS = ("sdxl", "flux1", "easyanimate", "sana_600m", "sana_video")
FEW_UNLISTED = ("longcat_image", "ovis_image")
MOST_WRONG_SETS = 3


def _base(header: Header) -> Base:
    anatomy = analyse(header).anatomy
    assert anatomy is not None
    return anatomy.base


def _bases(family: str) -> Iterator[tuple[str, Base]]:
    encoders = families()[family].text_encoders
    for label, header in headers_of(modules_of(family), encoders, parts=PARTS):
        yield f"{family} {label}", _base(header)


def _check_truth(names: Iterable[str]) -> Counter[str]:
    """Ask for every header of some families, and count the answers."""
    counts: Counter[str] = Counter()
    lost, wrong = [], []
    for family in names:
        for label, base in _bases(family):
            best = base.family or base.likely
            counts["headers"] += 1
            counts["one family"] += base.family is not None
            counts["right family or likely"] += best == family
            counts["unknown"] += base.confidence == "unknown"
            lost += [] if family in base.candidates else [(label, base)]
            wrong += [] if base.family in {None, family} else [(label, base)]
    assert lost == []
    assert wrong == []
    return counts


def _sets_without_truth(names: Iterable[str]) -> tuple[int, list[tuple[str, Base]]]:
    """Headers of models without a table, and those that are said to be of a known one."""
    total = 0
    told = []
    for name in names:
        for label, header in headers_of(modules_of(name), parts=WHOLE):
            base = _base(header)
            total += 1
            if base.candidates and base.confidence != "unknown":
                told.append((f"{name} {label}", base))
    return total, told


@pytest.mark.parametrize("family", FEW_MODELS)
def test_a_family_stays_among_the_candidates(family: str) -> None:
    assert _check_truth([family])["headers"] >= 48


def test_models_without_a_table_are_taken_for_none_that_has_one() -> None:
    total, told = _sets_without_truth(FEW_UNLISTED)
    assert total == 32
    assert told == []


@pytest.mark.slow
def test_no_family_of_the_tables_loses_its_truth() -> None:
    counts = _check_truth(MODELS)
    assert counts["headers"] >= 900
    sys.stdout.write(f"\n{len(MODELS)} families: {dict(counts)}, 0 lost, 0 wrong\n")


@pytest.mark.slow
def test_hardly_a_model_without_a_table_gets_a_set() -> None:
    total, told = _sets_without_truth(UNLISTED)
    assert total == 304
    sys.stdout.write(
        f"\n{len(UNLISTED)} models without a table: {total} headers, {len(told)} sets\n"
    )
    assert len(told) <= MOST_WRONG_SETS, told
