"""Markdown as safe HTML with limits on time and size, and cards as stored HTML.

Raw HTML is escaped. The parser's output also passes an allow-list, so that a bug in one of the two
does not make the page unsafe. Only pictures of this hub are shown, because a reader's browser must
not fetch other addresses chosen by the author.

A text over a limit is refused, not cut: pages then show its source with the reason.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import nh3
from django.db import DatabaseError, transaction
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe
from markdown_it import MarkdownIt

from registry.models import Adapter, CardHtml, CardProblem

if TYPE_CHECKING:
    from markdown_it.renderer import RendererProtocol
    from markdown_it.ruler import RuleOptionsType
    from markdown_it.rules_block import StateBlock
    from markdown_it.rules_inline import StateInline
    from markdown_it.token import Token
    from markdown_it.utils import EnvType, OptionsDict


#: Increase it with every change of the result of ``render``, so that stored HTML is replaced.
RENDERER = 1

TAGS = {
    "a", "blockquote", "br", "code", "del", "em", "h2", "h3", "h4", "h5", "h6", "hr", "img", "li",
    "ol", "p", "pre", "s", "strong", "table", "tbody", "td", "th", "thead", "tr", "ul",
}  # fmt: skip
ATTRIBUTES = {"a": {"href", "title"}, "img": {"src", "alt", "title"}, "ol": {"start"}}
SCHEMES = {"http", "https", "mailto"}

#: Levels of quotes and lists; a list takes two. The parser drops deeper ones.
MAX_NESTING = 20
#: Maximum characters that may begin or end formatting; each costs up to about 40 µs.
MAX_MARKS = 20_000
#: Maximum characters of the HTML: five times the longest card, to prevent amplification.
MAX_HTML = 1_000_000
#: Maximum CPU time of the parser.
MAX_SECONDS = 2.0

_MARK = re.compile(r"[\[\]*_~`<&\\|]")
#: Paths of stored pictures, see ``hub/pages/urls.py``.
_OWN_PICTURE = re.compile(
    r"/media/(?:"
    r"images/[0-9]{1,18}\.(?:png|webp)"
    r"|images/[0-9]{1,18}/[0-9a-f]{12}-[0-9]{1,5}\.(?:avif|webp)"
    r"|samples/[0-9]{1,18}(?:\.webp|-[0-9]{1,5}\.(?:avif|webp))"
    r")"
)
#: Tokens of nested blocks, which the parser drops at its limit.
_CONTAINERS = {"blockquote_open", "list_item_open"}
#: Key of the time limit in the parser's environment.
_DEADLINE = "lorary.deadline"


class Unrenderable(Exception):
    """The text would take too long to format."""

    def __init__(self, problem: CardProblem) -> None:
        self.problem = problem
        super().__init__(problem.label)


def render(text: str, *, max_marks: int = MAX_MARKS) -> SafeString:
    """Return Markdown as HTML: the highest heading becomes ``h2``, links are nofollow and ugc.

    Args:
        max_marks: How many formatting characters it may have.

    Raises:
        Unrenderable: it is over a limit.
    """
    if sum(1 for _mark in _MARK.finditer(text)) > max_marks:
        raise Unrenderable(CardProblem.MARKS)
    env = {_DEADLINE: time.thread_time() + MAX_SECONDS}
    tokens = _parser.parse(text, env)
    _check(tokens)
    _shift_headings(tokens)
    clean = nh3.clean(
        _parser.renderer.render(tokens, _parser.options, env),
        tags=TAGS,
        attributes=ATTRIBUTES,
        attribute_filter=_attribute,
        set_tag_attribute_values={"img": {"loading": "lazy"}},
        url_schemes=SCHEMES,
        link_rel="nofollow ugc noopener",
    )
    if len(clean) > MAX_HTML:
        raise Unrenderable(CardProblem.LONG)
    return mark_safe(clean)  # noqa: S308 - the allow-list above is what makes it safe


def is_own_picture(address: str) -> bool:
    """Whether an address is the path of a stored picture of this hub."""
    return _OWN_PICTURE.fullmatch(address) is not None


def _check(tokens: Sequence[Token]) -> None:
    """Refuse text that the parser cut, or whose rendering would be too long.

    A reference (``[a]: address``) is written out at each use.
    """
    if any(one.type in _CONTAINERS and one.level >= MAX_NESTING - 1 for one in tokens):
        raise Unrenderable(CardProblem.DEEP)
    written = sum(len(str(value)) for one in _all(tokens) for value in one.attrs.values())
    if written > MAX_HTML:
        raise Unrenderable(CardProblem.LONG)


def _all(tokens: Sequence[Token]) -> Iterator[Token]:
    for token in tokens:
        yield token
        yield from _all(token.children or ())


def _shift_headings(tokens: Sequence[Token]) -> None:
    """Shift the headings below the page's own ``h1``."""
    headings = [token for token in tokens if token.type in {"heading_open", "heading_close"}]
    top = min((int(token.tag[1]) for token in headings), default=1)
    for token in headings:
        token.tag = f"h{min(int(token.tag[1]) - top + 2, 6)}"


def _attribute(tag: str, name: str, value: str) -> str | None:
    if tag == "img" and name == "src" and not is_own_picture(value):
        return None
    return value


def _image(
    renderer: RendererProtocol,
    tokens: Sequence[Token],
    index: int,
    options: OptionsDict,
    env: EnvType,
) -> str:
    """Render a picture of this hub, and other pictures as links."""
    token = tokens[index]
    source = str(token.attrs.get("src", ""))
    if is_own_picture(source):
        return str(renderer.image(tokens, index, options, env))  # type: ignore[attr-defined]  # the HTML renderer has it
    return f'<a href="{escape(source)}">{escape(token.content or source)}</a>'


def _block_in_time(state: StateBlock, _line: int, _end: int, _silent: bool) -> bool:  # noqa: FBT001 - the parser's signature
    """Match nothing; stop parsing blocks when the time limit is reached."""
    return _is_late(state.env)


def _inline_in_time(state: StateInline, _silent: bool) -> bool:  # noqa: FBT001 - the parser's signature
    """Match nothing; stop parsing a line when the time limit is reached."""
    return _is_late(state.env)


def _is_late(env: EnvType) -> bool:
    if time.thread_time() > env[_DEADLINE]:
        raise Unrenderable(CardProblem.SLOW)
    return False


def _build() -> MarkdownIt:
    options: dict[str, Any] = {"html": False, "linkify": False, "maxNesting": MAX_NESTING}
    parser = MarkdownIt("commonmark", options).enable(["table", "strikethrough"])
    inside: RuleOptionsType = {"alt": ["paragraph", "reference", "blockquote", "list"]}
    parser.block.ruler.before("table", "in_time", _block_in_time, inside)
    parser.inline.ruler.before("text", "in_time", _inline_in_time)
    parser.add_render_rule("image", _image)
    return parser


_parser = _build()


# Cards as HTML, rendered after an edit, or at the next view if the stored HTML is outdated.
#
# Therefore no command has to render all cards after an upgrade or a restore.


@dataclass(frozen=True, slots=True)
class Shown:
    """A card for a page."""

    text: str = ""  # the Markdown, "" without a card
    html: SafeString | str = ""  # the same as HTML, "" if there is a problem
    problem: str = ""  # a sentence that says why there is no HTML, or ""


def card_of(adapter: Adapter) -> Shown:
    """Return the card of an adapter for a page; render and store it if necessary."""
    text = adapter.card
    if not text.strip():
        return Shown()
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    stored = CardHtml.objects.filter(adapter=adapter, renderer=RENDERER, sha256=sha256).first()
    row = stored or _store(CardHtml(adapter=adapter, renderer=RENDERER, sha256=sha256), text)
    problem = CardProblem(row.problem).label if row.problem else ""
    html = mark_safe(row.html)  # noqa: S308 - what ``render`` of this version returned
    return Shown(text, html, str(problem))


def preview(text: str) -> Shown:
    """Return a card that is being written; nothing is stored."""
    try:
        return Shown(text, render(text))
    except Unrenderable as error:
        return Shown(text, problem=str(CardProblem(error.problem).label))


def store_on_commit(adapter: Adapter) -> None:
    """Render the card after the commit of the transaction, so that no lock is held meanwhile."""
    transaction.on_commit(lambda: _update(adapter), robust=True)


def _update(adapter: Adapter) -> None:
    rows = CardHtml.objects.filter(adapter=adapter)
    if not adapter.card.strip():
        rows.delete()
        return
    rows.filter(problem=CardProblem.SLOW).delete()  # the machine may have been busy
    card_of(adapter)


def _store(row: CardHtml, text: str) -> CardHtml:
    try:
        row.html = render(text)
    except Unrenderable as error:
        row.problem = error.problem
    with suppress(DatabaseError), transaction.atomic():  # the page is shown anyway
        CardHtml.objects.bulk_create(
            [row],
            update_conflicts=True,
            unique_fields=["adapter"],
            update_fields=["renderer", "sha256", "html", "problem"],
        )
    return row
