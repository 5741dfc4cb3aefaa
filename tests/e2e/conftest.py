"""A hub in real processes for the tests that leave it running."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.running import RunningHub

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def quiet_hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    """A hub that checks files and renders nothing."""
    data = tmp_path_factory.mktemp("hub") / "data"
    with RunningHub(data, "--queues", "checks") as hub:
        yield hub
