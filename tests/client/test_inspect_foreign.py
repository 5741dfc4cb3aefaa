"""What `lorary inspect` shows people of files that are no adapters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.builders import foreign

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.client.conftest import Ran

    Run = Callable[..., Ran]


def test_a_page_tells_the_base_model_of_what_is_no_adapter(run: Run, tmp_path: Path) -> None:
    place = tmp_path / "x.safetensors"
    lie = {"modelspec.architecture": "stable-diffusion-xl-v1-base"}
    foreign.write(place, foreign.checkpoint("sd1", "sgm", "model.diffusion_model."), lie)
    page = " ".join(run("inspect", place).out.split())
    assert (
        "No adapter: this is a whole model (checkpoint) of Stable Diffusion 1.x. "
        "Proven by its tensors."
    ) in page
    assert "CONFLICT: its metadata says Stable Diffusion XL" in page
    assert "Not Stable Diffusion 2.x" in page


def test_a_page_and_a_line_tell_several_base_models(run: Run, tmp_path: Path) -> None:
    foreign.write(tmp_path / "x.safetensors", foreign.ip_adapter("sdxl"))
    page = " ".join(run("inspect", tmp_path / "x.safetensors").out.split())
    assert "No adapter: this is an IP-Adapter. Stable Diffusion XL or Kolors: the tensors" in page
    assert "no adapter: ip adapter, SDXL / Kolors" in run("inspect", tmp_path).out
