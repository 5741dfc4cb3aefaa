"""References that begin with the name of a hub: ``work:owner/name``."""

from __future__ import annotations

from argparse import Namespace

from lorary.cli.command import UsageError
from lorary.client.names import split_hub


def on_hub(args: Namespace, reference: str) -> str:
    """Return a reference without the name of its hub, which becomes that of the command.

    Raises:
        UsageError: the command has another hub already.
    """
    name, rest = split_hub(reference)
    if name and args.endpoint not in {None, name}:
        message = f"use “{name}:” or --endpoint, not both"
        raise UsageError(message)
    args.endpoint = name or args.endpoint
    return rest
