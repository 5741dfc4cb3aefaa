"""Help pages from the documents in ``docs/``."""

from __future__ import annotations

import re
from functools import lru_cache

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from registry.cards import markdown
from registry.errors import NotFound

#: Documents that pages link to.
DOCUMENTS = frozenset(
    {"algebra", "anatomy", "cli", "clients", "findings", "previews", "sdk", "search"}
)

_HEADING = re.compile(r"<(h[2-6])>(.*?)</\1>", re.DOTALL)
#: Table rows about one code, such as a finding's, get an id to link to.
_CODE_ROW = re.compile(
    r"<tr>(\s*<td><code>([a-z_]+)</code></td>\s*<td>(?:error|warning|info)</td>)"
)
_ROW_ID = r'<tr id="\2">\1'
_LINK = re.compile(r'<a href="([^"]*)"[^>]*>(.*?)</a>', re.DOTALL)


@require_safe
def show(request: HttpRequest, name: str) -> HttpResponse:
    """Show a document; its relative links to others end in ``.md``, as in the repository."""
    title, body = _read(name.removesuffix(".md"))
    return render(request, "pages/help.html", {"title": title, "body": body})


@lru_cache(maxsize=8)
def _read(name: str) -> tuple[str, SafeString]:
    """Return title and body of a document."""
    if name not in DOCUMENTS:
        raise NotFound(_("There is no help page with this name."))
    try:
        text = (settings.ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")
    except OSError as error:
        raise NotFound(_("This help page is not installed.")) from error
    first, _newline, rest = text.lstrip().partition("\n")
    return first.removeprefix("#").strip(), _fitted(_CODE_ROW.sub(_ROW_ID, markdown.render(rest)))


def _fitted(html: str) -> SafeString:
    """Return the sanitised document, with ids for headings and only valid links."""
    html = _HEADING.sub(_with_id, html).replace("<pre>", '<pre tabindex="0">')
    frame = format_html(
        '<div class="scroll" tabindex="0" role="group" aria-label="{}">', _("Table")
    )
    html = html.replace("<table>", f"{frame}<table>").replace("</table>", "</table></div>")
    return mark_safe(_LINK.sub(_link, html))  # noqa: S308 - from the repository, and sanitised


def _with_id(found: re.Match[str]) -> str:
    """Return a heading with the id that GitHub would give it."""
    tag, inner = found.groups()
    words = re.sub(r"[^\w\- ]", "", re.sub(r"<[^>]*>", "", inner).lower())
    return f'<{tag} id="{words.replace(" ", "-")}">{inner}</{tag}>'


def _link(found: re.Match[str]) -> str:
    """Return links to the web, the same page and other help pages; other links become text."""
    place, inner = found.groups()
    path, _hash, anchor = place.partition("#")
    if path.startswith(("http://", "https://")):
        return found[0]
    name = path.removesuffix(".md")
    if path and name not in DOCUMENTS:
        return inner
    own = reverse("help", args=[name]) if path else ""
    return f'<a href="{own}{_hash}{anchor}">{inner}</a>'
