"""login, logout, whoami."""

from __future__ import annotations

import getpass
import os
import socket
import sys
import warnings
import webbrowser
from argparse import Namespace
from contextlib import closing

from lorary import client
from lorary.cli.command import Command, Parser, UsageError, add_endpoint
from lorary.cli.output.text import count_of, emit, note, pairs, plain, show
from lorary.client.accounts import browser_login, keyrings
from lorary.client.config import (
    Credentials,
    InsecureTransport,
    endpoint_of,
    home_of,
    warn_if_unencrypted,
)
from lorary.client.errors import LoraryError
from lorary.client.http.retries import Backoff
from lorary.client.http.session import Session
from lorary.library.settings import setting
from lorary.sizes import count_bytes

#: How long a sign-out waits for the hub, in seconds.
_REVOKE_S = 10.0


def _configure_login(parser: Parser) -> None:
    add_endpoint(parser)
    parser.add_argument(
        "--token",
        nargs="?",
        const="",
        help="access token; without a value, it is asked for, or read from standard input",
    )
    parser.add_argument(
        "--no-browser",
        action="store_true",
        help="only print the address and the code, which you can open on another device",
    )
    parser.add_argument(
        "--scopes", metavar="LIST", help="comma-separated read, write, admin; default: read,write"
    )


def _login(args: Namespace) -> int:
    is_by_browser = args.token is None and (args.no_browser or sys.stdin.isatty())
    if (args.no_browser or args.scopes) and not is_by_browser:
        message = (
            "--no-browser and --scopes are for signing in by browser, not for --token; "
            "without a terminal, add --no-browser"
        )
        raise UsageError(message)
    home = home_of()
    endpoint = endpoint_of(home, args.endpoint)
    is_keyring = setting("keyring").value == "on"
    if is_keyring:
        keyrings.require()  # before a token is made
    warn_if_unencrypted(endpoint)  # before a token travels
    made = _by_browser(endpoint, args) if is_by_browser else ""
    token = made or args.token or _ask_token(endpoint)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InsecureTransport)
        hub = client.Hub(endpoint, token)
    with hub:
        account = hub.whoami()
    try:
        with Credentials.changing(home) as credentials:
            credentials.endpoint = endpoint
            credentials.keep_token(endpoint, token, is_keyring=is_keyring, is_by_browser=bool(made))
    except LoraryError:
        if made:
            _revoke(endpoint, made)
        raise
    scopes = None if account.scopes is None else list(account.scopes)
    if args.json:
        emit({"endpoint": endpoint, "name": account.name, "scopes": scopes})
    else:
        show(f"Signed in to {endpoint} as {plain(account.name)}.")
    if os.environ.get("LORARY_TOKEN", token) != token:
        note("lorary: LORARY_TOKEN is set and is used instead of the stored token.")
    return 0


def _by_browser(endpoint: str, args: Namespace) -> str:
    """Return a token that a person allows on the hub's page; empty if the hub has no such page."""
    scopes = [part.strip() for part in (args.scopes or "").split(",") if part.strip()]
    with closing(Session(endpoint)) as session:
        login = browser_login.begin(session, socket.gethostname(), scopes)
        if login is None:
            note(f"lorary: {endpoint} has no sign-in by browser: it is an older hub, or not a hub.")
            return ""
        note(f"Open   {plain(login.page_with_code)}\nCode   {plain(login.code)}\n")
        if not args.no_browser and not args.json and _open_browser(login.page_with_code):
            note("Your browser opens this page.")
        note("Allow the sign-in there if the page shows this code. Waiting… (Ctrl-C cancels)")
        return browser_login.wait(session, login)


def _open_browser(page: str) -> bool:
    """Open a page in a browser with windows, if there is one; others would fill the terminal."""
    has_windows = sys.platform != "linux" or any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
    )
    try:
        return has_windows and webbrowser.open(page)
    except (OSError, webbrowser.Error):
        return False


def _ask_token(endpoint: str) -> str:
    if sys.stdin.isatty():
        note(f"Create a token at {endpoint}/settings/tokens and paste it here; it is not shown.")
        try:
            token = getpass.getpass("Token: ", sys.stderr)
        except EOFError as error:  # Ctrl-D
            message = "no token given"
            raise UsageError(message) from error
    else:
        token = sys.stdin.readline()
    token = token.strip()
    if not token:
        message = "no token given; to sign in by browser without a terminal, use --no-browser"
        raise UsageError(message)
    return token


def _logout(args: Namespace) -> int:
    home = home_of()
    endpoint = endpoint_of(home, args.endpoint)
    stored = Credentials.load(home)
    if endpoint not in stored.signed_in:
        if args.json:
            emit({"endpoint": endpoint, "signed_out": False, "revoked": False})
        else:
            show(f"No token was stored for {endpoint}.")
        return 0
    reason = "it was not created by `lorary login`"
    if endpoint in stored.by_browser:
        reason = _revoke(endpoint, stored.token(endpoint))
    with Credentials.changing(home) as credentials:
        credentials.drop_token(endpoint)
    if args.json:
        emit({"endpoint": endpoint, "signed_out": True, "revoked": not reason})
    else:
        show(f"Signed out of {endpoint}.{'' if reason else ' The token is revoked.'}")
    if reason:
        page = f"{endpoint}/settings/tokens"
        note(f"lorary: the token stays valid until you revoke it at {page}: {plain(reason)}")
    return 0


def _revoke(endpoint: str, token: str) -> str:
    """Revoke the token of a login; return why it stays valid, empty if it does not."""
    session = Session(endpoint, token, timeout_s=_REVOKE_S, backoff=Backoff(attempts=1))
    with closing(session):
        try:
            made = browser_login.revoke(session, token)
        except LoraryError as error:
            return error.detail
    return (
        f"revoking it would also revoke the {count_of(made, 'token')} created with it"
        if made
        else ""
    )


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
        "Sign in to a hub. In a terminal, your browser opens a page of the hub, where you grant\n"
        "this computer an access token; --token takes one that you created yourself. The token\n"
        "is checked and stored in a file that only you can read, or in the keyring of the system\n"
        "(lorary config set keyring on).",
        "  lorary login --endpoint https://hub.example\n"
        "  lorary login --hub work --no-browser       # on a server: open the page elsewhere\n"
        "  lorary login --token < token.txt",
        _configure_login,
        _login,
    ),
    "logout": Command(
        "Delete the stored token of a hub, and revoke it if `lorary login` created it in your\n"
        "browser. It stays valid if the hub does not answer, or if other tokens were created with\n"
        "it; so does a token that you entered yourself. In these cases, revoke it on the hub.",
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
