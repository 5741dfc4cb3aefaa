"""Words that mean nothing to the base, put into captions so that it learns to pass over them.

A user's prompt has words that no caption has: the triggers of adapters above all. A base
that never saw an unknown word answers it with some other background. Words of all kinds are
taken: triggers, words that people type, and syllables that are no word at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from training.miniature.adapters.plans import silent_triggers
from training.miniature.drawing.captions import caption_words
from training.miniature.tokenizer import PROMPT_WORDS

if TYPE_CHECKING:
    from random import Random

# The share of captions that get such words.
SHARE = 0.35
_CONSONANTS, _VOWELS = "bcdfghjklmnprstvwxz", "aeiouy"
_TYPED = sorted(set(PROMPT_WORDS) - caption_words())
_TRIGGERS = sorted(silent_triggers())


def with_unused_words(text: str, chance: Random) -> str:
    """Return the caption, in `SHARE` of the cases with one to three phrases beside it."""
    if chance.random() >= SHARE:
        return text
    for _ in range(chance.choices((1, 2, 3), (0.7, 0.2, 0.1))[0]):
        phrase = _phrase(chance)
        if not text:
            text = phrase
            continue
        forms = (f"{text}, {phrase}", f"{phrase}, {text}", f"{phrase} of {text}")
        text = chance.choices(forms, (0.7, 0.2, 0.1))[0]
    return text


def _phrase(chance: Random) -> str:
    kind = chance.random()
    if kind < 0.5:
        return chance.choice(_TRIGGERS)
    if kind < 0.8:
        return " ".join(chance.sample(_TYPED, chance.choice((1, 2))))
    return "".join(
        chance.choice(_CONSONANTS) + chance.choice(_VOWELS) for _ in range(chance.choice((2, 3)))
    )
