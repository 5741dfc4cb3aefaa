"""hub: names of hubs."""

from __future__ import annotations

from argparse import Namespace

from lorary.cli.command import Command, Parser, UsageError
from lorary.cli.output.text import emit, note, plain, show, table
from lorary.client.config import Credentials, endpoint_of, from_environment, home_of
from lorary.client.errors import SettingInvalid
from lorary.client.names import check_endpoint, is_hub_name

#: Verb to the number of words that it takes.
_WORDS = {"list": 0, "add": 2, "remove": 1, "use": 1}


def _configure(parser: Parser) -> None:
    parser.add_argument("verb", choices=_WORDS, help="what to do")
    parser.add_argument("words", nargs="*", default=[], metavar="NAME [URL]", help="the hub")


def _hub(args: Namespace) -> int:
    if len(args.words) != _WORDS[args.verb]:
        message = "use add NAME URL, list, use NAME or remove NAME"
        raise UsageError(message)
    if args.verb == "list":
        return _list(args)
    name = args.words[0]
    with Credentials.changing(home_of()) as credentials:
        if args.verb == "add":
            address = _add(credentials, name, args.words[1])
        else:
            address = _known(credentials, name)
            if args.verb == "use":
                credentials.endpoint = address
            else:
                del credentials.hubs[name]
    return _show_done(args, name, address, is_signed_in=address in credentials.signed_in)


def _add(credentials: Credentials, name: str, url: str) -> str:
    if not is_hub_name(name):
        message = (
            f"“{name[:100]}” cannot name a hub: use 2 to 32 lower-case letters, digits and “-”, "
            "beginning with a letter; pack, file, http, https and lorary have another meaning"
        )
        raise UsageError(message)
    address = check_endpoint(url)
    if credentials.hubs.setdefault(name, address) != address:
        known = credentials.hubs[name]
        msg = f"“{name}” already stands for {known}. Remove it first: lorary hub remove {name}."
        raise SettingInvalid(msg)
    return address


def _known(credentials: Credentials, name: str) -> str:
    if name not in credentials.hubs:
        message = f"there is no hub “{name[:100]}”; lorary hub list shows all hubs"
        raise UsageError(message)
    return credentials.hubs[name]


def _show_done(args: Namespace, name: str, address: str, *, is_signed_in: bool) -> int:
    if args.verb == "use" and from_environment("hub"):
        note("lorary: LORARY_ENDPOINT is set and takes precedence.")
    if args.json:
        emit({"name": name, "url": address})
        return 0
    if args.verb == "remove":
        show(f"{name} is no longer a name of {plain(address)}.")
        if is_signed_in:
            note(f"lorary: its token is kept; delete it with lorary logout --endpoint {address}")
        return 0
    show(f"{name} is {plain(address)}{', the hub in use' if args.verb == 'use' else ''}.")
    if not is_signed_in:
        note(f"lorary: sign in with lorary login --hub {name}")
    return 0


def _list(args: Namespace) -> int:
    """List the hubs that have a name or a token, and the one in use."""
    home = home_of()
    credentials, in_use = Credentials.load(home), endpoint_of(home)
    unnamed = dict.fromkeys((*credentials.signed_in, in_use))
    rows = sorted(credentials.hubs.items())
    rows += [("", address) for address in unnamed if address not in credentials.hubs.values()]
    for name, address in rows if args.json else ():
        emit(
            {
                "name": name or None,
                "url": address,
                "in_use": address == in_use,
                "signed_in": address in credentials.signed_in,
            }
        )
    if not args.json:
        show(table([_row(name, address, in_use, credentials) for name, address in rows]))
    return 0


def _row(name: str, address: str, in_use: str, credentials: Credentials) -> list[str]:
    return [
        name or "-",
        plain(address),
        "in use" if address == in_use else "-",
        "signed in" if address in credentials.signed_in else "-",
    ]


COMMANDS = {
    "hub": Command(
        "Give hubs short names, so that work:owner/name means an adapter on the hub “work”.\n"
        "--hub work makes a command use that hub, and “use” selects it for all commands.",
        "  lorary hub add work https://hub.example\n"
        "  lorary login --hub work\n"
        "  lorary pull work:studio/noir@v3 work:pack:studio/dusk\n"
        "  lorary hub use work\n"
        "  lorary hub list",
        _configure,
        _hub,
    ),
}
