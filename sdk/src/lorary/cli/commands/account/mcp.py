"""mcp: a server for assistants."""

from __future__ import annotations

import importlib
import sys
from argparse import Namespace
from pathlib import Path

from lorary import client
from lorary.cli.command import Command, Parser, UsageError, add_endpoint
from lorary.cli.output.text import note


def _configure(parser: Parser) -> None:
    parser.add_argument(
        "--allow",
        action="append",
        default=[],
        metavar="DIR",
        help="a folder in which files may be read and written; repeat it for several",
    )
    add_endpoint(parser)


def _mcp(args: Namespace) -> int:
    folders = [Path(folder).expanduser() for folder in args.allow]
    for folder in folders:
        if not folder.is_dir():
            message = f"--allow {folder} is not a folder"
            raise UsageError(message)
    try:
        serve = importlib.import_module("lorary.integrations.mcp").server
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.startswith("lorary"):
            raise
        message = "this needs the MCP SDK: pip install 'lorary[mcp]'"
        raise UsageError(message) from error
    if sys.stdin.isatty():
        note("lorary: waiting for an MCP client on standard input; Ctrl-C ends it.")
    with client.Hub(args.endpoint) as hub:
        serve(hub, folders).run("stdio")
    return 0


COMMANDS = {
    "mcp": Command(
        "Serve the hub as tools for assistants (Model Context Protocol, on standard input and\n"
        "output): search, explain, try, pull, resolve and publish. Files are read and written\n"
        "only in the folders that --allow names. It needs pip install 'lorary[mcp]'.",
        "  lorary mcp --allow ~/ComfyUI/models/loras\n"
        "  claude mcp add lorary -- lorary mcp --allow ~/ComfyUI/models/loras",
        _configure,
        _mcp,
    ),
}
