"""A hub that renders, for the files that leave what others published there alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.trained import BASES
from tests.running import RunningHub

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def rendering_hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    data = tmp_path_factory.mktemp("rendering") / "data"
    with RunningHub(data, "--workers", "1", BASES=str(BASES)) as hub:
        yield hub
