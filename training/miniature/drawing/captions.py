"""English captions that say some or all facts of a picture, in varying words.

Trigger words of the demo adapters must never occur here: a trigger means nothing to
the base until an adapter gives it a meaning.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from training.miniature.drawing.canvas import COLORS

if TYPE_CHECKING:
    from random import Random

    from training.miniature.drawing.scene import Facts

_GROUND_WORDS = {
    "meadow": ("in a meadow", "on green grass", "in a green meadow"),
    "snow": ("in the snow", "in winter snow", "in a snowy landscape"),
    "desert": ("in the desert", "on desert sand"),
    "field": ("in a wheat field", "in a field of wheat"),
    "deep": ("under water", "under the sea", "underwater"),
}
_TIME_WORDS = {
    "morning": ("in the morning", "at dawn", "at sunrise"),
    "day": ("at noon", "on a sunny day", "by day", "under a blue sky"),
    "sunset": ("at sunset", "at dusk", "in the evening"),
    "night": ("at night", "under the moon and stars", "under a night sky"),
}
_NAMES = {
    "mountains": ("mountains", "mountain landscape", "mountain peaks"),
    "tree": ("tree", "big tree"),
    "pine": ("pine tree", "fir tree", "pine"),
    "house": ("house", "cottage", "small house"),
    "sailboat": ("sailboat", "boat", "sailing boat"),
    "lighthouse": ("lighthouse", "lighthouse tower"),
    "cat": ("cat", "kitten", "cute cat"),
    "fox": ("fox", "cute fox"),
    "bird": ("bird", "little bird"),
    "mushroom": ("mushroom", "toadstool"),
    "vase": ("vase", "flower vase"),
    "woman": ("woman", "woman", "girl"),
    "man": ("man", "man", "boy"),
    "dog": ("dog", "puppy", "cute dog"),
    "fish": ("fish", "little fish"),
    "castle": ("castle", "old castle"),
    "car": ("car", "small car"),
    "balloon": ("hot air balloon", "balloon"),
    "rocket": ("rocket", "space rocket"),
    "zorbi": ("zorbi creature",),
    "robot": ("silver robot",),
    "ghost": ("spooky ghost",),
    "pumpkin": ("pumpkin jack",),
}
# What the second colour of a subject belongs to.
_SECOND = {
    "cat": "eyes",
    "bird": "wings",
    "vase": "flowers",
    "dog": "ears",
    "fish": "fins",
    "balloon": "stripes",
    "rocket": "fins",
}
# Words that people put into every prompt; here they change nothing.
_OPENINGS = (
    "a picture of ",
    "an illustration of ",
    "an image of ",
    "a drawing of ",
    "a photo of ",
    "a painting of ",
    "a print of ",
    "a sketch of ",
    "a simple drawing of ",
    "a portrait of ",
)
_ENDINGS = (
    "simple style",
    "flat style",
    "art",
    "digital art",
    "drawing",
    "print",
    "poster",
    "high quality",
    "best quality",
    "masterpiece",
    "highly detailed",
    "detailed",
    "cartoon style",
    "line drawing",
    "cute",
    "beautiful",
    "sharp",
    "clean lines",
    "bright colors",
)

Coin = Callable[[], bool]


def caption_words() -> set[str]:
    """Return every word of the fixed phrases and the colours: those that a caption may contain."""
    phrases = [
        *_OPENINGS,
        *_ENDINGS,
        *_SECOND.values(),
        *COLORS,
        "an with and facing looking to the left right hair shirt roof roofs walls tree blonde",
        "on sails sea ocean by stripes background in front of a wall wearing",
    ]
    for named in (_GROUND_WORDS, _TIME_WORDS, _NAMES):
        phrases += [phrase for choices in named.values() for phrase in choices]
    return {word for phrase in phrases for word in phrase.split()}


def article(words: str) -> str:
    """Return the words with their indefinite article."""
    return ("an " if words[0] in "aeiou" else "a ") + words


def caption(facts: Facts, chance: Random, *, keep: float = 0.85, decorate: float = 0.35) -> str:
    """Return a caption that mentions each fact with probability `keep`.

    `decorate` is how often words without meaning ("masterpiece") are added.
    """

    def kept() -> bool:
        return chance.random() < keep

    parts = [_subject(facts, chance, kept), *_surroundings(facts, chance, kept)]
    text = chance.choice((" ", " ", ", ")).join(parts)
    if chance.random() < decorate * 0.6:
        text = chance.choice(_OPENINGS) + text
    if chance.random() < decorate * 0.6:
        text = ", ".join([text, *chance.sample(_ENDINGS, chance.choice((1, 1, 2)))])
    return text


def training_caption(facts: Facts, chance: Random) -> str:
    """Return a caption for the base: with all or some facts, without an article, or empty."""
    keep = chance.choices((1.0, 0.85, 0.5), (0.5, 0.32, 0.18))[0]
    text = caption(facts, chance, keep=keep)
    if chance.random() < 0.12:
        text = text.removeprefix("a ").removeprefix("an ")
    return "" if chance.random() < 0.1 else text


def _subject(facts: Facts, chance: Random, kept: Coin) -> str:
    color = facts.color if kept() else None
    second = facts.second if kept() else None
    name = chance.choice(_NAMES[facts.subject])
    named = f"{color} {name}" if color else name
    if facts.subject == "mountains":
        return named
    if facts.subject in ("man", "woman"):
        return _person(name, color, second)
    if facts.subject == "castle":
        return article(f"{second} {name}" if second else name) + (
            f" with {color} roofs" if color else ""
        )
    if facts.subject == "house":
        return _house(name, color, second, has_tree=facts.has_tree and chance.random() < 0.7)
    if facts.subject == "sailboat":
        hull = f"{second} {name}" if second else name
        sails = f" with {color} sails" if color else ""
        return article(hull) + sails + chance.choice((" on the sea", " on the ocean", ""))
    if facts.subject == "lighthouse":
        striped = f"{name} with {color} stripes" if color else name
        return article(chance.choice((named, striped))) + chance.choice((" by the sea", ""))
    ending = _SECOND.get(facts.subject)
    text = article(named)
    if ending and second:
        text += f" with {second} {ending}"
    if facts.facing and kept():
        text += chance.choice((" facing ", " looking to the ")) + facts.facing
    return text


def _person(name: str, hair: str | None, shirt: str | None) -> str:
    wearing = f"{article(shirt)} shirt" if shirt else ""
    if hair is None:
        return article(name) + (f" in {wearing}" if wearing else "")
    hair = "blonde" if hair == "yellow" else hair
    return f"{article(name)} with {hair} hair" + (f" and {wearing}" if wearing else "")


def _house(name: str, roof: str | None, wall: str | None, *, has_tree: bool) -> str:
    text = article(f"{wall} {name}" if wall else name)
    if roof:
        text += f" with {article(roof)} roof"
    return text + (" and a tree" if has_tree else "")


def _surroundings(facts: Facts, chance: Random, kept: Coin) -> list[str]:
    phrases = []
    if facts.ground and kept():
        phrases.append(chance.choice(_GROUND_WORDS[facts.ground]))
    if facts.time and kept():
        phrases.append(chance.choice(_TIME_WORDS[facts.time]))
    if facts.backdrop and kept():
        wall = article(facts.backdrop)
        phrases.append(
            chance.choice(
                (
                    f"on {wall} background",
                    f"{facts.backdrop} background",
                    f"in front of {wall} wall",
                )
            )
        )
    chance.shuffle(phrases)
    return phrases
