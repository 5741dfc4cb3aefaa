"""What a file tells of its maker, said before it is published."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from lorary.cli.output import finding_lines, note
from lorary.client.errors import LoraryError, NotFound
from lorary.client.publishing import check_locally

if TYPE_CHECKING:
    from argparse import Namespace

    from lorary.anatomy import Finding
    from lorary.client import Hub, Reference

__all__ = ["tell_leaks"]


def tell_leaks(hub: Hub, target: Reference, args: Namespace) -> tuple[Finding, ...]:
    """Say what is private in files that are about to be pushed; ask where others will see it.

    Nobody is asked without a terminal, nor about what stays private or a draft.

    Returns:
        What was said.

    Raises:
        LoraryError: ``not_confirmed``: the person at the terminal stopped.
        FileMissing, Invalid, UploadRefused: see ``check_locally``.
    """
    found = check_locally([Path(file) for file in args.files])
    private = {(one.code, one.message): one for one in found if one.code.startswith("privacy_")}
    leaks = tuple(private.values())
    if not leaks:
        return ()
    note("lorary: the metadata holds private things; lorary inspect shows where:")
    for line in finding_lines(leaks):
        note(line)
    asks = sys.stdin.isatty() and not (args.yes or args.draft)
    if asks and _is_for_others(hub, target, args.visibility) and not _is_meant():
        message = (
            "Nothing was sent. Remove what is private and push again; with --private only you "
            "and those you let have the file, with --draft nobody else."
        )
        unsaid = leaks if args.json else ()
        raise LoraryError(message, code="not_confirmed", findings=unsaid)
    return leaks


def _is_for_others(hub: Hub, target: Reference, visibility: str) -> bool:
    if not visibility:
        try:
            visibility = hub.info(target).visibility
        except NotFound:
            visibility = "public"
    return visibility != "private"


def _is_meant() -> bool:
    """Ask on the terminal."""
    sys.stderr.write("Whoever gets the file can read them. Publish it all the same? [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().casefold() in {"y", "yes"}
