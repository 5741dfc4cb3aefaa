"""Recipes: everything that makes pictures reproducible.

The prompts of a recipe have no trigger words, so that all versions of an adapter share it and can
be compared; the words are added when it is used. Its digest is the sha256 of its canonical JSON
(sorted keys, no spaces, UTF-8).
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from previews.render.errors import RecipeInvalid

#: Version of the engine; it changes when the same recipe produces other pictures.
RENDERER = "lorary-1"

#: Maximum number of trigger words, because a text encoder has 77 tokens.
MAX_TRIGGERS = 3

#: Placeholder for the trigger words in a prompt.
SLOT = "{trigger}"

TriggerPlace = Literal["front", "end", "none"]
#: Place of trigger words in a recipe; a ``literal`` prompt gets none and is not changed at all.
TriggerRule = Literal[TriggerPlace, "literal"]

MAX_PROMPTS, MAX_SEEDS, MAX_STRENGTHS = 16, 16, 17
MAX_PROMPT_CHARACTERS = 2000
MAX_SEED = 2**32 - 1
MAX_STRENGTH = 10.0
MAX_SIDE = 4096
MAX_FRAMES, MAX_FPS = 257, 60

#: Fields that a document leaves out if they are 0; recipes of earlier releases have none of them.
_OPTIONAL = {"frames", "fps", "swept", "at", "edition", "plain"}


@dataclass(frozen=True, slots=True)
class Layer:
    """One adapter of a stack: a file with its strength and name."""

    path: Path
    weight: float = 1.0
    name: str = ""
    sha256: str = ""
    config: Mapping[str, Any] = field(default_factory=dict)  # PEFT's adapter_config.json
    part: str = ""  # the component to change, if not the main one: “transformer_2” of Wan 2.2


@dataclass(frozen=True, slots=True)
class Shot:
    """One picture to render; ``position`` is its index in the recipe."""

    position: int
    prompt_index: int
    prompt: str
    seed: int
    strength: float

    @property
    def key(self) -> tuple[int, int, float]:
        """Identifies the picture within its recipe."""
        return (self.prompt_index, self.seed, self.strength)


@dataclass(frozen=True, slots=True)
class Recipe:
    """A base model, settings, and the prompts, seeds and strengths that are rendered.

    The first ``swept`` prompts are rendered with all seeds at all strengths. The others are
    rendered with the first seed at strength 0, if it is one of the strengths, and ``at``. If
    ``swept`` is 0, all prompts are swept. ``edition`` is that of the default prompts, 0 if the
    prompts are others or older. ``frames`` and ``fps`` are 0 except for videos. ``plain`` has the
    prompts at strength 0 if those are others, one for each prompt.
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
    trigger: TriggerRule = "front"
    renderer: str = RENDERER
    frames: int = 0
    fps: int = 0
    swept: int = 0
    at: float = 0.0
    edition: int = 0
    plain: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        faults = list(_faults(self))
        if faults:
            raise RecipeInvalid("; ".join(faults))

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON document."""
        return {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in asdict(self).items()
            if value or key not in _OPTIONAL
        }

    @property
    def digest(self) -> str:
        """Sha256 of the canonical JSON, 64 hex digits."""
        return digest_of(self.to_dict())

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Recipe:
        """Return the recipe of a document.

        Raises:
            RecipeInvalid: unknown or missing keys, wrong types, values outside the limits.
        """
        try:
            values = dict(document)
            for key, kind in (("prompts", str), ("seeds", int), ("strengths", float)):
                values[key] = tuple(kind(value) for value in values[key])
            values["guidance"] = float(values["guidance"])
            values["at"] = float(values.get("at", 0.0))
            values["plain"] = tuple(map(str, values.get("plain", ())))
            return cls(**values)
        except (KeyError, TypeError, ValueError) as error:
            msg = f"not a recipe: {error}"
            raise RecipeInvalid(msg) from error

    def shots(self, triggers: Sequence[str] = ()) -> tuple[Shot, ...]:
        """Return all pictures with trigger words, strength by strength.

        The words are also added at strength 0, so that only the strength differs, unless the recipe
        has other prompts there.
        """
        full, plain = (
            [with_triggers(prompt, triggers, self.trigger) for prompt in prompts]
            for prompts in (self.prompts, self.plain or self.prompts)
        )
        grid = (
            (index, prompt, seed, strength)
            for strength in self.strengths
            for index, prompt in enumerate(full if strength else plain)
            for seed in self.seeds
            if self._has(index, seed, strength)
        )
        return tuple(Shot(position, *cell) for position, cell in enumerate(grid))

    def _has(self, prompt_index: int, seed: int, strength: float) -> bool:
        if not self.swept or prompt_index < self.swept:
            return True
        return seed == self.seeds[0] and strength in {0.0, self.at}


def picture_count(document: Mapping[str, Any]) -> int:
    """Return the number of pictures of a recipe's document."""
    prompts, seeds, strengths = (document[key] for key in ("prompts", "seeds", "strengths"))
    swept = document.get("swept") or len(prompts)
    others = sum(strength in {0.0, document.get("at", 0.0)} for strength in strengths)
    return swept * len(seeds) * len(strengths) + (len(prompts) - swept) * others


def digest_of(document: Mapping[str, Any]) -> str:
    """Return the sha256 of a document's canonical JSON, 64 hex digits."""
    text = json.dumps(document, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def with_triggers(
    prompt: str, triggers: Sequence[str], place: TriggerRule, *, limit: int = MAX_TRIGGERS
) -> str:
    """Return the prompt with those of the first ``limit`` trigger words that it does not contain.

    They replace ``{trigger}`` in the prompt; without it, ``place`` decides.
    """
    if place == "literal":
        return prompt
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
            yield f"`{name}` must be 1 to {most} different values"
    texts = (*recipe.prompts, *recipe.plain, recipe.negative)
    if any(len(text) > MAX_PROMPT_CHARACTERS for text in texts):
        yield f"prompts must have at most {MAX_PROMPT_CHARACTERS} characters"
    if any(not 0 <= seed <= MAX_SEED for seed in recipe.seeds):
        yield f"seeds must be between 0 and {MAX_SEED}"
    if any(not abs(strength) <= MAX_STRENGTH for strength in recipe.strengths):
        yield f"strengths must be between {-MAX_STRENGTH:g} and {MAX_STRENGTH:g}"
    if not 1 <= recipe.steps <= 200:
        yield "steps must be between 1 and 200"
    if not (math.isfinite(recipe.guidance) and 0 <= recipe.guidance <= 50):
        yield "guidance must be between 0 and 50"
    yield from _size_faults(recipe)
    yield from _sweep_faults(recipe)
    if recipe.trigger not in {"front", "end", "none", "literal"}:
        yield "`trigger` must be front, end, none or literal"
    if recipe.plain and len(recipe.plain) != len(recipe.prompts):
        yield "`plain` must have as many entries as `prompts`"


def _sweep_faults(recipe: Recipe) -> Iterator[str]:
    if not 0 <= recipe.swept <= len(recipe.prompts):
        yield "`swept` must be at most the number of `prompts`"
    if (recipe.at not in recipe.strengths) if recipe.swept else recipe.at:
        yield "`at` must be one of `strengths` if `swept` is above 0, and otherwise 0"
    if recipe.edition < 0:
        yield "`edition` must not be below 0"


def _size_faults(recipe: Recipe) -> Iterator[str]:
    if any(not 16 <= side <= MAX_SIDE or side % 8 for side in (recipe.width, recipe.height)):
        yield f"width and height must be multiples of 8 from 16 to {MAX_SIDE}"
    if not (0 <= recipe.frames <= MAX_FRAMES and 0 <= recipe.fps <= MAX_FPS):
        yield f"videos must have at most {MAX_FRAMES} frames and {MAX_FPS} frames per second"
