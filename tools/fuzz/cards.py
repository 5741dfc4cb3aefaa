"""Random and hostile cards through the Markdown renderer, with a dated report.

    python -m tools.fuzz.cards --seconds 600 --seed 1 --report docs/reports

Cards are put together from what begins and ends formatting: repeated, nested, cut, never closed, up
to the longest that is taken. What has to hold is in ``check``. A card that breaks a rule is written
to ``--keep`` and ends the run; its seed and number make it again.
"""

from __future__ import annotations

import argparse
import os
import re
import time
import tracemalloc
from collections import Counter
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import django
from django.apps import apps

from tools.fuzz import reports

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Characters of the longest card.
LONGEST = 200_000
#: Beyond the parser's own limit: for its preparation, and for what follows it.
MORE_SECONDS = 1.5
#: Memory that a card may take: so many times its length, and so much more.
MEMORY_TIMES, MEMORY_BYTES = 400, 32_000_000
#: One card in so many is as long as may be, one in so many is measured.
LONG_EVERY, MEASURED_EVERY = 20, 50

WORD = re.compile(r"q\d+q")
#: Constructs whose parts are legitimately not shown: tables, references, links, code languages.
SHOWS_NOT_ALL = re.compile(r"\||\[|```|~~~")

PIECES = (
    "![", "[", "]", "](", ")", "(", "[]()", "![]()", "[a](b)", "[a]", "[a][a]", "[a]: b\n", "\n",
    "*", "**", "_", "__", "~~", "`", "``", "```", "~~~", "\\", "\\*", "<", ">", "> ", "- ", "+ ",
    "1. ", "2) ", "# ", "###### ", "    ", "\t", "---\n", "===\n", "|", "|-|-|\n", "|a|b|\n", "&",
    "&amp;", "&#0;", "&#x10FFFF;", "&lt;", "<!--", "-->", "<script>", "</p>", "<a href=",
    "<img src=", "<http://a.example>", "<javascript:alert(1)>", "http://a.example", "'", '"',
    ' "title"', "\n\n", "  \n", "\r\n", "\u202e", "\u200b", "\u00a0", "\U0001f600", "a",
    "word ", " ", ":", "!",
)  # fmt: skip
PLACES = (
    "/media/images/7.png", "/media/images/7.webp", "/media/images/7/0123456789ab-256.avif",
    "/media/samples/7.webp", "/media/images/../../api/v1/search", "/media/images/%2e%2e/x",
    "/media/images/7.png?x", "/media/images/7.png#x", "//a.example/media/images/7.png",
    "https://a.example/x.png", "javascript:alert(1)", "data:text/html,x", "JaVaScRiPt:x",
    "vbscript:x", "java\tscript:x", "&#106;avascript:x", "\\\\a.example", "mailto:a@a.example",
    "x' onerror='y", "",
)  # fmt: skip
OPENERS = (("[", "](b)"), ("![", "](b)"), ("**", "**"), ("*", "*"), ("~~", "~~"), ("> ", ""),
           ("- ", ""), ("1. ", ""), ("[", "]"), ("<", ">"), ("`", "`"))  # fmt: skip


def card(random: Random, *, is_long: bool = False) -> str:
    """Return a card; a long one is a short one over and over, as is a part of many others."""
    parts = [_part(random) for _ in range(random.choice((1, 2, 3, 5, 8, 20)))]
    text = "".join(parts)
    if is_long and text:
        text *= LONGEST // len(text) + 1
    return text[:LONGEST]


def _part(random: Random) -> str:
    kind = random.randrange(6)
    if kind == 0:
        return f" q{random.randrange(10**6)}q "
    if kind == 1:
        return random.choice(PIECES) * random.choice((1, 2, 3, 17, 200, 3000))
    if kind == 2:
        opener, closer = random.choice(OPENERS)
        depth = random.choice((1, 3, 9, 19, 20, 21, 60, 400, 2000))
        return f"{opener * depth}q{random.randrange(10**6)}q{closer * depth}\n"
    if kind == 3:
        place, mark = random.choice(PLACES), random.choice(("!", ""))
        form = random.choice(("[x]({})", "[x](<{}>)", '[x]({} "t")', "[x][r]\n\n[r]: <{}>\n\n"))
        return mark + form.format(place)
    if kind == 4:
        return "".join(random.choices(PIECES, k=random.choice((2, 5, 30)))) * random.choice((1, 9))
    line = "".join(random.choices(PIECES, k=4)).replace("\n", "")
    return f"{' ' * random.randrange(5)}{line}\n" * random.choice((1, 3, 50, 800))


class _Elements(HTMLParser):
    """Looks at every element as a browser would."""

    def __init__(self) -> None:
        super().__init__()
        self.words: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Refuse what may not be in a card."""
        from registry.cards import markdown  # noqa: PLC0415 - needs the applications

        named = {name: value or "" for name, value in attrs}
        extra = {"a": {"rel"}, "img": {"loading"}}.get(tag, set())
        assert tag in markdown.TAGS, tag
        assert set(named) <= markdown.ATTRIBUTES.get(tag, set()) | extra, named
        if tag == "img" and "src" in named:
            assert markdown.is_own_picture(named["src"]), named
        if tag == "a" and "href" in named:
            assert named.get("rel") == "nofollow ugc noopener", named
            scheme = urlsplit(re.sub(r"[\s\x00-\x20]", "", named["href"])).scheme.casefold()
            assert scheme in {"", *markdown.SCHEMES}, named
        for value in named.values():
            self.words.update(WORD.findall(value))

    def handle_data(self, data: str) -> None:
        """Collect words."""
        self.words.update(WORD.findall(data))


def check(text: str) -> str:
    """Format a card.

    Returns:
        `formatted`, or the problem for which it is shown as plain text.

    Raises:
        AssertionError: it costs too much, something may run, or a word was lost.
    """
    from registry.cards import markdown  # noqa: PLC0415 - needs the applications

    began = time.thread_time()
    try:
        html, answer = str(markdown.render(text)), "formatted"
    except markdown.Unrenderable as refused:
        html, answer = "", str(refused.problem)
    spent = time.thread_time() - began
    assert spent < markdown.MAX_SECONDS + MORE_SECONDS, f"{spent:.1f} s"
    assert len(html) <= markdown.MAX_HTML, len(html)
    found = _Elements()
    found.feed(html)
    found.close()
    if answer == "formatted" and not SHOWS_NOT_ALL.search(text):
        lost = set(WORD.findall(text)) - found.words
        assert not lost, lost
    return answer


class Broken(AssertionError):
    """A card broke a rule."""

    def __init__(self, message: str, text: str) -> None:
        super().__init__(message)
        self.text = text


@dataclass
class Run:
    """What a run has seen.

    Attributes:
        seed: Of all cards.
        done: Cards so far.
        answers: Answer to how often it was given.
        slowest_s: CPU time of the slowest card, with the look at its HTML.
        slowest_number: Which card that was.
        most_bytes: Highest peak of memory of those that were measured.
    """

    seed: int
    done: int = 0
    answers: Counter[str] = field(default_factory=Counter)
    slowest_s: float = 0.0
    slowest_number: int = 0
    most_bytes: int = 0

    def next(self) -> None:
        """Try the next card.

        Raises:
            Broken: it broke a rule.
        """
        text = self.text_of(self.done)
        began = time.thread_time()
        try:
            is_measured = self.done % MEASURED_EVERY == 0
            answer = self._measured(text) if is_measured else check(text)
        except Exception as error:
            msg = f"Card {self.done} of seed {self.seed}: {type(error).__name__}: {error}"
            raise Broken(msg, text) from error
        spent = time.thread_time() - began
        if spent > self.slowest_s and not is_measured:
            self.slowest_s, self.slowest_number = spent, self.done
        self.answers[answer] += 1
        self.done += 1

    def text_of(self, number: int) -> str:
        """Return a card by its number."""
        return card(Random(f"{self.seed}:{number}"), is_long=number % LONG_EVERY == 0)

    def _measured(self, text: str) -> str:
        from registry.cards import markdown  # noqa: PLC0415 - needs the applications

        answer = check(text)  # what is kept from the first time is no peak
        tracemalloc.start()
        try:
            markdown.render(text)
        except markdown.Unrenderable:  # tracing makes it slower
            pass
        finally:
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        self.most_bytes = max(self.most_bytes, peak)
        assert peak < MEMORY_TIMES * len(text) + MEMORY_BYTES, f"{peak:,} for {len(text):,}"
        return answer


def main(arguments: Sequence[str] | None = None) -> int:
    """Run for some time and report; a broken rule ends it."""
    options = _parser().parse_args(arguments)
    if not apps.ready:
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "hub.settings.test")
        django.setup()
    run, began = Run(options.seed), time.monotonic()
    while time.monotonic() - began < options.seconds:
        try:
            run.next()
        except Broken as broken:
            options.keep.mkdir(parents=True, exist_ok=True)
            path = options.keep / f"card-{run.seed}-{run.done}.md"
            path.write_text(broken.text, encoding="utf-8", newline="")
            reports.say(f"{broken}\nThe card is in {path}.")
            raise
    reports.say(_summary(run, time.monotonic() - began))
    if options.report:
        reports.say(f"written: {_write(run, options.report, time.monotonic() - began)}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tools.fuzz.cards", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--report", type=Path, help="folder for a dated report")
    parser.add_argument("--keep", type=Path, default=Path("test-results"), help="for bad cards")
    return parser


def _summary(run: Run, seconds: float) -> str:
    answers = ", ".join(f"{count:,} {answer}" for answer, count in run.answers.most_common())
    return (
        f"{run.done:,} cards (seed {run.seed}) in {seconds:,.0f} s: {answers}. The slowest, number"
        f" {run.slowest_number}, took {run.slowest_s:.2f} s of CPU time with the look at its HTML;"
        f" the highest peak of memory was {run.most_bytes / 1e6:.1f} MB."
    )


def _write(run: Run, folder: Path, seconds: float) -> Path:
    body = f"""\
{_summary(run, seconds)} No card broke a rule.
"""
    return reports.write(
        folder, name="fuzzing-cards", title="Fuzzing of cards", module="tools.fuzz.cards", body=body
    )


if __name__ == "__main__":
    raise SystemExit(main())
