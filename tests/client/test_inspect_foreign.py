"""What `lorary inspect` shows people of files that are no adapters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.builders import foreign

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.client.conftest import Ran

    Run = Callable[..., Ran]


def test_a_page_and_a_line_tell_what_is_no_adapter(run: Run, tmp_path: Path) -> None:
    place = tmp_path / "x.safetensors"
    said = {"modelspec.architecture": "stable-diffusion-xl-v1-base"}
    foreign.write(place, foreign.checkpoint("sd1", "sgm", "model.diffusion_model."), said)
    page = " ".join(run("inspect", place).out.split())
    assert "Not an adapter: this is a whole model (checkpoint). Its metadata says Stable" in page
    assert "not an adapter: checkpoint" in run("inspect", tmp_path).out
