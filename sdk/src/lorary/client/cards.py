"""The text of a card: as its file has it, and without Markdown and HTML."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from pathlib import Path

from lorary.client.errors import FileUnreadable, reading_file

#: Characters of a card that are read; the beginning is enough.
_MOST_READ = 20_000
_FENCES = ("```", "~~~")
_FRONT_MATTER = "---"
_TAG = re.compile(r"</?[A-Za-z][^<>]{0,500}>")
_IMAGE = re.compile(r"!\[[^\[\]]{0,300}\]\([^()]{0,500}\)")
_LINK = re.compile(r"\[([^\[\]]{0,300})\]\([^()]{0,500}\)")
_MARKS = re.compile(r"[*`]{1,3}|(?<!\w)_{1,2}(?=\S)|(?<=\S)_{1,2}(?!\w)")
_START = re.compile(r"^(?:#{1,6}|>|[-+*](?= ))[ ]{0,8}")
_RULE = re.compile(r"^[-=*_| :]{3,200}$")


def read_text(place: Path) -> str:
    """Return the text of a Markdown file, without a byte order mark.

    Raises:
        FileMissing: it cannot be read.
        FileUnreadable: it is not UTF-8.
    """
    with reading_file(place):
        data = place.read_bytes()
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        message = f"{place} is not UTF-8. Save it in this encoding, and try again."
        raise FileUnreadable(message) from error


def card_lines(card: str) -> Iterator[str]:
    """Yield the lines of a card that have text: without marks, pictures, code and front matter."""
    is_code = False
    for line in split_front_matter(_without_comments(card[:_MOST_READ]))[1].splitlines():
        if line.lstrip().startswith(_FENCES):
            is_code = not is_code
            continue
        text = "" if is_code else _plain(line)
        if text:
            yield text


def card_text(card: str, most: int) -> str:
    """Return the beginning of a card's text, cut between words to at most this many characters."""
    text = "\n".join(card_lines(card))
    if len(text) <= most:
        return text
    end = max(text.rfind(space, 0, most) for space in " \n")
    return f"{text[: end if end > 0 else most - 1].rstrip()}…"


def _without_comments(text: str) -> str:
    """Return a text without HTML comments; a regular expression would be slow on open ones."""
    kept, start = [], 0
    while (opened := text.find("<!--", start)) >= 0:
        closed = text.find("-->", opened + 4)
        if closed < 0:
            break
        kept.append(text[start:opened])
        start = closed + 3
    return "".join([*kept, text[start:]])


def split_front_matter(text: str) -> tuple[str, str]:
    """Return the front matter of a README, empty without one, and the text after it."""
    lines = text.splitlines(keepends=True)
    marks = [number for number, line in enumerate(lines) if line.rstrip() == _FRONT_MATTER]
    if len(marks) < 2 or marks[0] != 0:
        return "", text
    return "".join(lines[1 : marks[1]]), "".join(lines[marks[1] + 1 :]).lstrip("\r\n")


def _plain(line: str) -> str:
    text = _LINK.sub(r"\1", _IMAGE.sub("", _TAG.sub("", line))).strip()
    if _RULE.match(text):
        return ""
    return html.unescape(_MARKS.sub("", _START.sub("", text))).strip()
