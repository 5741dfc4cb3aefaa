"""The part of a summary or card in which the words of a query occur, as HTML."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from django.utils.html import conditional_escape, format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

from registry.search import words
from registry.search.documents import plain_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from registry.models import Adapter
    from registry.search.syntax import Word

#: Maximum characters of a snippet, and before its first match.
LENGTH, BEFORE = 180, 60

_TOKEN = re.compile(r"[^\W_]+")
_Span = tuple[int, int]


def snippet(adapter: Adapter, wanted: Sequence[Word]) -> SafeString:
    """Return escaped HTML with ``<mark>`` around the words of a query, "" if there is no text.

    This is the summary if a word occurs in it or all words are in the title and the name, otherwise
    the card if a word occurs there, otherwise the beginning of the summary.
    """
    matches = _matcher(wanted)
    found = _spans(adapter.summary, matches)
    titles = f"{adapter.title} {adapter.name}"
    is_named = all(_spans(titles, _matcher([word])) for word in wanted)
    if found or not adapter.card or (is_named and adapter.summary):
        return _marked(adapter.summary, found)
    text = plain_text(adapter.card)
    in_card = _spans(text, matches)
    return _marked(text, in_card) if in_card else _marked(adapter.summary, [])


def _matcher(wanted: Iterable[Word]) -> Callable[[str], bool]:
    whole, beginnings = set[str](), tuple[str, ...]()
    for word in wanted:
        whole |= {*word.parts, words.as_one(word.parts)}
        if word.is_unfinished:
            beginnings += words.unfinished(word.raw)

    def is_match(token: str) -> bool:
        folded = words.fold(token)
        return folded in whole or (bool(beginnings) and folded.startswith(beginnings))

    return is_match


def _spans(text: str, is_match: Callable[[str], bool]) -> list[_Span]:
    """Return the positions of matching words, as far as one snippet reaches."""
    found: list[_Span] = []
    for token in _TOKEN.finditer(text):
        if found and token.end() > found[0][0] + LENGTH - BEFORE:
            break
        if is_match(token.group()):
            found.append(token.span())
    return found


def _marked(text: str, spans: Sequence[_Span]) -> SafeString:
    if not text.strip():
        return SafeString()
    start = _start(text, spans[0][0]) if spans else 0
    end = _end(text, start + LENGTH)
    pieces = []
    at = start
    for begin, stop in spans:
        if stop > end:
            break
        pieces.append((_plain(text[at:begin]), format_html("<mark>{}</mark>", text[begin:stop])))
        at = stop
    marked = format_html_join("", "{}{}", pieces)
    before, after = "… " if start else "", " …" if end < len(text) else ""
    whole = f"{before}{marked}{conditional_escape(_plain(text[at:end]))}{after}"
    return mark_safe(whole.strip())  # noqa: S308 - each piece is escaped


def _plain(text: str) -> str:
    return re.sub(r"\s+", " ", text)


def _start(text: str, match: int) -> int:
    """Return where a snippet starts: at a word, shortly before its first match."""
    if match <= BEFORE:
        return 0
    space = text.find(" ", match - BEFORE, match)
    return space + 1 if space >= 0 else match


def _end(text: str, end: int) -> int:
    if end >= len(text):
        return len(text)
    space = text.rfind(" ", end - BEFORE, end)
    return space if space >= 0 else end
