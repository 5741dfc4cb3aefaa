"""What a push refuses before anything travels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lorary.cli.commands.adapters.push import KINDS
from lorary.client.errors import FileMissing
from lorary.client.models import RATINGS
from registry.models import Kind, Maturity

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lorary import Hub
    from tests.client.conftest import Ran
    from tests.client.fakehub import FakeHub

    Run = Callable[..., Ran]


def test_files_without_weights_are_refused_before_anything_travels(
    run: Run, fake: FakeHub, tmp_path: Path
) -> None:
    notes = tmp_path / "notes.md"
    notes.write_text("# How it was made")
    ran = run("push", notes, "--to", "ada/noir", "--json")
    assert ran.code == 1
    assert "needs a .safetensors file" in ran.document["error"]["message"]
    assert fake.uploads == {}


def test_a_folder_is_refused_with_what_takes_folders(
    hub: Hub, fake: FakeHub, lora: Path, tmp_path: Path
) -> None:
    for files in (tmp_path, [lora, tmp_path]):
        with pytest.raises(FileMissing, match="is a folder") as caught:
            hub.push(files, "ada/noir")
        assert "lorary import FOLDER" in caught.value.detail
    assert fake.uploads == {}


def test_a_kind_that_does_not_exist_is_refused_before_anything_travels(
    run: Run, fake: FakeHub, lora: Path
) -> None:
    ran = run("push", lora, "--to", "ada/noir", "--kind", "painting")
    assert (ran.code, "lighting" in ran.err) == (2, True)
    assert fake.uploads == {}


def test_the_command_and_the_hub_know_the_same_kinds_and_ratings() -> None:
    assert set(KINDS) == set(Kind.values)
    assert list(RATINGS) == Maturity.values
