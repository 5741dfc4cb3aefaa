"""Options of `lorary push` for a new adapter, where the adapter exists."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Callable
from typing import TYPE_CHECKING

from lorary.cli.output.text import is_confirmed, note, plain
from lorary.client.errors import AdapterDiffers, LoraryError
from lorary.client.transfers.same_adapter import different, listed_and, require_same

if TYPE_CHECKING:
    from lorary.client import Adapter, Details


def require_same_adapter(
    args: Namespace, details: Details, adapter: Adapter | None, has_weights: Callable[[], bool]
) -> None:
    """Ask at a terminal whether a new version is meant, if options describe another adapter.

    Args:
        adapter: The adapter; None for a new one.
        has_weights: Returns whether it has some of the weights.

    Raises:
        AdapterDiffers: nobody can be asked.
        LoraryError: ``not_confirmed``: the user declined.
    """
    try:
        require_same(details, adapter, has_weights)
    except AdapterDiffers as error:
        ask_for_version(args, error)
    else:
        note_kept(details, adapter)


def note_kept(details: Details, adapter: Adapter | None) -> None:
    """Say which options an adapter does not take because it has some of the weights."""
    facts = different(details, adapter)
    if adapter is not None and facts:
        name = plain(adapter.full_name)
        options = _options(facts)
        kept = f"{name} already exists and keeps its own values"
        note(f"lorary: {kept}; only a new adapter takes {options}")


def ask_for_version(args: Namespace, error: AdapterDiffers) -> None:
    """Ask whether a new version of the adapter is meant; see `require_same_adapter`."""
    facts: dict[str, str] = error.facts["fields"]  # type: ignore[assignment]  # of require_same
    name, options = plain(str(error.facts["adapter"])), _options(facts)
    has = ", ".join(f"{field} {plain(value) or 'none'}" for field, value in facts.items())
    message = f"{name} already exists with values that differ from {options} (it has: {has})."
    if not sys.stdin.isatty() or args.yes:
        message = (
            f"{message} Nothing was sent. Leave {options} out to publish a new version of it, or "
            "choose another name to create a new adapter."
        )
        raise AdapterDiffers(message, facts=error.facts)
    note(f"lorary: {message}")
    if not args.dry_run and not is_confirmed(
        f"Publish a new version of {name} and keep its values as they are?"
    ):
        message = f"Nothing was sent. To create a new adapter, choose a name other than {name}."
        raise LoraryError(message, code="not_confirmed")


def _options(fields: dict[str, str]) -> str:
    return listed_and([f"--{name}" for name in fields])
