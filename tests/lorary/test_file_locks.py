"""Locks on files: how a process waits for another, and when it says so."""

from contextlib import ExitStack
from pathlib import Path

import pytest

from lorary.file_locks import exclusive


@pytest.mark.parametrize(("tries", "said"), [(3, []), (30, ["waiting"])])
def test_only_a_long_wait_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tries: int, said: list[str]
) -> None:
    place, pauses, messages = tmp_path / "lock", list[float](), list[str]()
    with ExitStack() as other:
        other.enter_context(exclusive(place))

        def sleep(seconds: float) -> None:
            pauses.append(seconds)
            if len(pauses) == tries:
                other.close()

        monkeypatch.setattr("lorary.file_locks.time.sleep", sleep)
        with exclusive(place, lambda: messages.append("waiting")):
            assert len(pauses) == tries
    assert messages == said
    assert pauses == sorted(pauses)
    assert pauses[0] == 0.001
    assert pauses[-1] <= 0.05
