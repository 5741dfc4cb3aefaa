"""Alphas as PEFT's configuration gives them."""

from __future__ import annotations

import pytest

from previews.render.adapters.module_tensors import scale_of


@pytest.mark.parametrize(
    ("name", "alpha"),
    [("proj_out", 8.0), ("blocks.0.proj_out", 2.0), ("blocks.0.to_q", 6.0), ("other", 4.0)],
)
def test_a_pattern_is_the_end_of_a_name_and_an_anchored_one_the_whole(
    name: str, alpha: float
) -> None:
    config = {"lora_alpha": 4.0, "alpha_pattern": {"^proj_out": 8.0, "proj_out": 2.0, "to_q": 6.0}}
    assert scale_of(name, None, 2, config, None) == alpha / 2
