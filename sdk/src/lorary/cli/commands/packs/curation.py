"""The verbs of pack for its owner: yank, restore, withdraw, alias."""

from __future__ import annotations

from argparse import Namespace

from lorary import client
from lorary.cli.command import Parser, UsageError
from lorary.cli.commands.adapters.curation import (
    exact,
    is_confirmed,
    reason_of,
    run_alias,
    show_state,
)
from lorary.cli.output.text import emit, plain, show
from lorary.client import packs


def configure(parser: Parser) -> None:
    """Add the options of these verbs."""
    parser.add_argument("--reason", metavar="TEXT", help="yank, withdraw: the reason, for everyone")
    parser.add_argument("--all", action="store_true", help="withdraw: the whole pack")
    parser.add_argument(
        "--yes",
        action="store_true",
        help="withdraw: do not ask for confirmation; required without a terminal",
    )
    parser.add_argument(
        "--expect",
        metavar="VERSION",
        help="alias: only if it points to this version; none: only if it does not exist",
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--remove", action="store_true", help="alias: remove it")
    what.add_argument("--history", action="store_true", help="alias: list its history")


def yank(hub: client.Hub, args: Namespace) -> int:
    """Yank a version."""
    return show_state(args, hub.yank_pack(exact(_only(args)), reason_of(args)))


def restore(hub: client.Hub, args: Namespace) -> int:
    """Restore a yanked version."""
    return show_state(args, hub.restore_pack(exact(_only(args))))


def withdraw(hub: client.Hub, args: Namespace) -> int:
    """Withdraw a version, or the whole pack."""
    reference, reason = _only(args), reason_of(args)
    if not is_confirmed(args, reference, "pack", "its manifests"):
        return 1
    if not args.all:
        return show_state(args, hub.withdraw_pack_version(reference, reason))
    pack = hub.withdraw_pack(reference, reason)
    if args.json:
        emit({"pack": pack.full_name, "version": None, "state": "withdrawn", "reason": reason})
    else:
        show(f"{plain(pack.full_name)} (all of it) was withdrawn: {plain(reason)}")
    return 0


def alias(_hub: client.Hub, args: Namespace) -> int:
    """Show, move, remove or trace aliases."""
    if not 1 <= len(args.words) <= 3:
        message = "alias needs OWNER/NAME, and may take an ALIAS and a VERSION"
        raise UsageError(message)
    name, one, to = [*args.words, None, None][:3]
    adapter = f"{packs.PREFIX}{name.removeprefix(packs.PREFIX)}"
    return run_alias(Namespace(**{**vars(args), "adapter": adapter, "alias": one, "to": to}))


def _only(args: Namespace) -> client.Reference:
    if len(args.words) != 1:
        message = f"{args.verb} needs OWNER/NAME@VERSION"
        raise UsageError(message)
    return packs.parse(str(args.words[0]))
