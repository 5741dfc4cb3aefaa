"""config: settings that are remembered."""

from __future__ import annotations

from argparse import Namespace

from lorary.cli.command import Command, Parser, UsageError
from lorary.cli.output.text import emit, note, plain, show, table
from lorary.client.config import Credentials, home_of
from lorary.library.settings import CHECKS, Setting, remember, setting

#: Action to the number of words that it takes.
_WORDS = {"list": 0, "get": 1, "set": 2, "unset": 1}


def _configure(parser: Parser) -> None:
    parser.add_argument("action", choices=_WORDS, help="what to do")
    parser.add_argument(
        "words",
        nargs="*",
        default=[],  # otherwise a call without an action would ask for these as well
        metavar="KEY [VALUE]",
        help=", ".join(CHECKS),
    )


def _config(args: Namespace) -> int:
    if len(args.words) != _WORDS[args.action]:
        forms = "list, get KEY, set KEY VALUE or unset KEY"
        message = f"write {forms}"
        raise UsageError(message)
    key, value = (*args.words, "", "")[:2]
    if key and key not in CHECKS:
        message = f"there is no setting “{key}”; use {', '.join(CHECKS)}"
        raise UsageError(message)
    if args.action == "list":
        return _list(args)
    if args.action == "get":
        return _show(args, setting(key))
    if args.action == "set" and not value.strip():
        message = f"give {key} a value, or use “unset {key}”"
        raise UsageError(message)
    now = remember(key, value.strip())
    if now.source not in {"default", str(Credentials.load(home_of()).path)}:
        note(f"lorary: {plain(now.source)} also has a value for {key}, which takes precedence")
    return _show(args, now)


def _list(args: Namespace) -> int:
    found = [setting(key) for key in CHECKS]
    if args.json:
        for one in found:
            emit(_document(one))
    else:
        show(table([[one.key, plain(one.value) or "-", plain(one.source)] for one in found]))
    return 0


def _show(args: Namespace, one: Setting) -> int:
    if args.json:
        emit(_document(one))
    elif one.value:
        show([plain(one.value)])
    return 0


def _document(one: Setting) -> dict[str, object]:
    return {"key": one.key, "value": one.value or None, "source": one.source}


COMMANDS = {
    "config": Command(
        "Show or change what is remembered: hub, layout, root (the folder of your program), jobs\n"
        "and keyring (on: `lorary login` stores tokens in the keyring of the system). An option\n"
        "takes precedence, then the environment, then the lorary.toml of this folder (layout and\n"
        "root), then these settings. “list” shows where each value comes from.",
        "  lorary config set layout comfyui\n"
        "  lorary config set root ~/ComfyUI\n"
        "  lorary config list",
        _configure,
        _config,
    ),
}
