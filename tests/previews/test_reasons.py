"""Refusals of the renderer as sentences."""

from __future__ import annotations

import pytest

from previews.render import CannotRender, OutOfMemory, RecipeInvalid, TooSlow, Why
from previews.renders.messages import reason


@pytest.mark.parametrize("why", list(Why))
def test_every_reason_has_a_sentence(why: Why) -> None:
    text = reason(CannotRender(why, "to_q"))
    assert text.endswith(" (to_q)")
    assert len(text) > 30


def test_other_refusals_have_sentences_too() -> None:
    assert "memory" in reason(OutOfMemory("x"))
    assert "too long" in reason(TooSlow("x"))
    assert reason(RecipeInvalid("steps")) == "The pictures could not be rendered: steps"
