"""Reads bytes as the worker does: in a process of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from previews.sample_files import sandbox

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def read(tmp_path: Path) -> Callable[[bytes], sandbox.Reading]:
    """Read bytes; what is to be served lies in a folder of the test."""

    def read(data: bytes) -> sandbox.Reading:
        source, folder = tmp_path / "source", tmp_path / "served"
        source.write_bytes(data)
        folder.mkdir()
        return sandbox.read(source, folder)

    return read
