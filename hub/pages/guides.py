"""Explanations for people, from the repository's own documents."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from django.conf import settings
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from hub import markdown
from registry.errors import NotFound

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse
    from django.utils.safestring import SafeString

__all__ = ["show"]

#: Documents of ``docs/`` that are written for whoever uses the site.
DOCUMENTS = frozenset({"anatomy", "findings"})


@require_safe
def show(request: HttpRequest, name: str) -> HttpResponse:
    """Show a document; its links to others are relative and end in ``.md``, here as there."""
    title, body = _read(name.removesuffix(".md"))
    return render(request, "pages/help.html", {"title": title, "body": body})


@lru_cache(maxsize=8)
def _read(name: str) -> tuple[str, SafeString]:
    """Return title and body of a document.

    Raises:
        NotFound: there is no such document, or this installation came without it.
    """
    if name not in DOCUMENTS:
        raise NotFound(_("There is no page of help by this name."))
    try:
        text = (settings.ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")
    except OSError as error:
        raise NotFound(_("This page of help is not installed here.")) from error
    first, _newline, rest = text.lstrip().partition("\n")
    return first.removeprefix("#").strip(), markdown.render(rest)
