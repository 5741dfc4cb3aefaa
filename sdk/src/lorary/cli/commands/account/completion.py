"""completion: the script that completes commands in a shell."""

from __future__ import annotations

import importlib
from argparse import Namespace

from lorary.cli.command import Command, Parser, UsageError
from lorary.cli.output.text import emit, show

_SHELLS = ("bash", "zsh", "fish", "powershell")


def _configure(parser: Parser) -> None:
    parser.add_argument("shell", choices=_SHELLS, help="your shell")


def _completion(args: Namespace) -> int:
    try:
        script: str = importlib.import_module("lorary.cli.completion").script(args.shell)
    except ModuleNotFoundError as error:
        message = "this needs argcomplete: pip install 'lorary[completion]'"
        raise UsageError(message) from error
    if args.json:
        emit({"shell": args.shell, "script": script})
    else:
        show([script])
    return 0


COMMANDS = {
    "completion": Command(
        "Print the script that completes commands and options in a shell; run it when the shell\n"
        "starts. It needs pip install 'lorary[completion]'.",
        '  eval "$(lorary completion bash)"          # in ~/.bashrc; zsh: in ~/.zshrc\n'
        "  lorary completion fish | source            # in ~/.config/fish/config.fish\n"
        "  lorary completion powershell | Out-String | Invoke-Expression   # in $PROFILE",
        _configure,
        _completion,
    ),
}
