"""login, logout, whoami."""

from __future__ import annotations

import getpass
import os
import sys
from argparse import Namespace

from lorary import client
from lorary.cli.command import Command, Parser, UsageError, add_endpoint
from lorary.cli.output.text import count_bytes, emit, note, pairs, plain, show
from lorary.client.config import Credentials, endpoint_of, home_of


def _configure_login(parser: Parser) -> None:
    add_endpoint(parser)
    parser.add_argument("--token", help="access token; default: prompt, or standard input")


def _login(args: Namespace) -> int:
    home = home_of()
    endpoint = endpoint_of(home, args.endpoint)
    token = args.token or _ask_token(endpoint)
    with client.Hub(endpoint, token) as hub:
        account = hub.whoami()
    with Credentials.changing(home) as credentials:
        credentials.endpoint = endpoint
        credentials.tokens[endpoint] = token
    scopes = None if account.scopes is None else list(account.scopes)
    if args.json:
        emit({"endpoint": endpoint, "name": account.name, "scopes": scopes})
    else:
        show(f"Signed in to {endpoint} as {plain(account.name)}.")
    if os.environ.get("LORARY_TOKEN", token) != token:
        note("lorary: LORARY_TOKEN is set and is used instead of the stored token.")
    return 0


def _ask_token(endpoint: str) -> str:
    if sys.stdin.isatty():
        note(f"Create a token at {endpoint}/settings/tokens and paste it here; it is not shown.")
        token = getpass.getpass("Token: ", sys.stderr)
    else:
        token = sys.stdin.readline()
    token = token.strip()
    if not token:
        message = "no token given"
        raise UsageError(message)
    return token


def _logout(args: Namespace) -> int:
    home = home_of()
    endpoint = endpoint_of(home, args.endpoint)
    was_signed_in = endpoint in Credentials.load(home).tokens
    if was_signed_in:
        with Credentials.changing(home) as credentials:
            credentials.tokens.pop(endpoint, None)
    if args.json:
        emit({"endpoint": endpoint, "signed_out": was_signed_in})
    else:
        was = "Signed out of" if was_signed_in else "No token was stored for"
        show(f"{was} {endpoint}.")
    return 0


def _whoami(args: Namespace) -> int:
    with client.Hub(args.endpoint) as hub:
        account = hub.whoami()
    if args.json:
        emit({"endpoint": hub.endpoint, **account.data})
        return 0
    quota = f" of {count_bytes(account.quota_bytes)}" if account.quota_bytes else ""
    show(account.name)
    show(
        pairs(
            [
                ("name", account.display_name),
                ("hub", hub.endpoint),
                ("page", account.url),
                ("used", count_bytes(account.used_bytes) + quota),
                ("scopes", ", ".join(account.scopes or ())),
                ("only for", account.bound_to),
                ("token", f"expires {account.expires_at[:10]}" if account.expires_at else ""),
            ]
        )
    )
    return 0


COMMANDS = {
    "login": Command(
        "Sign in to a hub: check an access token and store it in a file that only you can read.",
        "  lorary login --endpoint https://hub.example",
        _configure_login,
        _login,
    ),
    "logout": Command(
        "Delete the stored token of a hub. The token stays valid until you revoke it on the hub.",
        "  lorary logout",
        add_endpoint,
        _logout,
    ),
    "whoami": Command(
        "Show your account on the hub, and the permissions of your token.",
        "  lorary whoami",
        add_endpoint,
        _whoami,
    ),
}
