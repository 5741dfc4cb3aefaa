"""The weights of two versions: how alike their changes of the base model are, block by block."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest
from django.urls import reverse
from django.utils.formats import number_format
from django.utils.text import Truncator
from django.utils.translation import gettext as _

from hub.http.callers import address_of
from hub.pages.labels import percentage
from registry.comparisons import services
from registry.comparisons.selectors import Compared
from registry.errors import Forbidden, RateLimited, StateConflict, TooLarge
from registry.models import Version
from registry.versions.selectors import name_of

#: Seconds between two requests for the state of a comparison.
POLL_S = 1
#: Blocks and metadata keys on the page, and characters of a value; the API has more.
MAX_BLOCKS, MAX_KEYS, MAX_VALUE = 80, 60, 160
#: From these cosines on, changes are called much alike, or alike.
MUCH, SOME = 0.9, 0.3
#: Errors that are shown in the place of the result.
_SHOWN = (Forbidden, RateLimited, StateConflict, TooLarge)


@dataclass(frozen=True, slots=True)
class BlockLine:
    """A block of the base model.

    Attributes:
        cosine: Empty if one of the versions does not change it.
        percent: Size of the cosine, for its bar.
        energies: The block's share of the energy of either version.
        moved: Its share of the whole difference.
    """

    name: str
    cosine: str
    percent: int
    energies: tuple[str, str]
    moved: str


@dataclass(frozen=True, slots=True)
class KeyLine:
    """A metadata key whose values differ; empty ones are absent."""

    key: str
    values: tuple[str, str]


def query_of(first: Version, second: Version) -> str:
    """Return the query with which pages and the API name two versions."""
    return urlencode({"a": name_of(first), "b": name_of(second)}, safe="/@")


def url_of(first: Version, second: Version) -> str:
    """Return the URL of the comparison of two versions."""
    return f"{reverse('compare')}?{query_of(first, second)}"


def weights_context(request: HttpRequest, first: Version, second: Version) -> dict[str, Any]:
    """Return the context of the panel; the comparison is requested if it is not there."""
    try:
        found = services.request(
            actor=request.user, first=first, second=second, address=address_of(request)
        )
    except _SHOWN as error:
        return {"refusal": str(error.detail)}
    query = query_of(first, second)
    return {
        "found": found,
        "state_url": f"{reverse('compare')}?{query}",
        "json_url": f"{reverse('api-compare')}?{query}",
        "poll_s": POLL_S if found.is_open else None,
        **(_result(found) if found.is_ready else {}),
    }


def _result(found: Compared) -> dict[str, Any]:
    result = found.result
    blocks, metadata = result["blocks"], result["metadata"]
    return {
        "cosine": number(result["cosine"]),
        "meaning": _meaning(result["cosine"]),
        "ratio": _ratio(result["energy"]),
        "blocks": list(_blocks(blocks[:MAX_BLOCKS], result["energy"])),
        "blocks_left": max(0, len(blocks) - MAX_BLOCKS),
        "keys": [KeyLine(key, _values(pair)) for key, pair in list(metadata.items())[:MAX_KEYS]],
        "keys_left": max(0, len(metadata) - MAX_KEYS),
    }


def _meaning(cosine: float) -> str:
    """Return what an overall cosine means."""
    if cosine >= MUCH:
        return _("Nearly the same change to the base model.")
    if cosine >= SOME:
        return _("Similar changes: the same subject, the same training run, or a merge.")
    if cosine > -SOME:
        return _("Largely unrelated changes.")
    return _("Opposite changes: one undoes a part of the other.")


def _ratio(energies: list[float]) -> str:
    """Return how large the second change is, as a multiple of the first; "" if one is zero."""
    first, second = energies
    return number((second / first) ** 0.5) if first > 0 < second else ""


def _blocks(rows: list[Mapping[str, Any]], totals: list[float]) -> Iterator[BlockLine]:
    for row in rows:
        cosine = row["cosine"]
        first, second = (
            percentage(part / total) if part and total else ""
            for part, total in zip(row["energy"], totals, strict=True)
        )
        yield BlockLine(
            row["block"],
            "" if cosine is None else number(cosine),
            percent_of(cosine or 0.0),
            (first, second),
            percentage(row["moved"]),
        )


def percent_of(cosine: float) -> int:
    """Return the size of a cosine in percent, for a bar."""
    return round(100 * abs(cosine))


def number(value: float) -> str:
    """Return a number with two decimals."""
    return number_format(round(value, 2) + 0.0, 2)  # no “-0.00”


def _values(pair: list[str | None]) -> tuple[str, str]:
    first, second = ("" if text is None else Truncator(text).chars(MAX_VALUE) for text in pair)
    return first, second
