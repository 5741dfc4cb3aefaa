"""Adapters of real models without metadata: the truth stays possible, nothing is made up."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pytest

from lorary.anatomy import analyse
from lorary.anatomy.base_models.proof import Proof
from lorary.anatomy.base_models.verdict import verdict_of
from lorary.anatomy.claims.base_models import Claim, Claims
from lorary.anatomy.families import families
from registry.blobs.anatomies import allowed_families
from tests.builders.architectures import MODELS, UNLISTED, modules_of
from tests.builders.crossing import CONVENTIONS
from tests.builders.generated import PARTS, WHOLE, headers_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from lorary.anatomy.report import Base
    from lorary.safetensors import Header

FEW_MODELS = ("sdxl", "flux1", "easyanimate", "sana_600m", "sana_video")
FEW_UNLISTED = ("bria", "kandinsky3")
LEAST_HEADERS = 900
LEAST_SPELLINGS = 8
MOST_WRONG_SHARE = 0.01
"""Share of the headers of models without a table that may be said to be of one with a table."""


class Case(NamedTuple):
    """A header, its verdict, and the family of the model that it was made from."""

    label: str
    spelling: str
    family: str
    base: Base


def _base(header: Header) -> Base:
    anatomy = analyse(header).anatomy
    assert anatomy is not None
    return anatomy.base


def _cases(family: str, *, parts: tuple[str, ...] = PARTS) -> Iterator[Case]:
    known = families().get(family)
    encoders = None if known is None else known.text_encoders
    for label, header in headers_of(modules_of(family), encoders, parts=parts):
        yield Case(f"{family} {label}", label.split()[0], family, _base(header))


def _is_wronged(case: Case) -> bool:
    """Whether an author who names the right family would be contradicted, by JSON or a page."""
    proof = Proof(case.base.candidates, case.base.confidence, (), allowed=case.base.allowed)
    claims = Claims(first=Claim(case.family, "modelspec.architecture", case.family))
    is_conflict = verdict_of(proof, claims, ()).agreement == "conflict"
    return is_conflict or case.family not in allowed_families(case.base.to_dict())


def _faults(cases: Iterable[Case]) -> list[tuple[str, str, Base]]:
    faults = []
    for case in cases:
        if case.family not in case.base.candidates:
            faults.append(("lost", case.label, case.base))
        if case.base.family not in {None, case.family}:
            faults.append(("wrong", case.label, case.base))
        if _is_wronged(case):
            faults.append(("author", case.label, case.base))
    return faults


def _made_up(cases: Iterable[Case]) -> list[tuple[str, Base]]:
    """Headers of models without a table that are said to be of a known one."""
    told = (one for one in cases if one.base.candidates and one.base.confidence != "unknown")
    return [(case.label, case.base) for case in told]


@pytest.mark.parametrize("family", FEW_MODELS)
def test_a_family_stays_among_the_candidates(family: str) -> None:
    assert _faults(_cases(family)) == []


def test_hardly_a_model_without_a_table_gets_a_set() -> None:
    assert _made_up(case for name in FEW_UNLISTED for case in _cases(name, parts=WHOLE)) == []


@pytest.mark.long
@pytest.mark.timeout(900)
def test_no_generated_adapter_loses_its_truth() -> None:
    total, spellings = 0, set()
    for family in MODELS:
        cases = list(_cases(family))
        assert _faults(cases) == []
        total += len(cases)
        spellings |= {case.spelling for case in cases}
    assert total >= LEAST_HEADERS
    assert spellings == set(CONVENTIONS)
    assert len(spellings) >= LEAST_SPELLINGS
    others = [case for name in UNLISTED for case in _cases(name, parts=WHOLE)]
    assert len(others) >= 16 * len(UNLISTED)
    told = _made_up(others)
    assert len(told) <= MOST_WRONG_SHARE * len(others), told
