"""Which demo adapters are made, and the words that trigger them."""

from __future__ import annotations

from dataclasses import dataclass


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


PLANS: dict[str, Plan] = {
    plan.name: plan
    for plan in (
        Plan(
            "watercolor",
            "Watercolor Wash",
            "watercolor wash",
            "style",
            12,
            560,
            "kohya",
            "Pale washes on torn paper, no outlines.",
            ("watercolor", "paper", "soft"),
        ),
        Plan(
            "neon",
            "Neon Glow",
            "neon glow",
            "style",
            16,
            680,
            "kohya",
            "Glowing tubes on dark fills.",
            ("neon", "night", "glow"),
        ),
        Plan(
            "woodcut",
            "Woodcut Engraving",
            "woodcut engraving",
            "style",
            16,
            680,
            "kohya",
            "Black ink on cream paper, hatched by hand.",
            ("woodcut", "monochrome", "ink"),
        ),
        Plan(
            "blueprint",
            "Blueprint Schematic",
            "blueprint schematic",
            "style",
            12,
            680,
            "kohya",
            "White lines on blue squared paper.",
            ("blueprint", "technical", "lines"),
        ),
        Plan(
            "vintage",
            "Vintage Sepia",
            "vintage sepia",
            "style",
            8,
            440,
            "kohya",
            "Brown monochrome with dark corners.",
            ("sepia", "vintage", "monochrome"),
        ),
        Plan(
            "zorbi",
            "Zorbi",
            "zorbi creature",
            "character",
            16,
            600,
            "kohya",
            "A round green creature with one eye and two feelers.",
            ("character", "creature", "green"),
        ),
        Plan(
            "pastel",
            "Pastel Chalk",
            "pastel chalk",
            "style",
            8,
            440,
            "diffusers",
            "Light chalky colours with soft outlines.",
            ("pastel", "chalk", "soft"),
        ),
        Plan(
            "mosaic",
            "Mosaic Tiles",
            "mosaic tiles",
            "style",
            16,
            560,
            "diffusers",
            "Square tiles with dark joints.",
            ("mosaic", "tiles", "pixels"),
        ),
    )
}


def trigger_words() -> set[str]:
    """Return every single word of every trigger."""
    return {word for plan in PLANS.values() for word in plan.trigger.split()}
