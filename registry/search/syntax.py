"""The query language.

noir light          both words, the last one may be unfinished
"film noir"         a phrase
-anime              not this word; also before a phrase or a field
owner:ada           of this owner
tag:film            in the tags; ``base:`` (or ``family:``), ``kind:`` and ``trigger:`` work alike
rank:8..32          rank from 8 to 32; ``rank:16``, ``rank:>=16``, ``rank:..8``
size:<100mb         size of the files; kB, MB, GB as on the pages
rating:general      content rating; ``rating:<=suggestive`` and other ranges of levels
noir.safetensors    a file of this name; the ending may be missing

There are no errors: unknown fields, fields without a valid value and unpaired quotes
are treated as plain words.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from registry.models import Maturity
from registry.search import words

#: Maximum number of characters of a query that are used.
MAX_TEXT = 400
#: Maximum number of words and filters; further ones are ignored.
MAX_TERMS = 12
#: Ending of a query's word that is the name of a file.
FILE_ENDING = ".safetensors"
#: Minimum number of letters of an unfinished word.
MIN_UNFINISHED = 2

#: Field → column of the search document.
COLUMNS = {
    "tag": "tags",
    "base": "base",
    "family": "base",  # as the filter is called
    "kind": "kind",
    "trigger": "triggers",
}
#: Fields with ranges.
LIMITED = frozenset({"rank", "size", "rating"})

_PIECE = re.compile(
    r"(?P<minus>-?)(?:(?P<field>[A-Za-z]{1,12}):)?"
    r'(?:"(?P<quoted>[^"]*+)"|(?P<bare>[^\s"]\S*|"\S*))'
)
_NUMBER = r"\d{1,15}(?:\.\d{1,6})?[a-z]{0,2}"
_RANGE = re.compile(
    rf"(?:(?P<sign>[<>]=?)?(?P<one>{_NUMBER})|(?P<low>{_NUMBER})?\.\.(?P<high>{_NUMBER})?)\Z"
)
_AMOUNT = re.compile(r"(\d{1,15}(?:\.\d{1,6})?)(b|kb|mb|gb|tb|k|m|g|t)?\Z")
#: Content ratings in a range.
_LEVEL = re.compile(rf"\b(?:{'|'.join(Maturity.values)})\b")
_UNITS = {"": 1, "b": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
#: A size without an operator means approximately that size.
_ABOUT = 0.05
_LARGEST = 2**62


@dataclass(frozen=True, slots=True)
class Word:
    """A word or a phrase that must occur, or must not.

    Attributes:
        text: The text as typed, without field and quotes.
        start, end: Position of ``text`` in the query.
        parts: Its normalised words: one, or those of a phrase or of a word such as
            ``semi-realistic``.
        raw: The last part, not normalised.
        column: The only column to search; "" for all columns.
        is_file: Whether it was typed with the ending of a file, which ``text`` lacks.
    """

    text: str
    start: int
    end: int
    parts: tuple[str, ...]
    raw: str
    column: str = ""
    is_phrase: bool = False
    is_excluded: bool = False
    is_unfinished: bool = False
    is_file: bool = False


@dataclass(frozen=True, slots=True)
class Limit:
    """A range of ranks, of sizes in bytes or of content ratings (0 is the lowest).

    Both ends are included; None means no limit.
    """

    field: str
    low: int | None
    high: int | None
    is_excluded: bool = False


@dataclass(frozen=True, slots=True)
class Owner:
    """A name of an owner."""

    name: str
    is_excluded: bool = False


@dataclass(frozen=True, slots=True)
class Parsed:
    """A parsed query."""

    text: str
    words: tuple[Word, ...] = ()
    limits: tuple[Limit, ...] = ()
    owners: tuple[Owner, ...] = ()

    @property
    def wanted(self) -> tuple[Word, ...]:
        """Words that must occur."""
        return tuple(word for word in self.words if not word.is_excluded)

    @property
    def unwanted(self) -> tuple[Word, ...]:
        """Words that must not occur."""
        return tuple(word for word in self.words if word.is_excluded)

    @property
    def is_empty(self) -> bool:
        """Whether the query has no conditions."""
        return not (self.words or self.limits or self.owners)


def parse(text: str) -> Parsed:
    """Parse a query."""
    text = text[:MAX_TEXT]
    found = [part for piece in _PIECE.finditer(text) if (part := _part(piece)) is not None]
    found = found[:MAX_TERMS]
    last = found[-1] if found else None
    if isinstance(last, Word) and _may_go_on(last, text):
        found[-1] = replace(last, is_unfinished=True)
    return Parsed(
        text,
        tuple(part for part in found if isinstance(part, Word)),
        tuple(part for part in found if isinstance(part, Limit)),
        tuple(part for part in found if isinstance(part, Owner)),
    )


def _may_go_on(word: Word, text: str) -> bool:
    is_at_end = word.end == len(text) and not word.is_phrase
    return is_at_end and not word.is_excluded and len(word.raw) >= MIN_UNFINISHED


def _part(piece: re.Match[str]) -> Word | Limit | Owner | None:
    name = (piece["field"] or "").lower()
    is_excluded = bool(piece["minus"])
    group = "bare" if piece["quoted"] is None else "quoted"
    value = piece[group]
    if name == "owner" and value.strip() and value.isprintable():
        return Owner(value.strip(), is_excluded)
    limit = limit_of(name, value, is_excluded=is_excluded)
    if limit is not None:
        return limit
    start = piece.start(group)
    if name and name not in COLUMNS:  # an unknown field is treated as a word
        start = piece.start("field")
        value = piece.string[start : piece.end()]
    is_file = value.lower().endswith(FILE_ENDING)
    value = value[: -len(FILE_ENDING)] if is_file else value
    raw = [word for word in words.raw_words(value) if words.fold(word)]
    if not raw:
        return None
    return Word(
        text=value,
        start=start,
        end=start + len(value),
        parts=tuple(words.fold(word) for word in raw),
        raw=raw[-1],
        column=COLUMNS.get(name, ""),
        is_phrase=group == "quoted",
        is_excluded=is_excluded,
        is_file=is_file,
    )


def limit_of(field: str, text: str, *, is_excluded: bool = False) -> Limit | None:
    """Return the range that ``8..32`` or ``<100mb`` means for a field; None if invalid."""
    if field not in LIMITED:
        return None
    value = text.lower().replace(" ", "")
    if field == "rating":
        if any(letter.isdigit() for letter in value):
            return None
        value = _LEVEL.sub(lambda found: str(Maturity(found[0]).rank), value)
    found = _RANGE.match(value)
    if found is None:
        return None
    sign = found["sign"]
    texts = (found["one"],) if found["one"] else (found["low"], found["high"])
    amounts = [None if text is None else _amount(field, text) for text in texts]
    if any(text and amount is None for text, amount in zip(texts, amounts, strict=True)):
        return None
    if not any(texts):
        return None
    if found["one"] is None:
        return Limit(field, amounts[0], amounts[1], is_excluded)
    return Limit(field, *_ends(field, sign, amounts[0] or 0), is_excluded)


def _ends(field: str, sign: str | None, amount: int) -> tuple[int | None, int | None]:
    if sign is None:
        about = int(amount * _ABOUT) if field == "size" else 0
        return amount - about, amount + about
    step = 0 if sign.endswith("=") else 1
    return (amount + step, None) if sign.startswith(">") else (None, amount - step)


def _amount(field: str, text: str) -> int | None:
    found = _AMOUNT.match(text)
    if found is None or (field != "size" and not text.isdecimal()):
        return None
    return min(int(float(found[1]) * _UNITS[(found[2] or "")[:1]]), _LARGEST)
