"""Cards as HTML, rendered after an edit, or at the next view if the stored HTML is outdated.

So no command has to render all cards after an upgrade or a restore.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import dataclass

from django.db import DatabaseError, transaction
from django.utils.safestring import SafeString, mark_safe

from registry.cards.markdown import RENDERER, Unrenderable, render
from registry.models import Adapter, CardHtml, CardProblem


@dataclass(frozen=True, slots=True)
class Shown:
    """A card for a page."""

    text: str = ""  # the Markdown, "" without a card
    html: SafeString | str = ""  # the same as HTML, "" if there is a problem
    problem: str = ""  # a sentence that says why there is no HTML, or ""


def of(adapter: Adapter) -> Shown:
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
    of(adapter)


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
