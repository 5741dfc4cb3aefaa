"""doctor: whether the client can work."""

from __future__ import annotations

from argparse import Namespace

from lorary.cli.command import Command, add_endpoint, exit_code
from lorary.cli.output.text import emit, plain, show, styled
from lorary.library.doctor import Check, examine

_STYLES = {"ok": "green", "warning": "yellow", "error": "red", "skipped": "dim"}
_WIDTH = max(map(len, _STYLES))


def _doctor(args: Namespace) -> int:
    code = 0
    for check in examine(args.endpoint):
        if args.json:
            emit(_document(check))
        else:
            state = styled(f"{check.state:{_WIDTH}}", _STYLES[check.state])
            show([f"{state}  {check.name:8}  {plain(check.message)}"])
        if check.error is not None:
            code = code or exit_code(check.error)
    return code


def _document(check: Check) -> dict[str, object]:
    return {
        "check": check.name,
        "state": check.state,
        "message": check.message,
        "code": check.error.code if check.error is not None else None,
    }


COMMANDS = {
    "doctor": Command(
        "Check settings, folders, cache, hub, token and clock, and say what to do. Nothing is\n"
        "changed. The exit code is that of the first error.",
        "  lorary doctor\n  lorary doctor --json | jq -r 'select(.state == \"error\").message'",
        add_endpoint,
        _doctor,
    ),
}
