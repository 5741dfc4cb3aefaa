"""Every adapter in generated pictures and workflows of all tools is found, and no other."""

from __future__ import annotations

from pathlib import PurePosixPath
from random import Random
from typing import TYPE_CHECKING

import pytest

from lorary.pictures.claims.facts import without_ending
from lorary.pictures.metadata import read_bytes
from tests.pictures.containers import CONTAINERS
from tests.pictures.workflows import FORMATS

if TYPE_CHECKING:
    from collections.abc import Callable

#: Files of each format in each container.
EACH = 6
CASES = [(name, container) for name, containers in CONTAINERS.items() for container in containers]


def test_there_are_enough_cases() -> None:
    assert len(CASES) * EACH >= 300
    assert CONTAINERS.keys() == FORMATS.keys()


@pytest.mark.parametrize(
    ("name", "container"), CASES, ids=[f"{name} in {one.__name__}" for name, one in CASES]
)
def test_all_are_found_and_no_other(
    name: str, container: Callable[[dict[str, str]], bytes]
) -> None:
    for seed in range(EACH):
        made = FORMATS[name](Random(f"{name} {container.__name__} {seed}"))
        found = {
            without_ending(PurePosixPath(one.name.replace("\\", "/")).name): (
                one.strength_or_none(),
                set(one.hashes_by_kind().values()),
            )
            for one in read_bytes(container(made.texts))
        }
        assert found == made.truth, made.texts
