"""Look measures on features that are made by hand: what each figure says, and what it does not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from previews.render.look.measures import FAINT, Figures, Pair, Vector, measure, prompt_distance

PROMPTS, SEEDS, SIZE = 6, (7, 21), 24
LOOK = np.eye(SIZE)[0]


def subjects(first: int = 0) -> dict[tuple[int, int], Vector]:
    """Features without the adapter: each prompt has a direction of its own, seeds differ a bit."""
    rng = np.random.RandomState(1 + first)
    return {
        (prompt, seed): np.eye(SIZE)[2 + first + prompt] + 0.1 * rng.randn(SIZE)
        for prompt in range(PROMPTS)
        for seed in SEEDS
    }


def pairs(change: Any, first: int = 0) -> list[Pair]:
    """Pairs whose change is a vector, or a function of the prompt."""
    return [
        Pair(prompt, seed, vector, vector + (change(prompt) if callable(change) else change))
        for (prompt, seed), vector in subjects(first).items()
    ]


def figures(look: Any, plain: Any = 0, unrelated: Any = 0) -> dict[str, float | None]:
    found = measure(pairs(look), pairs(plain), pairs(unrelated, 9)).to_dict()
    return {key: one["value"] if one else None for key, one in found.items() if key != "method"}


def test_a_clean_look_is_consistent_silent_and_keeps_the_subject() -> None:
    found = figures(LOOK)
    assert found["consistency"] == found["subject_kept"] == 1
    assert found["leak"] == found["drift"] == 0
    assert found["effect"] is not None
    assert found["effect"] > 0.5


def test_a_look_that_differs_by_subject_is_not_consistent() -> None:
    found = figures(lambda prompt: np.eye(SIZE)[12 + prompt])
    assert found["consistency"] == 0
    mixed = figures(lambda prompt: np.eye(SIZE)[12 + prompt] + LOOK)["consistency"]
    assert mixed == pytest.approx(0.5)


def test_a_leak_is_the_share_that_remains_without_the_trigger() -> None:
    assert figures(LOOK, plain=0.25 * LOOK)["leak"] == pytest.approx(0.25)
    assert figures(LOOK, plain=3 * LOOK)["leak"] == 1


def test_drift_is_measured_in_prompt_distances() -> None:
    unit = prompt_distance(pairs(LOOK), pairs(0), pairs(0, 9))
    found = figures(LOOK, unrelated=0.5 * unit * LOOK)["drift"]
    assert found == pytest.approx(0.5, abs=0.001)
    assert figures(LOOK, unrelated=5 * unit * LOOK)["drift"] == 1


def test_the_subject_is_lost_if_all_pictures_become_the_same() -> None:
    subject = subjects()
    seen = np.mean(list(subject.values()), axis=0)
    look = [Pair(*key, one, seen + 3 * LOOK) for key, one in subject.items()]
    found = measure(look, [], pairs(0, 9))
    assert found.subject_kept is not None
    assert found.subject_kept.value == 0


def test_exchanged_subjects_are_not_kept() -> None:
    subject = subjects()
    look = [
        Pair(prompt, seed, one, subject[(prompt + 1) % PROMPTS, seed])
        for (prompt, seed), one in subject.items()
    ]
    kept = measure(look, [], []).subject_kept
    assert kept is not None
    assert kept.value < 0.1


def test_a_faint_look_is_not_judged_for_consistency_and_leak() -> None:
    unit = prompt_distance(pairs(0))
    found = figures(0.9 * FAINT * unit * LOOK, plain=LOOK)
    assert (found["consistency"], found["leak"]) == (None, None)
    assert found["effect"] == pytest.approx(0.9 * FAINT, abs=0.02)
    assert found["subject_kept"] is not None


def test_what_the_pictures_cannot_say_is_left_out() -> None:
    assert measure([], [], []) == Figures(None, None, None, None, None)
    one_prompt = [pair for pair in pairs(LOOK) if pair.prompt == 0]
    assert measure(one_prompt, [], []) == Figures(None, None, None, None, None)
    no_words = measure(pairs(LOOK), [], pairs(0, 9))
    assert no_words.leak is None
    assert no_words.drift is not None


def test_errors_grow_with_the_spread_over_prompts() -> None:
    even = measure(pairs(LOOK), pairs(0.2 * LOOK), pairs(0.1 * LOOK, 9))
    uneven = measure(pairs(LOOK), pairs(lambda prompt: 0.08 * prompt * LOOK), pairs(0.1 * LOOK, 9))
    assert even.leak is not None
    assert uneven.leak is not None
    assert even.leak.value == pytest.approx(uneven.leak.value, abs=0.001)
    assert even.leak.error == pytest.approx(0, abs=0.001)
    assert uneven.leak.error is not None
    assert uneven.leak.error > 0.03
    few = measure([pair for pair in pairs(LOOK) if pair.prompt < 2], [], [])
    assert few.consistency is not None
    assert few.consistency.error is None


def test_prompts_of_different_parts_are_not_compared() -> None:
    assert prompt_distance(pairs(0), pairs(0, 9)) == pytest.approx(
        (prompt_distance(pairs(0)) + prompt_distance(pairs(0, 9))) / 2
    )
