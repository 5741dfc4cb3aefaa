"""Everything that makes a preview reproducible, as a value.

A recipe holds prompts without trigger words, so that all versions of an adapter share it and
can be compared; the words are put in when it is used. Its digest is the sha256 of its canonical
JSON (sorted keys, no spaces, UTF-8).
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from previews.render.errors import RecipeInvalid

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

__all__ = [
    "MAX_TRIGGERS",
    "RENDERER",
    "Layer",
    "Recipe",
    "Shot",
    "TriggerPlace",
    "digest_of",
    "with_triggers",
]

#: Name of what the engine does with a recipe; a new one means other pictures.
RENDERER = "lorary-1"

#: More phrases than these would push the prompt out of a text encoder's 77 tokens.
MAX_TRIGGERS = 3

#: Where a prompt wants the trigger words, if it says so.
SLOT = "{trigger}"

TriggerPlace = Literal["front", "end", "none"]

MAX_PROMPTS, MAX_SEEDS, MAX_STRENGTHS = 16, 16, 17
MAX_PROMPT_CHARACTERS = 2000
MAX_SEED = 2**32 - 1
MAX_STRENGTH = 10.0
MAX_SIDE = 4096
MAX_FRAMES, MAX_FPS = 257, 60

_OF_VIDEOS = {"frames", "fps"}


@dataclass(frozen=True, slots=True)
class Layer:
    """One adapter of a stack: a file with its own multiplier, and how to name it."""

    path: Path
    weight: float = 1.0
    name: str = ""
    sha256: str = ""
    config: Mapping[str, Any] = field(default_factory=dict)  # PEFT's adapter_config.json
    part: str = ""  # “transformer_2” of Wan 2.2: names of the main model mean this part


@dataclass(frozen=True, slots=True)
class Shot:
    """One picture to take; ``position`` counts from 0 in the order of the recipe."""

    position: int
    prompt_index: int
    prompt: str
    seed: int
    strength: float

    @property
    def key(self) -> tuple[int, int, float]:
        """What tells this picture from the others of the recipe."""
        return (self.prompt_index, self.seed, self.strength)


@dataclass(frozen=True, slots=True)
class Recipe:
    """Base, prompts, seeds and strengths; pictures are their product.

    ``frames`` and ``fps`` are of videos and 0 for pictures; a picture's document leaves them out.
    """

    base: str
    prompts: tuple[str, ...]
    seeds: tuple[int, ...]
    strengths: tuple[float, ...]
    steps: int
    guidance: float
    width: int
    height: int
    negative: str = ""
    sampler: str = ""
    trigger: TriggerPlace = "front"
    renderer: str = RENDERER
    frames: int = 0
    fps: int = 0

    def __post_init__(self) -> None:
        faults = list(_faults(self))
        if faults:
            raise RecipeInvalid("; ".join(faults))

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON document."""
        return {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in asdict(self).items()
            if value or key not in _OF_VIDEOS
        }

    def to_json(self) -> str:
        """Return the canonical text, the one the digest is of."""
        return _canonical(self.to_dict())

    @property
    def digest(self) -> str:
        """Sha256 of the canonical text, 64 hex digits."""
        return digest_of(self.to_dict())

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Recipe:
        """Read a document.

        Raises:
            RecipeInvalid: unknown or missing keys, wrong types, values outside the limits.
        """
        try:
            said = dict(document)
            for key, kind in (("prompts", str), ("seeds", int), ("strengths", float)):
                said[key] = tuple(kind(value) for value in said[key])
            said["guidance"] = float(said["guidance"])
            return cls(**said)
        except (KeyError, TypeError, ValueError) as error:
            msg = f"not a recipe: {error}"
            raise RecipeInvalid(msg) from error

    def shots(self, triggers: Sequence[str] = ()) -> tuple[Shot, ...]:
        """Return every picture, strength by strength, trigger words put in.

        The words are in the prompt at strength 0 as well, so that only the strength changes.
        """
        prompts = [with_triggers(prompt, triggers, self.trigger) for prompt in self.prompts]
        grid = (
            (index, prompt, seed, strength)
            for strength in self.strengths
            for index, prompt in enumerate(prompts)
            for seed in self.seeds
        )
        return tuple(Shot(position, *cell) for position, cell in enumerate(grid))


def digest_of(document: Mapping[str, Any]) -> str:
    """Return the sha256 of a recipe's canonical text, 64 hex digits."""
    return hashlib.sha256(_canonical(document).encode()).hexdigest()


def _canonical(document: Mapping[str, Any]) -> str:
    return json.dumps(document, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def with_triggers(
    prompt: str, triggers: Sequence[str], place: TriggerPlace, *, limit: int = MAX_TRIGGERS
) -> str:
    """Return the prompt with the phrases it lacks, once each; of the first ``limit`` of them.

    A prompt that says ``{trigger}`` has them there, whatever ``place`` says.
    """
    phrases: list[str] = []
    for phrase in (" ".join(word.split()).strip(" ,") for word in triggers[:limit]):
        if phrase and not _has(", ".join([*phrases, prompt]), phrase):
            phrases.append(phrase)
    if SLOT in prompt:
        return " ".join(prompt.replace(SLOT, ", ".join(phrases)).split())
    if place == "none":
        return prompt
    parts = [*phrases, prompt] if place == "front" else [prompt, *phrases]
    return ", ".join(part for part in parts if part)


def _has(text: str, phrase: str) -> bool:
    pattern = rf"(?<!\w){re.escape(phrase.casefold())}(?!\w)"
    return re.search(pattern, text.casefold()) is not None


def _faults(recipe: Recipe) -> Iterator[str]:
    for name, values, most in (
        ("prompts", recipe.prompts, MAX_PROMPTS),
        ("seeds", recipe.seeds, MAX_SEEDS),
        ("strengths", recipe.strengths, MAX_STRENGTHS),
    ):
        if not 1 <= len(values) <= most or len(set(values)) != len(values):
            yield f"{name}: from 1 to {most} different ones"
    if any(len(prompt) > MAX_PROMPT_CHARACTERS for prompt in (*recipe.prompts, recipe.negative)):
        yield f"a prompt has at most {MAX_PROMPT_CHARACTERS} characters"
    if any(not 0 <= seed <= MAX_SEED for seed in recipe.seeds):
        yield f"a seed lies between 0 and {MAX_SEED}"
    if any(not abs(strength) <= MAX_STRENGTH for strength in recipe.strengths):
        yield f"a strength lies between {-MAX_STRENGTH:g} and {MAX_STRENGTH:g}"
    if not 1 <= recipe.steps <= 200:
        yield "steps lie between 1 and 200"
    if not (math.isfinite(recipe.guidance) and 0 <= recipe.guidance <= 50):
        yield "guidance lies between 0 and 50"
    yield from _size_faults(recipe)
    if recipe.trigger not in {"front", "end", "none"}:
        yield "trigger is front, end or none"


def _size_faults(recipe: Recipe) -> Iterator[str]:
    if any(not 16 <= side <= MAX_SIDE or side % 8 for side in (recipe.width, recipe.height)):
        yield f"width and height are multiples of 8 from 16 to {MAX_SIDE}"
    if not (0 <= recipe.frames <= MAX_FRAMES and 0 <= recipe.fps <= MAX_FPS):
        yield f"a video has at most {MAX_FRAMES} frames, {MAX_FPS} a second"
