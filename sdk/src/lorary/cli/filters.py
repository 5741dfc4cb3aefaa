"""Filters of lists as people write them: families of base models, by id or display name."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

from lorary.cli.command import UsageError
from lorary.client.errors import Invalid


def _families() -> Mapping[str, str]:
    from lorary.anatomy.families import FAMILIES  # noqa: PLC0415 - takes 0.1 s, for filters alone

    return FAMILIES


def family_id(text: str) -> str:
    """Return the id of a family for its id or display name, in any case; other text as it is."""
    if not text:
        return ""
    families = _families()
    wanted = text.strip().casefold()
    ids = (name for name, title in families.items() if wanted in {name, title.casefold()})
    return next(ids, text)


def is_family(name: str) -> bool:
    """Return whether there is a family with this id."""
    return name in _families()


def known_family(text: str) -> str:
    """Return the id of a family; empty for no text.

    Raises:
        UsageError: no family has this id or name.
    """
    name = family_id(text)
    if name and not is_family(name):
        raise unknown_family(text)
    return name


def unknown_family(text: str) -> UsageError:
    """Return the error for a family that does not exist, with the most similar ones."""
    from lorary.anatomy.families import similar_families  # noqa: PLC0415 - as above

    ids = similar_families(text)
    meant = f"did you mean {' or '.join(ids)}?" if ids else "docs/families.md lists the ids"
    return UsageError(f"there is no family “{text}”; {meant}")


@contextlib.contextmanager
def refused_filters(family: str) -> Iterator[None]:
    """Turn the hub's refusal of a family or a kind into an error of usage.

    The hub decides, because it may know more of them than this release.
    """
    try:
        yield
    except Invalid as error:
        fields = error.facts.get("fields")
        fields = fields if isinstance(fields, dict) else {}
        if "family" in fields:
            raise unknown_family(family) from error
        if "kind" in fields:
            texts = fields["kind"]
            reason = " ".join(map(str, texts)) if isinstance(texts, list) else str(texts)
            message = f"--kind: {reason}"
            raise UsageError(message) from error
        raise
