"""The stack report: which adapters of a mix write into the same directions, block by block."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import AnonymousUser
from django.utils.translation import gettext as _

from hub.pages.comparison.weights import MAX_BLOCKS, SOME, number, percent_of, url_of
from registry.comparisons import selectors, services
from registry.comparisons.selectors import ABSENT, Compared
from registry.models import DerivedState, User, Version

Viewer = User | AnonymousUser

#: Seconds between two requests for the state of the comparisons.
POLL_S = 2
#: States of comparisons that a request computes.
_REQUESTED = frozenset({ABSENT, DerivedState.FAILED})


@dataclass(frozen=True, slots=True)
class BlockOverlap:
    """The cosine of a block, with the width of its bar."""

    name: str
    cosine: str
    percent: int


@dataclass(frozen=True, slots=True)
class PairOverlap:
    """Two adapters of the mix.

    Attributes:
        cosine: Their overall cosine; empty until it is known.
        blocks: The blocks that both change.
        warning: What to expect where they overlap much.
        trouble: Why it is not known.
    """

    title: str
    url: str
    cosine: str = ""
    percent: int = 0
    blocks: tuple[BlockOverlap, ...] = ()
    warning: str = ""
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class Overlap:
    """The report of a mix.

    Attributes:
        pairs: Its pairs that have been requested.
        is_missing: Whether a pair can be requested.
        refusal: Why a request was refused.
    """

    pairs: tuple[PairOverlap, ...]
    is_missing: bool
    is_open: bool
    refusal: str = ""

    @property
    def is_one_pair(self) -> bool:
        """Whether the mix has no other pair, so that its blocks can be open."""
        return len(self.pairs) == 1 and not (self.is_missing or self.is_open)

    @property
    def poll_s(self) -> int | None:
        """Seconds until its state changes; None if it is finished."""
        return POLL_S if self.is_open else None


def overlap_of(user: Viewer, versions: Sequence[Version], refusal: str = "") -> Overlap | None:
    """Return the report; None without a pair whose files the viewer may download. One query."""
    found = selectors.pairs_of(user, versions)
    if not found:
        return None
    return Overlap(
        tuple(_line(one) for one in found if one.state != ABSENT and not one.is_open),
        is_missing=any(one.state in _REQUESTED for one in found),
        is_open=any(one.is_open for one in found),
        refusal=refusal,
    )


def request_pairs(*, actor: Viewer, versions: Sequence[Version], address: str) -> str:
    """Request the comparisons of all pairs that are missing, and return why some are impossible.

    Raises:
        TooLarge, RateLimited, StateConflict: a limit of the hub.
    """
    reasons = []
    for one in selectors.pairs_of(actor, versions):
        if one.state in _REQUESTED:
            found = services.request(
                actor=actor, first=one.first, second=one.second, address=address
            )
            reasons += [found.obstacle.reason] if found.obstacle else []
    return " ".join(reasons)


def _line(found: Compared) -> PairOverlap:
    titles = [version.adapter.display_title for version in (found.first, found.second)]
    title = _("%(one)s and %(other)s") % {"one": titles[0], "other": titles[1]}
    url = url_of(found.first, found.second)
    if not found.is_ready:
        return PairOverlap(title, url, trouble=found.reason)
    result = found.result
    rows = [row for row in result["blocks"] if row["cosine"] is not None][:MAX_BLOCKS]
    return PairOverlap(
        title,
        url,
        number(result["cosine"]),
        percent_of(result["cosine"]),
        tuple(_blocks(rows)),
        _warning(titles, result["cosine"], rows),
    )


def _blocks(rows: Sequence[dict[str, Any]]) -> Iterator[BlockOverlap]:
    for row in rows:
        yield BlockOverlap(row["block"], number(row["cosine"]), percent_of(row["cosine"]))


def _warning(titles: Sequence[str], cosine: float, rows: Sequence[dict[str, Any]]) -> str:
    """Return a warning if two adapters overlap much, in all or in a block."""
    most = max(rows, key=lambda row: abs(row["cosine"]), default=None)
    if most is None or max(abs(cosine), abs(most["cosine"])) < SOME:
        return ""
    facts = {
        "one": titles[0],
        "other": titles[1],
        "block": most["block"],
        "cosine": number(most["cosine"]),
    }
    if most["cosine"] > 0:
        text = _(
            "“%(one)s” and “%(other)s” change the weights in the same directions, most strongly in "
            "%(block)s (%(cosine)s): there, their strengths add up. Lower one of them."
        )
    else:
        text = _(
            "“%(one)s” and “%(other)s” work against each other, most in %(block)s (%(cosine)s): "
            "there, they weaken each other."
        )
    return text % facts
