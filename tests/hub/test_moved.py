"""Which store a hub uses after its files were moved."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings

from hub.checks import check_settings
from hub.config import load
from hub.env import Env
from hub.moved import moved_to, note_move

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ELSEWHERE = "s3://studio/lorary?endpoint=https://s3.studio.example"


def ids() -> set[str | None]:
    return {message.id for message in check_settings()}


def test_a_move_decides_where_files_are_unless_a_setting_says_so(tmp_path: Path) -> None:
    env = {"LORARY_DATA": str(tmp_path)}
    assert moved_to(tmp_path) == ""
    note_move(tmp_path, "file:///first")
    note_move(tmp_path, ELSEWHERE)
    assert load(Env(env), tmp_path).storage == ELSEWHERE
    named = {**env, "LORARY_STORAGE": "file:///named"}
    assert load(Env(named), tmp_path).storage == "file:///named"
    assert not list(tmp_path.glob(".storage_url*"))


def test_a_hub_that_names_the_former_place_does_not_start(
    own_settings: Callable[..., None],
) -> None:
    data, former = settings.LORARY.data, settings.LORARY.storage
    assert "lorary.E005" not in ids()
    note_move(data, "file:///elsewhere")
    assert "lorary.E005" in ids()
    own_settings(storage="file:///elsewhere")
    assert "lorary.E005" not in ids()
    note_move(data, former)  # and back
    own_settings(storage=former)
    assert "lorary.E005" not in ids()
