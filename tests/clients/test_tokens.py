"""Tokens of another hub that a program finds by itself, and how it sends none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import lorary
from tests.builders.adapters import DENOISERS, kohya
from tests.clients.programs import Programs

if TYPE_CHECKING:
    from pathlib import Path

    from tests.running import RunningHub

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


def test_a_token_of_another_hub_is_refused_and_can_be_left_out(
    hub: RunningHub, ada_token: str, tmp_path: Path
) -> None:
    weights = tmp_path / "open.safetensors"
    weights.write_bytes(kohya(DENOISERS["sd1", "diffusers"]))
    with lorary.Hub(hub.url, token=ada_token) as ada:
        ada.push(weights, "ada/open")
    stranger = Programs(hub, tmp_path / "stranger", "hf_of_the_other_hub")
    asked = ("download", "ada/open", "--local-dir", "open")
    stranger.tool("hf", *asked, expected=1)
    assert "It looks like a token from huggingface.co" in stranger.output
    stranger.tool("hf", *asked, HF_HUB_DISABLE_IMPLICIT_TOKEN="1")
    assert (stranger.folder / "open" / weights.name).read_bytes() == weights.read_bytes()
