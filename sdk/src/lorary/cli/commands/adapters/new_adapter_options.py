"""Options of `lorary push` for a new adapter, where the adapter exists."""

from __future__ import annotations

import sys
import unicodedata
from argparse import Namespace
from collections.abc import Callable
from typing import TYPE_CHECKING

from lorary.cli.output.text import is_confirmed, note, plain
from lorary.client.errors import LoraryError

if TYPE_CHECKING:
    from lorary.client import Adapter


def require_same_adapter(
    args: Namespace, adapter: Adapter | None, has_weights: Callable[[], bool]
) -> None:
    """Ask at a terminal whether a new version is meant, if options describe another adapter.

    A push that repeats the options of the first one goes on, as does one of a run of which the
    adapter has some weights: only its description was edited.

    Args:
        adapter: The adapter; None for a new one. One without a version takes all options.
        has_weights: Returns whether it has some of the weights.

    Raises:
        LoraryError: ``adapter_differs``: nobody can be asked; ``not_confirmed``: the user declined.
    """
    if adapter is None or adapter.is_empty:
        return
    facts = _different(args, adapter)
    if not facts:
        return
    name = plain(adapter.full_name)
    options = _listed([*facts])
    if has_weights():
        note(f"lorary: {name} exists and stays as it is; for a new adapter only: {options}")
        return
    has = ", ".join(f"{option[2:]} {plain(value) or 'none'}" for option, value in facts.items())
    message = f"{name} exists already, with other values than {options} (it has: {has})."
    if not sys.stdin.isatty() or args.yes:
        message = (
            f"{message} Nothing was sent. Leave {options} out to publish a new version of it, or "
            "choose another name for a new adapter."
        )
        raise LoraryError(message, code="adapter_differs", facts={"adapter": adapter.full_name})
    note(f"lorary: {message}")
    if not args.dry_run and not is_confirmed(
        f"Publish a new version of {name}, and leave its values as they are?"
    ):
        message = f"Nothing was sent. Choose another name than {name} for a new adapter."
        raise LoraryError(message, code="not_confirmed")


def _different(args: Namespace, adapter: Adapter) -> dict[str, str]:
    """Return the given options whose values the adapter does not have, with those that it has.

    Another visibility is refused before.
    """
    values = {
        "--title": (args.title, adapter.title),
        "--kind": (args.kind, adapter.kind),
        "--rating": (args.rating, adapter.maturity),
        "--licence": (args.licence.casefold(), adapter.licence.casefold()),
    }
    return {
        option: has
        for option, (given, has) in values.items()
        if given and _comparable(given) != _comparable(has)
    }


def _comparable(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text).split())


def _listed(options: list[str]) -> str:
    *first, last = options
    return f"{', '.join(first)} and {last}" if first else last
