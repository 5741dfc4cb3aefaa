"""Words of generated adapters, and draws from them by Zipf's law.

The first words are common English, so that searches have many results; the long tail consists of
coined names, which few adapters have.
"""

from __future__ import annotations

from bisect import bisect_left
from functools import cache
from itertools import accumulate
from random import Random
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable

T = TypeVar("T")

#: Number of coined names.
COINED = 12_000


def words_in(text: str) -> list[str]:
    """Return the words of a text."""
    return text.split()


def seeded(*parts: object) -> Random:
    """Return random numbers that are the same for the same parts."""
    return Random("/".join(map(str, parts)))  # noqa: S311 - nothing here is secret


MEDIA = words_in("""
    watercolour ink oil pencil charcoal pastel gouache woodcut engraving linocut etching fresco
    mosaic collage crayon marker screenprint lithograph tapestry papercut origami embroidery clay
    plasticine felt porcelain glass chalk acrylic airbrush stipple cyanotype daguerreotype polaroid
    film photo pixel voxel vector isometric lowpoly cartoon comic manga anime chibi sketch doodle
    lineart graffiti poster blueprint storyboard claymation stopmotion
""")

SUBJECTS = words_in("""
    portrait landscape city street forest ocean mountain desert castle temple harbour lighthouse
    bridge garden kitchen library station market village island waterfall meadow glacier volcano
    cave ruin tower cathedral factory greenhouse attic alley rooftop cat dog fox wolf horse owl
    raven crane koi whale octopus beetle butterfly dragon phoenix golem robot android mech spaceship
    airship submarine train tram bicycle motorcycle sailboat teapot lantern clock violin piano
    camera compass map crown sword armour shield helmet cloak kimono sari tuxedo hoodie raincoat
    sneakers gloves glasses scarf mushroom orchid lotus rose cactus bamboo maple cherry lemon bread
    cake noodles coffee skull mask mirror candle feather crystal geode comet nebula planet moon
    knight witch pirate samurai astronaut detective ballerina violinist sailor baker gardener
    librarian blacksmith shepherd mermaid vampire ghost giant dwarf elf goblin
""")

MOODS = words_in("""
    noir soft neon pastel dark vivid muted grainy glossy faded vintage retro futuristic gothic
    baroque minimal surreal dreamy cosy eerie epic serene stormy foggy sunny golden moonlit rainy
    snowy autumnal spring misty dusty smoky luminous translucent metallic grey crimson teal amber
    ivory emerald cobalt violet pale warm cold quiet loud tiny colossal ornate rough smooth blurred
    sharp cinematic symmetrical asymmetrical layered floating broken woven carved painted
""")

OTHERS = words_in("""
    style detail light shadow depth texture colour contrast grain bokeh glow haze reflection rim
    backlight spotlight silhouette closeup panorama macro aerial wide fisheye tilt motion pose
    sitting standing running dancing sleeping jumping reading smiling crying looking pointing
    outfit dress uniform hairstyle braid ponytail freckles tattoo jewellery background interior
    exterior facade window door stairs roof pattern stripes polka plaid lace velvet denim leather
    slider enhancer fixer hands eyes skin hair fur scales feathers wings horns tail
""")

#: Everyday words, the most frequent first.
COMMON = tuple(
    dict.fromkeys(
        word for row in zip(MOODS, SUBJECTS, MEDIA * 2, OTHERS, strict=False) for word in row
    )
)
EVERYDAY = tuple(dict.fromkeys((*COMMON, *MEDIA, *SUBJECTS, *MOODS, *OTHERS)))

_HEADS = words_in("b br c ch d dr f fl g gr h j k kr l m n p r s sh st t th tr v w y z")
_VOWELS = words_in("a e i o u ae ei ia io ou")
_TAILS = ("", "", "n", "r", "l", "s", "th", "x", "nd", "rk")


@cache
def coined(number: int) -> str:
    """Return a coined name; the same for the same number, another for each number."""
    base, parts = number, []
    for _ in range(2):
        base, head = divmod(base, len(_HEADS))
        base, vowel = divmod(base, len(_VOWELS))
        parts.append(_HEADS[head] + _VOWELS[vowel])
    return "".join(parts) + _TAILS[number % len(_TAILS)] + ("" if not base else coined(base))


class Zipf(Generic[T]):
    """Draws values so that the n-th is ``n ** exponent`` times rarer than the first."""

    def __init__(self, values: Iterable[T], exponent: float = 1.0) -> None:
        self.values = tuple(values)
        weights = (1 / rank**exponent for rank in range(1, len(self.values) + 1))
        self._sums = list(accumulate(weights))

    def draw(self, random: Random) -> T:
        """Return one value."""
        place = bisect_left(self._sums, random.random() * self._sums[-1])
        return self.values[min(place, len(self.values) - 1)]

    def some(self, random: Random, count: int) -> list[T]:
        """Return up to ``count`` different values."""
        return list(dict.fromkeys(self.draw(random) for _ in range(count)))


NAMES = tuple(coined(number * 7919 % 90_000) for number in range(COINED))
WORDS = Zipf((*EVERYDAY, *NAMES))
SUBJECT, MOOD, MEDIUM = Zipf(SUBJECTS, 0.6), Zipf(MOODS, 0.6), Zipf(MEDIA, 0.6)
NAME = Zipf(NAMES, 0.5)
TAGS = tuple(
    dict.fromkeys(
        (*EVERYDAY, *(f"{mood} {subject}" for mood in MOODS[:24] for subject in SUBJECTS[:60]))
    )
)
TAG = Zipf(TAGS)

_SUMMARIES = (
    "{Medium} look for {subject} pictures, {mood} and {mood2}.",
    "Draws every {subject} as a {mood} {medium}.",
    "{Mood} {subject} with a {medium} finish; also good for {subject2}.",
    "The {subject} of {name}, from every side.",
    "Turns photos of a {subject} into {medium}; {word} and {word2} stay readable.",
    "{Name}: {mood} {word}, trained on {number} pictures.",
    "A {mood} {medium} of {subject} and {subject2}, without {word}.",
)
_SENTENCES = (
    "Trained on {number} pictures of {subject}, most of them {mood} {medium}.",
    "It also works with {subject2} and {word}, but less so with {word2}.",
    "Put the trigger words first; {mood} and {mood2} can follow anywhere.",
    "Below strength 0.6 only the {word} changes; above 1.1 the {subject} loses its {word2}.",
    "{Name} asked for a {mood} {subject}, and this is what came of it.",
    "The captions name {word}, {word2} and the {medium}, so you can leave them out.",
    "Stack it with a {mood2} {medium} at half strength.",
    "Version two was trained for {number} more steps after hands came out {mood}.",
)


def words_of(random: Random) -> dict[str, str]:
    """Return the words of one adapter by their place in a sentence."""
    found = {
        "medium": MEDIUM.draw(random), "subject": SUBJECT.draw(random),
        "subject2": SUBJECT.draw(random), "mood": MOOD.draw(random), "mood2": MOOD.draw(random),
        "name": NAME.draw(random), "word": WORDS.draw(random), "word2": WORDS.draw(random),
        "number": str(random.randrange(12, 900)),
    }  # fmt: skip
    return found | {key.title(): value.title() for key, value in found.items()}


def title(random: Random, words: dict[str, str], kind: str) -> str:
    """Return a title: a name for a character, otherwise what the adapter draws."""
    if kind == "character":
        return f"{words['Name']} the {words['Subject']}"
    if kind == "style":
        return f"{words['Mood']} {words['Medium']}"
    if random.random() < 0.2:
        return f"{words['Name']} {words['Subject']}"
    return f"{words['Mood']} {words['Subject']}"


def summary(random: Random, words: dict[str, str]) -> str:
    """Return one sentence about an adapter."""
    return random.choice(_SUMMARIES).format_map(words)


def card(random: Random, words: dict[str, str], heading: str, triggers: list[str]) -> str:
    """Return the text of a README.md, mostly a few paragraphs, rarely a few pages."""
    paragraphs = random.choices((1, 3, 12), (55, 35, 10))[0]
    lines = [f"# {heading}", summary(random, words), "## How to use it"]
    lines.append("Write " + ", ".join(f"`{one}`" for one in triggers) + " into the prompt.")
    for number in range(paragraphs):
        if number % 4 == 3:
            lines.append(f"## {words['Word']} and {words_of(random)['word']}")
        own = {**words, "word": WORDS.draw(random), "word2": WORDS.draw(random)}
        chosen = random.sample(_SENTENCES, random.randrange(1, 4))
        lines.append(" ".join(one.format_map(own) for one in chosen))
    return "\n\n".join(lines) + "\n"
