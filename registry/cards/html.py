"""Cards as HTML: made when a card is edited, and at the first view where that HTML is not current.

A hub that is upgraded, restored or written to in another way needs no pass over all cards.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.db import DatabaseError, transaction
from django.utils.safestring import SafeString, mark_safe

from registry.cards.markdown import RENDERER, Unrenderable, render
from registry.models import CardHtml, CardProblem

if TYPE_CHECKING:
    from registry.models import Adapter


@dataclass(frozen=True, slots=True)
class Shown:
    """What a page shows of a card.

    Attributes:
        text: The Markdown, "" where there is no card.
        html: The same as HTML, "" where there is a problem.
        problem: A sentence that says why there is no HTML, "" where there is.
    """

    text: str = ""
    html: SafeString | str = ""
    problem: str = ""


def of(adapter: Adapter) -> Shown:
    """Return the card of an adapter for a page; format and store it where that was not done."""
    text = adapter.card
    if not text.strip():
        return Shown()
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    stored = CardHtml.objects.filter(adapter=adapter, renderer=RENDERER, sha256=sha256).first()
    row = stored or _store(CardHtml(adapter=adapter, renderer=RENDERER, sha256=sha256), text)
    problem = CardProblem(row.problem).label if row.problem else ""
    html = mark_safe(row.html)  # noqa: S308 - what ``render`` of this version returned
    return Shown(text, html, str(problem))


def store_on_commit(adapter: Adapter) -> None:
    """Format the card once the current transaction is over, so that no lock waits for it."""
    transaction.on_commit(lambda: _follow(adapter), robust=True)


def _follow(adapter: Adapter) -> None:
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
    with suppress(DatabaseError), transaction.atomic():  # the page is shown all the same
        CardHtml.objects.bulk_create(
            [row],
            update_conflicts=True,
            unique_fields=["adapter"],
            update_fields=["renderer", "sha256", "html", "problem"],
        )
    return row
