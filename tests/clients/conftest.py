"""One hub in real processes for all programs of other people that are tried on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.running import RunningHub

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.clients.shelf import Shelf

#: A file of more than this travels by parts.
PART_BYTES = 5 * 2**20


@pytest.fixture(scope="session")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    """A hub that checks files and renders nothing."""
    data = tmp_path_factory.mktemp("clients") / "data"
    with RunningHub(data, "--queues", "checks", UPLOAD_PART_BYTES=str(PART_BYTES)) as hub:
        yield hub


@pytest.fixture(scope="session")
def ada_token(hub: RunningHub) -> str:
    """The token of somebody who may read and write."""
    return hub.manage("token", "--user", "ada", "--create").strip()


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base model that renders noise."""
    from tests.clients.filling import write_tiny_base  # noqa: PLC0415 - diffusers takes seconds

    return write_tiny_base(tmp_path_factory.mktemp("bases") / "tiny")


@pytest.fixture(scope="session")
def shelf(hub: RunningHub, base: Path, tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    """The hub with adapters of ``studio`` for that base model."""
    from tests.clients.filling import filled  # noqa: PLC0415 - diffusers takes seconds

    return filled(hub, base, tmp_path_factory.mktemp("shelf"))
