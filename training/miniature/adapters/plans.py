"""Which demo adapters are made, and the words that trigger them.

The index of the miniature names those that have a file. The ones still to be trained wait
in `planned.toml`; an entry moves to the index together with its file.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from random import Random

# What pictures are rendered with when nobody asks for anything else.
GUIDANCE = 2.5
INDEX = Path(__file__).parents[3] / "previews" / "miniature" / "index.toml"
PLANNED_INDEX = Path(__file__).with_name("planned.toml")


@dataclass(frozen=True)
class Plan:
    """One demo adapter: what it teaches, under which words, and how long."""

    name: str
    title: str
    trigger: str
    kind: str
    rank: int
    steps: int
    format: str
    summary: str
    tags: tuple[str, ...]
    # The written weights are the trained ones times this, so that strength 1 is where the
    # sheets look right.
    gain: float = 1.0
    # What the targets of a style allow for. Less is learnt sooner and looks heavier.
    guidance: float = GUIDANCE
    # Steps through the sampler after the training (`tuner.py`); some looks lose by them.
    tuned: int = 0

    def triggered(self, text: str, chance: Random) -> str:
        """Return a caption with the trigger of a style at one of the places where people put it."""
        return chance.choices(
            (f"{text}, {self.trigger}", f"{self.trigger}, {text}", f"{self.trigger} of {text}"),
            (0.65, 0.22, 0.13),
        )[0]

    @classmethod
    def of(cls, name: str, entry: dict[str, Any]) -> Plan:
        """Return the plan that an entry of the index describes."""
        copied = {key: entry[key] for key in ("title", "kind", "rank", "steps", "format")}
        return cls(
            name=name,
            trigger=entry["trigger_words"][0],
            summary=entry["summary"],
            tags=tuple(entry["tags"]),
            gain=entry.get("gain", 1.0),
            guidance=entry.get("guidance", GUIDANCE),
            tuned=entry.get("tuned", 0),
            **copied,
        )


@dataclass(frozen=True)
class Stack:
    """Two demo adapters that go together, and the strengths at which they do."""

    plans: tuple[Plan, ...]
    strengths: tuple[float, ...]

    @property
    def name(self) -> str:
        """Its file's stem: “stack-zorbi-watercolor”."""
        return "-".join(["stack", *(plan.name for plan in self.plans)])


_INDEX: dict[str, Any] = tomllib.loads(INDEX.read_text(encoding="utf-8"))
_PLANNED: dict[str, Any] = tomllib.loads(PLANNED_INDEX.read_text(encoding="utf-8"))

# All in the order of their files.
PLANS = {name: Plan.of(name, entry) for name, entry in _INDEX["adapters"].items()}
PLANNED = {name: Plan.of(name, entry) for name, entry in _PLANNED["adapters"].items()}
ALL_PLANS = {**PLANS, **PLANNED}
STACKS = [
    Stack(tuple(PLANS[name] for name in entry["adapters"]), tuple(entry["strengths"]))
    for entry in _INDEX["stacks"]
]


def trigger_words() -> set[str]:
    """Return every single word of every trigger."""
    return {word for plan in ALL_PLANS.values() for word in plan.trigger.split()}


def silent_triggers() -> set[str]:
    """Return the triggers that stand beside a subject; a character's names the subject."""
    return {plan.trigger for plan in ALL_PLANS.values() if plan.kind != "character"}
