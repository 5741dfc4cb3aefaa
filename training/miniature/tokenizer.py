"""A CLIP tokenizer with a small byte-level vocabulary, trained on captions and prompt words."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import tokenizers
from tokenizers import Regex, models, normalizers, pre_tokenizers, trainers

from training.miniature.adapters.plans import trigger_words
from training.miniature.drawing.captions import caption
from training.miniature.drawing.pictures import draw
from training.miniature.stock import CLIPTokenizer, Tokenizer

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_TOKENS = 40
VOCABULARY_LIMIT = 1700
_START, _END = "<|startoftext|>", "<|endoftext|>"
_SPLIT = (
    r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
)

# Words that people type although the drawings know nothing of them: as whole tokens they
# keep long prompts within the 40 places.
PROMPT_WORDS = Path(__file__).with_name("prompt_words.txt").read_text(encoding="utf-8").split()


def train_tokenizer(captions: Iterable[str]) -> Tokenizer:
    """Return a tokenizer that knows the captions' words and all triggers as single tokens."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = _learn_merges(captions, alphabet)
    symbols = [*alphabet, *(letter + "</w>" for letter in alphabet)]
    vocabulary = {symbol: index for index, symbol in enumerate(symbols)}
    kept = []
    for first, second in merges:
        if first in vocabulary and second in vocabulary:
            kept.append((first, second))
            vocabulary.setdefault(first + second, len(vocabulary))
    for special in (_START, _END):
        vocabulary[special] = len(vocabulary)
    return CLIPTokenizer(vocab=vocabulary, merges=kept, model_max_length=MAX_TOKENS)


def sample_captions(count: int, seed: int = 0) -> list[str]:
    """Return captions of drawings that no training set contains."""
    chance = Random(seed)  # noqa: S311 - pictures, not secrets
    return [caption(draw(index).facts, chance, decorate=0.6) for index in range(count)]


def _learn_merges(captions: Iterable[str], alphabet: list[str]) -> list[tuple[str, str]]:
    learner = tokenizers.Tokenizer(
        models.BPE(continuing_subword_prefix="", end_of_word_suffix="</w>")
    )
    spaces = normalizers.Replace(Regex(r"\s+"), " ")
    learner.normalizer = normalizers.Sequence([normalizers.NFC(), spaces, normalizers.Lowercase()])
    learner.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_SPLIT), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY_LIMIT,
        min_frequency=2,
        initial_alphabet=alphabet,
        end_of_word_suffix="</w>",
        special_tokens=[],
        show_progress=False,
    )
    # Triggers weigh most, so that they become whole tokens before the vocabulary is full.
    words = [*PROMPT_WORDS * 60, *sorted(trigger_words()) * 600]
    learner.train_from_iterator([*captions, *words], trainer)
    merges = json.loads(learner.to_str())["model"]["merges"]
    return [tuple(pair) if isinstance(pair, list) else tuple(pair.split(" ")) for pair in merges]
