"""tokens."""

from __future__ import annotations

from argparse import Namespace
from typing import TYPE_CHECKING

from lorary import client
from lorary.cli.command import Command, Parser, UsageError, add_endpoint
from lorary.cli.output.text import count_of, emit, note, plain, show, table
from lorary.client.errors import NotFound

if TYPE_CHECKING:
    from lorary.client import Token


SCOPES = ("read", "write", "admin")
"""Scopes of tokens."""


def _configure(parser: Parser) -> None:
    parser.add_argument(
        "verb",
        nargs="?",
        choices=["list", "create", "revoke"],
        default="list",
        help="default: list",
    )
    parser.add_argument(
        "names", nargs="*", metavar="NAME|ID", help="the new token's name, or ids to revoke"
    )
    parser.add_argument(
        "--scopes", metavar="LIST", help="create: comma-separated read, write, admin"
    )
    parser.add_argument("--expires", metavar="DAYS", help="create: days until it expires, or never")
    parser.add_argument(
        "--bound-to",
        default="",
        metavar="OWNER[/NAME]",
        help="create: limit it to an owner or an adapter",
    )
    parser.add_argument(
        "--all", action="store_true", help="revoke all tokens, including the one in use"
    )
    add_endpoint(parser)


def _tokens(args: Namespace) -> int:
    is_create = args.verb == "create"
    if not is_create and (args.scopes or args.expires or args.bound_to):
        message = "--scopes, --expires and --bound-to need create"
        raise UsageError(message)
    if (args.all and args.verb != "revoke") or (args.names and args.verb == "list"):
        message = "use create NAME, revoke ID or revoke --all"
        raise UsageError(message)
    with client.Hub(args.endpoint) as hub:
        if is_create:
            return _create(hub, args)
        return _revoke(hub, args) if args.verb == "revoke" else _list(hub, args)


def _list(hub: client.Hub, args: Namespace) -> int:
    found = hub.tokens()
    if args.json:
        for token in found:
            emit(_document(token))
    else:
        show(table([_row(token) for token in found]))
    return 0


def _create(hub: client.Hub, args: Namespace) -> int:
    if len(args.names) != 1:
        message = "create needs exactly one NAME"
        raise UsageError(message)
    scopes = [part.strip() for part in (args.scopes or "read,write").split(",") if part.strip()]
    unknown = [one for one in scopes if one not in SCOPES]
    if unknown or not scopes:
        message = f"--scopes takes {', '.join(SCOPES)}, not “{', '.join(unknown)}”"
        raise UsageError(message)
    days = _days(args.expires)
    token = hub.create_token(args.names[0], scopes, days=days, bound_to=args.bound_to)
    if args.json:
        emit({**_document(token), "token": token.secret})
    else:
        show(token.secret)
        note(f"lorary: {_lasting(token)}. It is not shown again.")
    return 0


def _days(text: str | None) -> int | None:
    if text is None:
        return None
    if text == "never":
        return 0
    if not (text.isascii() and text.isdigit() and int(text[:9]) > 0 and len(text) < 9):
        message = "--expires must be a number of days, or never"
        raise UsageError(message)
    return int(text)


def _revoke(hub: client.Hub, args: Namespace) -> int:
    if bool(args.names) == args.all:
        message = "specify the ids of the tokens to revoke, or --all"
        raise UsageError(message)
    if args.all:
        count = hub.revoke_tokens()
        if args.json:
            emit({"revoked": count})
        else:
            show(f"Revoked {count_of(count, 'token')}.")
        note(f"lorary: the token in use is revoked too; create another at {_page(hub)}")
        return 0
    for name in args.names:
        _revoke_one(hub, name)
        if args.json:
            emit({"id": int(name), "state": "revoked"})
        else:
            show(f"Revoked {plain(name)}.")
    return 0


def _revoke_one(hub: client.Hub, name: str) -> None:
    message = f"You have no token “{name}”; lorary tokens lists their ids."
    if not (name.isascii() and name.isdigit() and len(name) < 10):
        raise NotFound(message)
    try:
        hub.revoke_token(int(name))
    except NotFound as error:
        raise NotFound(message) from error


def _page(hub: client.Hub) -> str:
    return f"{hub.endpoint}/settings/tokens"


def _document(token: Token) -> dict[str, object]:
    return {
        "id": token.id,
        "name": token.name,
        "prefix": token.prefix,
        "scopes": list(token.scopes),
        "bound_to": token.bound_to or None,
        "created_at": token.created_at,
        "last_used_at": token.last_used_at or None,
        "expires_at": token.expires_at or None,
    }


def _row(token: Token) -> list[str]:
    used = f"used {token.last_used_at[:10]}" if token.last_used_at else "never used"
    bound = f"only for {token.bound_to}" if token.bound_to else "-"
    start = f"{token.prefix}…"
    scopes = ", ".join(token.scopes)
    return [str(token.id), token.name, start, scopes, bound, used, _lasting(token)]


def _lasting(token: Token) -> str:
    return f"expires {token.expires_at[:10]}" if token.expires_at else "never expires"


COMMANDS = {
    "tokens": Command(
        "List your access tokens, with scopes, last use and expiry date; create one for a\n"
        "program; or revoke some. A new token has at most the permissions of the one in use,\n"
        "expires no later, and is revoked with it.",
        "  lorary tokens\n"
        "  lorary tokens create build --scopes read --expires 30 --bound-to ada/noir\n"
        "  lorary tokens revoke 12\n"
        "  lorary tokens revoke --all --json",
        _configure,
        _tokens,
    ),
}
