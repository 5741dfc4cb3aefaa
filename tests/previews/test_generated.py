"""Adapters of real models without metadata: the truth stays possible, nothing is made up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lorary.anatomy import analyse
from lorary.anatomy.families import families
from tests.builders.architectures import MODELS, UNLISTED, modules_of
from tests.builders.generated import PARTS, WHOLE, headers_of
from tests.whole import IS_WHOLE

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


@pytest.mark.parametrize("family", MODELS if IS_WHOLE else FEW_MODELS)
def test_a_family_stays_among_the_candidates(family: str) -> None:
    lost, wrong = [], []
    for label, base in _bases(family):
        lost += [] if family in base.candidates else [(label, base)]
        wrong += [] if base.family in {None, family} else [(label, base)]
    assert lost == []
    assert wrong == []


def test_hardly_a_model_without_a_table_gets_a_set() -> None:
    names = UNLISTED if IS_WHOLE else FEW_UNLISTED
    total, told = _sets_without_truth(names)
    assert total == 16 * len(names)
    assert len(told) <= (MOST_WRONG_SETS if IS_WHOLE else 0), told
