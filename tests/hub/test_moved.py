"""Which store a hub uses after its files were moved."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.conf import settings

from hub.config import Env, load, moved_to, save_move
from hub.setting_checks import check_settings, is_same_store

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ELSEWHERE = "s3://studio/lorary?endpoint=https://s3.studio.example"


def ids() -> set[str | None]:
    return {message.id for message in check_settings()}


def test_a_move_decides_where_files_are_unless_a_setting_says_so(tmp_path: Path) -> None:
    env = {"LORARY_DATA": str(tmp_path)}
    assert moved_to(tmp_path) == ""
    save_move(tmp_path, "file:///first")
    save_move(tmp_path, ELSEWHERE)
    assert load(Env(env), tmp_path).storage == ELSEWHERE
    named = {**env, "LORARY_STORAGE": "file:///named"}
    assert load(Env(named), tmp_path).storage == "file:///named"
    assert not list(tmp_path.glob(".storage_url*"))


def test_a_hub_that_names_the_former_place_does_not_start(
    own_settings: Callable[..., None],
) -> None:
    data, former = settings.LORARY.data, settings.LORARY.storage
    assert "lorary.E005" not in ids()
    save_move(data, "file:///elsewhere")
    assert "lorary.E005" in ids()
    own_settings(storage="file:///elsewhere")
    assert "lorary.E005" not in ids()
    save_move(data, "no address")
    assert "lorary.E005" in ids()
    save_move(data, former)  # and back
    own_settings(storage=former)
    assert "lorary.E005" not in ids()


@pytest.mark.parametrize(
    ("other", "is_same"),
    [
        ("s3://studio/lorary/?endpoint=https://s3.studio.example/&links=no&region=here", True),
        ("s3://studio/lorary?endpoint=https://other.example", False),
        ("s3://studio/other?endpoint=https://s3.studio.example", False),
        ("file:///studio/lorary", False),
    ],
)
def test_an_address_may_be_written_in_several_ways(other: str, *, is_same: bool) -> None:
    assert is_same_store(ELSEWHERE, other) is is_same
    assert is_same_store(other, ELSEWHERE) is is_same


def test_a_folder_may_be_written_in_several_ways() -> None:
    assert is_same_store("file:///srv/files", "file:///srv/other/../files/")
    assert not is_same_store("file:///srv/files", "file:///srv/files/more")
