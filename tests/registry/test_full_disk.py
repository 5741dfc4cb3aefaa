"""Where a disk may be full; ``tools.faults.scenarios.full_disk`` fills a real one."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from registry import storage
from registry.errors import StorageFull

if TYPE_CHECKING:
    from typing import NoReturn

KEY, SHA256 = "ab" * 16, "cd" * 32


def no_room(*_args: object, **_options: object) -> NoReturn:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("verb", ["mkdir", "replace"])
def test_a_promotion_without_room_is_told_as_such_and_loses_nothing(
    monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    store = storage.store()
    store.write(KEY, [b"bytes"])
    with monkeypatch.context() as full:
        full.setattr(Path, verb, no_room)
        with pytest.raises(StorageFull):
            store.promote(KEY, SHA256)
    store.promote(KEY, SHA256)
    with store.open(SHA256) as handle:
        assert handle.read() == b"bytes"


def test_a_folder_that_cannot_be_made_is_a_full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "mkdir", no_room)
    with pytest.raises(StorageFull):
        storage.store().write(KEY, [b"bytes"])
