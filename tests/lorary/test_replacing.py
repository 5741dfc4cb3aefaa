"""Tests of files that the disk writes while they grow."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from lorary.replacing import Writeback

MIB = 1024 * 1024


@pytest.mark.skipif(sys.platform != "linux", reason="posix_fadvise starts to write on Linux")
def test_the_disk_is_told_of_each_section_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[int, int]] = []
    monkeypatch.setattr(
        os, "posix_fadvise", lambda _handle, begin, length, _advice: told.append((begin, length))
    )
    with (tmp_path / "file").open("wb") as file:
        writeback = Writeback(file.fileno())
        for size in (MIB, 2 * MIB, 3 * MIB, 5 * MIB, 0, MIB, 3 * MIB):
            writeback.reached(size)
    assert told == [(0, 2 * MIB), (2 * MIB, 3 * MIB), (0, 3 * MIB)]


def test_an_error_of_the_advice_is_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: object) -> None:
        raise OSError

    monkeypatch.setattr(os, "posix_fadvise", refuse, raising=False)
    with (tmp_path / "file").open("wb") as file:
        Writeback(file.fileno()).reached(4 * MIB)
