"""Normalises words for searches: removes accents, case and British spelling.

Documents and queries go through the same functions, so a rule only has to treat both alike; it does
not matter that it turns “noise” into “noize”. A new rule needs a higher ``documents.FORM``.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING

from registry.models.search import MAX_WORD

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

#: Separates texts, so that no phrase spans two of them. It never occurs in a query.
BOUNDARY = "¦"
#: Maximum number of words of a name that are also indexed together with the next word.
MAX_PAIRS = 12
#: Maximum number of parts of ``a-b-c`` that are also indexed as one word.
MAX_PARTS = 4

_MARKS = re.compile("[\u0300-\u036f]")
_PLAIN_LETTERS = str.maketrans({"æ": "ae", "œ": "oe", "ø": "o", "đ": "d", "ł": "l", "ı": "i"})
#: Characters of languages that put no space between words: each one is a word.
_IDEOGRAPH = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_CHUNK = re.compile(r"[^\W_]++(?:[-_.'’+][^\W_]++)*+")
_WORD = re.compile(rf"[{_IDEOGRAPH}]|[^\W_{_IDEOGRAPH}]+")
_CAMEL = re.compile(r"(?<=[a-z]{3})(?=[A-Z][a-z]{2})")

# British spellings with their American equivalents. Source: Oxford, Webster.
_OUR = (
    "arb|ard|arm|behavi|cand|clam|col|demean|discol|dol|endeav|fav|ferv|flav|glam|harb|hon|hum|"
    "lab|misdemean|neighb|od|parl|ranc|rig|rum|sav|savi|splend|succ|tum|val|vap|vig"
)
_RULES = (
    (re.compile(rf"({_OUR})our"), r"\1or"),
    (re.compile(r"([a-z]{2}[a-z])is(e|ed|es|er|ers|ing|ation|ations|able)$"), r"\1iz\2"),
    (re.compile(r"(anal|catal|paral)ys(e|ed|es|er|ers|ing)$"), r"\1yz\2"),
    (re.compile(r"(cent|theat|fib|lit|met|lust|somb|spect|scept|sab|och|calib|meag)re(s|d)?$"),
     r"\1er\2"),
    (re.compile(r"(catal|dial|anal|monol|prol|epil)ogue(s|d)?$"), r"\1og\2"),
    (re.compile(r"(travel|model|jewel|marvel|wool|panel|label|level|fuel|tunnel|swivel|counsel|"
                r"signal|duel|channel|chisel|enamel|pencil|stencil|tassel|bevel|grovel|revel)"
                r"l(ed|ing|er|ers|ous|en|ery)$"), r"\1\2"),
    (re.compile(r"^(arch|medi|encyclop|prim|an|h)ae"), r"\1e"),
)  # fmt: skip
_WHOLE = {
    "grey": "gray", "greys": "grays", "greyscale": "grayscale", "greyish": "grayish",
    "aluminium": "aluminum", "jewellery": "jewelry", "tyre": "tire", "tyres": "tires",
    "plough": "plow", "mould": "mold", "moulded": "molded", "moustache": "mustache",
    "pyjamas": "pajamas", "pyjama": "pajama", "cosy": "cozy", "programme": "program",
    "defence": "defense", "offence": "offense", "licence": "license", "practise": "practice",
    "sceptic": "skeptic", "aeroplane": "airplane", "doughnut": "donut", "manoeuvre": "maneuver",
    "storey": "story", "cheque": "check", "chequered": "checkered", "kerb": "curb",
    "draught": "draft", "smoulder": "smolder", "smouldering": "smoldering", "artefact": "artifact",
    "artefacts": "artifacts", "axe": "ax", "disc": "disk", "woolly": "wooly",
}  # fmt: skip

# Unfinished British words: “colou” must find “color” while “colour” is being typed.
_UNFINISHED = (
    (re.compile(rf"({_OUR})ou$"), r"\1o"),
    (re.compile(r"([a-z]{3,64})is(e|ed|er|in|at|ati|atio)?$"), r"\1iz\2"),
    (re.compile(r"^(cent|theat|fib|lit|met|lust|somb|spect)r$"), r"\1er"),
)


def without_accents(text: str) -> str:
    """Return a text without accents, in Unicode compatibility form."""
    if text.isascii():
        return text
    return unicodedata.normalize("NFC", _MARKS.sub("", unicodedata.normalize("NFKD", text)))


@lru_cache(maxsize=1 << 16)
def fold(word: str) -> str:
    """Return the normalised form of a word, which is the same for all its spellings."""
    found = without_accents(word.casefold()).translate(_PLAIN_LETTERS)[:MAX_WORD]
    if found in _WHOLE:
        return _WHOLE[found]
    for rule, instead in _RULES:
        found = rule.sub(instead, found)
    return found


def unfinished(word: str) -> tuple[str, ...]:
    """Return the normalised forms with which an unfinished word can begin."""
    plain = without_accents(word.casefold()).translate(_PLAIN_LETTERS)[:MAX_WORD]
    found = dict.fromkeys((fold(word), plain))
    for rule, instead in _UNFINISHED:
        found[rule.sub(instead, plain)] = None
    return tuple(found)


def raw_words(text: str) -> Iterator[str]:
    """Yield the words of a text as they are written; ``FilmNoir`` is two words."""
    for chunk in _CHUNK.finditer(without_accents(text)):
        yield from _parts(chunk.group())


def _parts(chunk: str) -> list[str]:
    return [part for word in _WORD.findall(chunk) for part in _CAMEL.split(word)]


def split(text: str) -> list[str]:
    """Return the normalised words of a text, in order."""
    return [fold(word) for word in raw_words(text)]


def indexed(*texts: str, has_pairs: bool = False) -> str:
    """Return the words of texts for the index.

    It contains the words of each text in order, so that phrases are found within it, then words
    joined by hyphens as single words and, with ``has_pairs``, each word joined with the next one.
    """
    pieces, whole = list[str](), dict[str, None]()
    for text in texts:
        ordered = list[str]()
        for chunk in _CHUNK.finditer(without_accents(text)):
            parts = _parts(chunk.group())
            ordered += [fold(part) for part in parts]
            if 1 < len(parts) <= MAX_PARTS:
                whole[as_one(parts)] = None
        if has_pairs:
            whole |= {as_one(pair): None for pair in pairwise(ordered[: MAX_PAIRS + 1])}
        pieces.append(" ".join(ordered))
    pieces += whole
    return f" {BOUNDARY} ".join(piece for piece in pieces if piece)


def as_one(words: Iterable[str]) -> str:
    """Return words joined into one text."""
    return fold("".join(words))
