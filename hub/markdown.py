"""Cards: Markdown in, safe HTML out.

Raw HTML in a card is text. What the parser makes goes through an allow-list as well, so a hole
in one of the two is not a hole in the page. Pictures from elsewhere would tell their server who
reads the card; they become links.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import nh3
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe
from markdown_it import MarkdownIt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from markdown_it.renderer import RendererProtocol
    from markdown_it.token import Token
    from markdown_it.utils import EnvType, OptionsDict

__all__ = ["render"]

TAGS = {
    "a", "blockquote", "br", "code", "del", "em", "h2", "h3", "h4", "h5", "h6", "hr", "img", "li",
    "ol", "p", "pre", "s", "strong", "table", "tbody", "td", "th", "thead", "tr", "ul",
}  # fmt: skip
ATTRIBUTES = {"a": {"href", "title"}, "img": {"src", "alt", "title"}, "ol": {"start"}}
SCHEMES = {"http", "https", "mailto"}
OWN_PICTURES = "/media/images/"
#: A card is at most this deep in quotes and lists; deeper is text.
MAX_NESTING = 20


def render(card: str) -> SafeString:
    """Return a card as HTML: its highest heading becomes ``h2``, links are nofollow and ugc."""
    tokens = _parser.parse(card)
    _shift_headings(tokens)
    raw = _parser.renderer.render(tokens, _parser.options, {})
    clean = nh3.clean(
        raw,
        tags=TAGS,
        attributes=ATTRIBUTES,
        attribute_filter=_attribute,
        url_schemes=SCHEMES,
        link_rel="nofollow ugc noopener",
    )
    return mark_safe(clean)  # noqa: S308 - the allow-list above is what makes it safe


def _shift_headings(tokens: Sequence[Token]) -> None:
    """Keep the card's outline but hang it below the page's own ``h1``."""
    headings = [token for token in tokens if token.type in {"heading_open", "heading_close"}]
    top = min((int(token.tag[1]) for token in headings), default=1)
    for token in headings:
        token.tag = f"h{min(int(token.tag[1]) - top + 2, 6)}"


def _attribute(tag: str, name: str, value: str) -> str | None:
    if tag == "img" and name == "src" and not value.startswith(OWN_PICTURES):
        return None
    return value


def _image(
    renderer: RendererProtocol,
    tokens: Sequence[Token],
    index: int,
    options: OptionsDict,
    env: EnvType,
) -> str:
    """Show a picture of this hub, link to any other."""
    token = tokens[index]
    source = str(token.attrs.get("src", ""))
    if source.startswith(OWN_PICTURES):
        return str(renderer.image(tokens, index, options, env))  # type: ignore[attr-defined]  # the HTML renderer has it
    return f'<a href="{escape(source)}">{escape(token.content or source)}</a>'


def _build() -> MarkdownIt:
    options: dict[str, Any] = {"html": False, "linkify": False, "maxNesting": MAX_NESTING}
    parser = MarkdownIt("commonmark", options).enable(["table", "strikethrough"])
    parser.add_render_rule("image", _image)
    return parser


_parser = _build()
