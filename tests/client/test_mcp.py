"""The command that serves assistants, as far as it needs no hub; tests/e2e asks a running one."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.client.conftest import Ran

    Run = Callable[..., Ran]


def test_without_the_extra_it_says_what_to_install(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "lorary.integrations.mcp", raising=False)
    monkeypatch.setitem(sys.modules, "mcp.server", None)
    ran = run("mcp")
    assert (ran.code, "lorary[mcp]" in ran.err) == (2, True)


def test_a_folder_that_is_none_is_refused(run: Run, tmp_path: Path) -> None:
    ran = run("mcp", "--allow", tmp_path / "gone", "--json")
    assert (ran.code, ran.document["error"]["code"]) == (2, "usage")


@pytest.mark.parametrize(
    "document",
    [
        {"card": "x" * 100_000},
        {"rows": [{"name": "y" * 3_000} for _ in range(200)]},
        {"rows": {str(number): ["z" * 5_000] * 500 for number in range(200)}},
        {"deep": [[["w" * 5_000] * 90] * 90] * 90},
    ],
)
def test_every_answer_is_short(document: dict[str, object]) -> None:
    pytest.importorskip("mcp")
    from lorary.integrations.mcp import MAX_CHARS, bounded  # noqa: PLC0415 - needs the extra

    assert len(json.dumps(bounded(document))) <= MAX_CHARS
    assert bounded({"name": "noir", "rows": [1, None]}) == {"name": "noir", "rows": [1, None]}
