"""``make audit``: what is made of the answers of pip-audit, which the tests do not install."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tools import audit

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("said", "exits", "code", "told"),
    [
        ("No known vulnerabilities found", 0, 0, "No known vulnerabilities found"),
        ("Found 2 known vulnerabilities in 1 package", 1, 1, "Found 2 known"),
        ("ERROR: Could not connect to the feed", 1, 0, "Skipped the look-up of vulnerabilities: "),
    ],
)
def test_a_look_up_that_fails_is_skipped_with_the_reason(
    said: str,
    exits: int,
    code: int,
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = f"import sys\nprint({said!r}, file=sys.stderr)\nsys.exit({exits})\n"
    (tmp_path / "pip_audit.py").write_text(text)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert audit.look_up(*audit.LOCKS) == code
    assert told in capsys.readouterr().out
