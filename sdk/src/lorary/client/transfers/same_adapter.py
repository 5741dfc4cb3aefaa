"""Whether the details of a push describe the adapter that has the name."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from typing import TYPE_CHECKING

from lorary.client.errors import AdapterDiffers

if TYPE_CHECKING:
    from lorary.client.models import Adapter
    from lorary.client.transfers.details import Details


def different(details: Details, adapter: Adapter | None) -> dict[str, str]:
    """Return the given details of a new adapter that an existing one lacks, with what it has.

    Another visibility is refused before. An adapter without a version takes all details.
    """
    if adapter is None or adapter.is_empty:
        return {}
    values = {
        "title": (details.title, adapter.title),
        "kind": (details.kind, adapter.kind),
        "rating": (details.rating, adapter.maturity),
        "licence": (details.licence.casefold(), adapter.licence.casefold()),
    }
    return {
        name: has
        for name, (given, has) in values.items()
        if given and _comparable(given) != _comparable(has)
    }


def require_same(
    details: Details, adapter: Adapter | None, has_weights: Callable[[], bool]
) -> None:
    """Refuse details of another adapter than the one that has the name.

    A push that repeats the details of the first one goes on, as does one of weights that the
    adapter has: only its description was edited.

    Raises:
        AdapterDiffers: the adapter has none of the weights, and other details.
    """
    facts = different(details, adapter)
    if adapter is None or not facts or has_weights():
        return
    has = ", ".join(f"{name} {value or 'none'}" for name, value in facts.items())
    name, listed = adapter.full_name, listed_and([*facts])
    message = (
        f"{name} already exists with values that differ from the given {listed} (it has: {has}). "
        f"Nothing was sent. Leave {listed} out to publish a new version of it, or choose another "
        "name to create a new adapter."
    )
    raise AdapterDiffers(message, facts={"adapter": name, "fields": facts})


def listed_and(words: list[str]) -> str:
    """Return words as ``a, b and c``."""
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


def _comparable(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text).split())
