"""Parses arguments, runs a command, and maps errors to exit codes.

The module of a command, and its dependencies, are imported only when the command is called:
``lorary --help`` imports none of them.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import sys
import warnings
from collections.abc import Iterator, Sequence

import lorary
from lorary.cli.command import Command, Parser, UsageError

#: Command to its module in ``lorary.cli.commands`` and its help text.
COMMANDS = {
    "login": ("account.sign_in", "sign in to a hub and store the token"),
    "logout": ("account.sign_in", "delete the stored token of a hub"),
    "whoami": ("account.sign_in", "show your account on the hub"),
    "hub": ("account.hubs", "give hubs names, and choose the one to use"),
    "config": ("account.config", "show or change what is remembered"),
    "doctor": ("account.doctor", "check settings, cache, hub, token and clock"),
    "completion": ("account.completion", "print the script that completes commands in a shell"),
    "mcp": ("account.mcp", "serve the hub as tools for assistants"),
    "tokens": ("account.tokens", "list, create or revoke access tokens"),
    "search": ("adapters.catalogue", "find adapters"),
    "info": ("adapters.catalogue", "show an adapter or one of its versions"),
    "versions": ("adapters.catalogue", "list the versions of an adapter"),
    "report": ("adapters.report", "show what a version does to pictures, as the hub measured it"),
    "find": ("files.find", "look up the adapter of a file or a hash"),
    "resolve": ("files.resolve", "find the adapters that pictures and workflows use"),
    "edit": ("adapters.edit", "change the title, the card or other fields of an adapter"),
    "alias": ("adapters.curation", "show the aliases of an adapter, or move one"),
    "yank": ("adapters.curation", "yank a version, or restore it"),
    "withdraw": ("adapters.curation", "withdraw a version or an adapter permanently"),
    "discard": ("adapters.curation", "discard a draft"),
    "inspect": ("files.inspect", "inspect files, without a hub"),
    "pull": ("adapters.pull", "download a version or a pack and verify it"),
    "lock": ("library.projects", "pin the versions for lorary.toml in lorary.lock"),
    "sync": ("library.projects", "download the locked files to their folders"),
    "verify": ("library.projects", "compare the local files with lorary.lock"),
    "outdated": ("library.projects", "list locked versions that have newer ones or were yanked"),
    "update": ("library.projects", "lock newer versions"),
    "cache": ("library.cache", "list, verify or remove files of the cache"),
    "scan": ("library.scan", "read the adapters in your folders into an index"),
    "list": ("library.scan", "list the adapters in your folders"),
    "tidy": ("library.tidy", "move copies to a trash folder, and adapters to where a tool looks"),
    "import": (
        "library.importing",
        "publish the adapters in folders, with what is known about them",
    ),
    "convert": ("algebra.convert", "write an adapter under the names that another tool reads"),
    "resize": ("algebra.resize", "write an adapter with a smaller rank"),
    "merge": ("algebra.merge", "write one adapter that does what several do together"),
    "compare": ("algebra.measures", "compare two adapters block by block"),
    "energy": ("algebra.measures", "measure how much an adapter changes each block"),
    "rewrite": ("algebra.rewrite", "change the metadata of a file, not its weights"),
    "extract": ("algebra.extract", "write an adapter with what changed between checkpoints"),
    "push": ("adapters.push", "publish files as a version"),
    "uploads": ("account.uploads", "list your uploads, or cancel them"),
    "pack": ("packs.command", "list, show, create, edit, publish or export packs"),
    "try": ("adapters.tryouts", "render a stack of versions without downloading them"),
}

#: Aliases that other tools use for a command.
_SYNONYMS = {
    "clone": "pull", "delete": "withdraw", "download": "pull", "fetch": "pull", "get": "pull",
    "publish": "push", "remove": "withdraw", "render": "try", "show": "info",
    "tag": "alias", "upload": "push",
}  # fmt: skip

_EPILOG = """environment:
  LORARY_ENDPOINT   address of the hub (default: the one you last signed in to, else
                    http://127.0.0.1:8000)
  LORARY_LAYOUT, LORARY_ROOT, LORARY_JOBS, LORARY_KEYRING
                    same as the options; see `lorary config`, which remembers them
  LORARY_TOKEN      access token (default: the stored one)
  LORARY_HOME       folder for tokens and the cache (default: ~/.lorary)
  LORARY_OFFLINE    1 forbids connections: only local files are used
  LORARY_CACHE      off keeps no copies: downloads are written straight to their folder
  LORARY_LINEAGES   a file that lists your own base checkpoints, for `lorary inspect`

exit codes:
  0 done   1 refused   2 usage   3 not found   4 not allowed   5 network   130 interrupted

lorary COMMAND --help shows options and an example.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: The arguments without the program's name; by default those of the process.

    Returns:
        Exit code, see ``lorary --help``.
    """
    if "_ARGCOMPLETE" in os.environ:
        importlib.import_module("lorary.cli.completion").complete()
    words = list(sys.argv[1:] if arguments is None else arguments)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("default", UserWarning)
        warnings.showwarning = _show_warning
        try:
            code = _run(words)
        except SystemExit as end:  # argparse, after --help and --version
            code = end.code if isinstance(end.code, int) else 0
        except UsageError as error:
            code = _fail(error, words)
        except KeyboardInterrupt as interrupt:
            _say(f"interrupted. {interrupt}".removesuffix(". "))
            code = 130
        except BrokenPipeError as error:
            code = _hang_up(error, words)
        except Exception as error:  # noqa: BLE001 - the edge of the process
            code = _fail(error, words)
    return _finish(code)


def _run(words: Sequence[str]) -> int:
    parser = _parser()
    if not words:
        parser.print_help(sys.stderr)
        return 2
    name = next((word for word in words if not word.startswith("-")), "")
    if name not in COMMANDS:
        parser.parse_known_args(words)  # ends after --help and --version
        parser.error(_unknown(name) if name else "specify a command")
    command = load(name)
    sub = Parser(
        prog=f"lorary {name}",
        description=command.description,
        epilog=f"example:\n{command.example}",
    )
    add_common(sub)
    command.configure(sub)
    words = list(words)
    words.remove(name)
    arguments = sub.parse_intermixed_args(words)
    importlib.import_module("lorary.cli.output.messages").show_log()
    with _offline() if arguments.offline else contextlib.nullcontext():
        return command.run(arguments)


def add_common(sub: Parser) -> None:
    """Add the options that every command has."""
    sub.add_argument(
        "--json", action="store_true", help="one compact JSON line per result on standard output"
    )
    sub.add_argument(
        "--offline", action="store_true", help="open no connections, as with LORARY_OFFLINE=1"
    )


@contextlib.contextmanager
def _offline() -> Iterator[None]:
    """Forbid connections, also in processes that the command starts."""
    before = os.environ.get("LORARY_OFFLINE", "")
    os.environ["LORARY_OFFLINE"] = "1"
    try:
        yield
    finally:
        os.environ["LORARY_OFFLINE"] = before


def _unknown(name: str) -> str:
    """Return a message for an unknown command, with the most similar one."""
    difflib = importlib.import_module("difflib")
    close = difflib.get_close_matches(name.lower(), [*COMMANDS, *_SYNONYMS], 1)
    meant = _SYNONYMS.get(close[0], close[0]) if close else ""
    return f"there is no command “{name}”{f'; did you mean “{meant}”?' if meant else ''}"


def load(name: str) -> Command:
    """Load a command."""
    module = importlib.import_module(f"lorary.cli.commands.{COMMANDS[name][0]}")
    command: Command = module.COMMANDS[name]
    return command


def _parser() -> Parser:
    width = max(map(len, COMMANDS))
    lines = "\n".join(f"  {name:{width}}   {what}" for name, (_, what) in COMMANDS.items())
    parser = Parser(
        prog="lorary",
        usage="lorary COMMAND [options]",
        description=f"Inspect, upload and download LoRA adapters.\n\ncommands:\n{lines}",
        epilog=_EPILOG,
    )
    parser.add_argument("command", nargs="?", help=argparse.SUPPRESS)
    parser.add_argument("--version", action="version", version=f"lorary {lorary.__version__}")
    return parser


def _fail(error: Exception, words: Sequence[str]) -> int:
    """Report an error on both channels; the reporting code is imported only now."""
    if os.environ.get("LORARY_DEBUG") == "1":
        raise error
    messages = importlib.import_module("lorary.cli.output.messages")
    try:
        code: int = messages.report(error, wants_json="--json" in words)
    except OSError:  # one of the channels cannot be written to
        return 1
    return code


def _hang_up(error: BrokenPipeError, words: Sequence[str]) -> int:
    """Handle a closed output pipe (``lorary search | head``), which is not an error."""
    if error.errno is None:  # raised by the client, not by the system
        return _fail(error, words)
    _drop_output()
    return 0


def _finish(code: int) -> int:
    """Flush the output; a full device is an error."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _drop_output()
    except OSError as error:
        _drop_output()
        if code == 0:
            _say(f"the output cannot be written: {error.strerror}")
        return code or 1
    return code


def _drop_output() -> None:
    """Discard unwritten output; otherwise Python would try again at exit and print an error."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _say(text: str) -> None:
    with contextlib.suppress(OSError):
        sys.stderr.write(f"\nlorary: {text}\n")


def _show_warning(message: Warning | str, *_place: object, **_line: object) -> None:
    sys.stderr.write(f"lorary: warning: {message}\n")
