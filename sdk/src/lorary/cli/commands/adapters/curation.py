"""alias, yank, withdraw, discard."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Iterable

from lorary import client
from lorary.cli.command import Command, Parser, UsageError, add_endpoint
from lorary.cli.output.text import answer_to, emit, note, plain, show, table
from lorary.cli.references import on_hub
from lorary.client import packs
from lorary.client.curation import ANYWHERE, Alias, Expected, Move
from lorary.client.errors import NotFound

NONE = "none"
#: States of versions that `main` does not stand for while another one is published.
TAKEN_DOWN = {"yanked", "withdrawn"}


def _configure_alias(parser: Parser) -> None:
    parser.add_argument("adapter", metavar="OWNER/NAME", help="the adapter")
    parser.add_argument("alias", nargs="?", metavar="ALIAS", help="one alias; default: all")
    parser.add_argument(
        "to", nargs="?", metavar="VERSION", help="new target: v3, another alias or a revision"
    )
    parser.add_argument(
        "--expect",
        metavar="VERSION",
        help="only if the alias currently points to this version; none: only if it does not exist",
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--remove", action="store_true", help="remove it; its history stays")
    what.add_argument("--history", action="store_true", help="list its history, newest first")
    add_endpoint(parser)


def run_alias(args: Namespace) -> int:
    """Show, move, remove or trace aliases of ``args.adapter``, which may be ``pack:…``."""
    args.adapter = on_hub(args, args.adapter)
    _check_alias(args)
    with client.Hub(args.endpoint) as hub:
        if args.history:
            _show_moves(args, hub.alias_history(args.adapter, args.alias))
        elif args.remove:
            _remove(hub, args)
        elif args.to:
            expected: Expected = ANYWHERE
            if args.expect is not None:
                expected = None if args.expect == NONE else args.expect
            moved = hub.set_alias(args.adapter, args.alias, args.to, expected=expected)
            _show_aliases(args, [moved])
        else:
            return _list_aliases(hub, args)
    return 0


def _list_aliases(hub: client.Hub, args: Namespace) -> int:
    found = [one for one in hub.aliases(args.adapter) if args.alias in {None, one.name}]
    if args.alias and not found:
        message = f"{args.adapter} has no alias “{args.alias}”."
        raise NotFound(message)
    _show_aliases(args, found)
    return 0


def _check_alias(args: Namespace) -> None:
    """Reject combinations of arguments that are invalid."""
    reference = packs.parse(args.adapter)
    message = ""
    if reference.rev:
        words = " ".join([reference.full_name, args.alias or "ALIAS", args.to or reference.rev])
        command = "pack alias" if _is_pack(args) else "alias"
        message = f"put the version last: lorary {command} {words}"
    elif (args.remove or args.history) and not args.alias:
        message = "specify the alias"
    elif (args.remove or args.history) and args.to:
        message = "--remove and --history take no version"
    elif args.expect is not None and not (args.to or args.remove):
        message = "--expect needs a version or --remove"
    elif args.expect == NONE and args.remove:
        message = "--remove cannot be used with --expect none"
    if message:
        raise UsageError(message)


def _is_pack(args: Namespace) -> bool:
    return str(args.adapter).startswith(packs.PREFIX)


def _named(args: Namespace) -> dict[str, str]:
    """Return what a line of JSON begins with: whose aliases these are."""
    noun = "pack" if _is_pack(args) else "adapter"
    return {noun: args.adapter.removeprefix(packs.PREFIX)}


def _remove(hub: client.Hub, args: Namespace) -> None:
    hub.remove_alias(args.adapter, args.alias, expected=args.expect)
    if args.json:
        emit({**_named(args), "alias": args.alias, "removed": True})
    else:
        show(f"{plain(packs.parse(args.adapter).full_name)}@{plain(args.alias)} was removed.")


def _show_aliases(args: Namespace, found: list[Alias]) -> None:
    if args.json:
        for one in found:
            data = {key: value for key, value in one.data.items() if key != "name"}
            emit({**_named(args), "alias": one.name, **data})
        return
    if not found:
        note("lorary: no aliases")
        return
    rows = [
        [
            one.name,
            one.version + (f" ({one.state})" if one.state in TAKEN_DOWN else "") or "-",
            *([] if _is_pack(args) else [one.revision[:12]]),
            one.moved_at[:10],
            one.moved_by,
        ]
        for one in found
    ]
    revision = [] if _is_pack(args) else ["REVISION"]
    show(table([["ALIAS", "VERSION", *revision, "SINCE", "BY"], *rows]))
    note_main(found)


def note_main(aliases: Iterable[Alias]) -> None:
    """Say what ``@main`` stands for if its version was yanked or withdrawn."""
    for alias in aliases:
        if alias.name == "main" and alias.state in TAKEN_DOWN:
            note(f"lorary: {alias.version} was {alias.state}: @main stands for the latest version")


def _show_moves(args: Namespace, moves: tuple[Move, ...]) -> None:
    if args.json:
        for move in moves:
            emit(
                {
                    **_named(args),
                    "alias": args.alias,
                    "before": move.before or None,
                    "after": move.after or None,
                    "moved_at": move.moved_at,
                    "moved_by": move.moved_by,
                }
            )
        return
    rows = [
        [move.moved_at[:16].replace("T", " "), move.before or "-", move.after or "-", move.moved_by]
        for move in moves
    ]
    show(table([["WHEN", "FROM", "TO", "BY"], *rows]))


def _configure_yank(parser: Parser) -> None:
    parser.add_argument(
        "reference", metavar="OWNER/NAME@VERSION", help="the version: v3 or a revision"
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--reason", metavar="TEXT", help="reason, shown to everyone")
    what.add_argument("--undo", action="store_true", help="restore a yanked version")
    add_endpoint(parser)


def _yank(args: Namespace) -> int:
    reference = exact(client.Reference.parse(on_hub(args, args.reference)))
    with client.Hub(args.endpoint) as hub:
        was_yanked = not args.undo or hub.version(reference).state == "yanked"
        version = hub.restore(reference) if args.undo else hub.yank(reference, reason_of(args))
    return show_state(args, version, was_changed=was_yanked)


def show_state(
    args: Namespace, version: client.Version | client.PackVersion, *, was_changed: bool = True
) -> int:
    """Show the state of a version after a yank, a restoration or a withdrawal."""
    if isinstance(version, client.PackVersion):
        noun, name = "pack", version.pack
    else:
        noun, name = "adapter", version.adapter
    if args.json:
        facts = {"version": version.name, "state": version.state, "reason": version.reason}
        emit({noun: name, **facts})
    else:
        state = "restored" if version.state == "published" else version.state
        reason = f": {plain(version.reason)}" if version.reason else ""
        what = f"was {state}{reason}" if was_changed else "is not yanked"
        show(f"{plain(name)} {plain(version.name)} {what}")
    return 0


def exact(reference: client.Reference) -> client.Reference:
    """Return a reference that has a version. Raises UsageError: it has none."""
    if not reference.rev:
        message = "specify the version by its number: OWNER/NAME@v3"
        raise UsageError(message)
    return reference


def reason_of(args: Namespace) -> str:
    """Return ``--reason``. Raises UsageError: there is none."""
    if not (args.reason or "").strip():
        message = "--reason needs a sentence"
        raise UsageError(message)
    return str(args.reason)


def _configure_withdraw(parser: Parser) -> None:
    parser.add_argument(
        "reference",
        metavar="OWNER/NAME[@VERSION]",
        help="the version (v3 or a revision), or with --all the adapter",
    )
    parser.add_argument(
        "--reason", metavar="TEXT", required=True, help="reason, shown to everyone permanently"
    )
    parser.add_argument("--all", action="store_true", help="the whole adapter")
    parser.add_argument(
        "--yes",
        action="store_true",
        help="do not ask for confirmation; required without a terminal",
    )
    add_endpoint(parser)


def _withdraw(args: Namespace) -> int:
    reference, reason = client.Reference.parse(on_hub(args, args.reference)), reason_of(args)
    if not is_confirmed(args, reference, "adapter", "its files and pictures"):
        return 1
    with client.Hub(args.endpoint) as hub:
        if args.all:
            adapter, name = hub.withdraw_adapter(reference, reason).full_name, None
        else:
            version = hub.withdraw(reference, reason)
            adapter, name = version.adapter, version.name
    if args.json:
        emit({"adapter": adapter, "version": name, "state": "withdrawn", "reason": reason.strip()})
    else:
        show(f"{plain(adapter)} {name or '(all of it)'} was withdrawn: {plain(reason)}")
    return 0


def _configure_discard(parser: Parser) -> None:
    parser.add_argument(
        "reference", metavar="OWNER/NAME@VERSION", help="the draft: v3 or a revision"
    )
    add_endpoint(parser)


def _discard(args: Namespace) -> int:
    reference = exact(client.Reference.parse(on_hub(args, args.reference)))
    with client.Hub(args.endpoint) as hub:
        hub.discard(reference)
    if args.json:
        emit({"adapter": reference.full_name, "version": reference.rev, "discarded": True})
    else:
        show(f"{plain(str(reference))} was discarded.")
    return 0


def is_confirmed(args: Namespace, reference: client.Reference, noun: str, what: str) -> bool:
    """Return whether a withdrawal is confirmed, by ``--yes`` or on the terminal.

    Args:
        args: The arguments.
        reference: What is withdrawn: a version, or all of it with ``--all``.
        noun: Adapter or pack.
        what: What the withdrawal deletes.

    Raises:
        UsageError: ``--all`` does not fit the reference, or there is no terminal.
    """
    if args.all == bool(reference.rev):
        message = f"specify a version, or the {noun} alone with --all"
        raise UsageError(message)
    if args.yes or _is_sure(str(reference), what):
        return True
    note("lorary: nothing was changed")
    return False


def _is_sure(name: str, what: str) -> bool:
    if not sys.stdin.isatty():
        message = "this cannot be undone; confirm it with --yes"
        raise UsageError(message)
    note(f"{plain(name)} and {what} will be deleted. This cannot be undone.")
    return answer_to(f"Type {plain(name)} to continue: ") == name


COMMANDS = {
    "alias": Command(
        "Show the aliases of an adapter, move one, or list its history. An alias stands for the "
        "version that it currently points to.",
        "  lorary alias studio/noir\n"
        "  lorary alias studio/noir stable v3 --expect v2\n"
        "  lorary alias studio/noir stable --history",
        _configure_alias,
        run_alias,
    ),
    "yank": Command(
        "Yank a version: it stays available, but is no longer offered by default.",
        '  lorary yank studio/noir@v3 --reason "Burns highlights; use v2."\n'
        "  lorary yank studio/noir@v3 --undo",
        _configure_yank,
        _yank,
    ),
    "withdraw": Command(
        "Withdraw a version, or with --all an adapter, permanently: its files and pictures are "
        "deleted; its name, digests and your reason stay. This cannot be undone.",
        '  lorary withdraw studio/noir@v3 --reason "Rights of the photographer."',
        _configure_withdraw,
        _withdraw,
    ),
    "discard": Command(
        "Discard a draft. Its files can be published again; its number is not used again.",
        "  lorary discard studio/noir@v3",
        _configure_discard,
        _discard,
    ),
}
