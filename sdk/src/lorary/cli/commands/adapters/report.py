"""report."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator
from typing import TYPE_CHECKING

from lorary import client
from lorary.cli.command import Command, Parser, add_endpoint
from lorary.cli.output.strengths import side_line
from lorary.cli.output.text import emit, note, pairs, plain, show
from lorary.cli.references import on_hub

if TYPE_CHECKING:
    from lorary.client import Report

#: What a person reads, by figure, and whether it is the opposite of the figure.
_LINES = {
    "subject_kept": ("keeps the subject", False),
    "consistency": ("same look everywhere", False),
    "leak": ("needs trigger words", True),
    "drift": ("leaves others alone", True),
}
_WIDTH = 20


def _configure(parser: Parser) -> None:
    parser.add_argument(
        "reference",
        metavar="[pack:]OWNER/NAME[@VERSION]",
        help="v3, an alias or (of an adapter) a revision after the @",
    )
    parser.add_argument(
        "--variant",
        default="",
        metavar="NAME",
        help="variant of the pack; by default the first with a report",
    )
    add_endpoint(parser)


def _report(args: Namespace) -> int:
    reference = on_hub(args, args.reference)
    with client.Hub(args.endpoint) as hub:
        report = hub.report(reference, variant=args.variant)
    if args.json:
        emit(report.data)
        return 0
    if report.figures:
        show(pairs([*_lines(report)]))
        if report.state != "ready":
            note(
                "lorary: these figures are from an earlier measurement; "
                f"the new one is {report.state}"
            )
    elif report.state == "failed":
        note(f"lorary: it could not be measured: {plain(report.reason)}")
    elif report.done < report.total:
        note(f"lorary: {report.state}, {report.done} of {report.total} pictures; try again later")
    else:
        note("lorary: all pictures are there; a renderer measures them when it is idle")
    return 0


def _lines(report: Report) -> Iterator[tuple[str, str]]:
    for name, (title, is_opposite) in _LINES.items():
        figure = report.figures.get(name)
        if figure is not None:
            share = 1 - figure.value if is_opposite else figure.value
            yield title, f"{_bar(share)} {round(100 * share)} of 100"
    if report.range:
        yield "strength", side_line(report.range)
    yield "measured", plain(f"at strength {report.strength:g}, {report.base}, {report.encoder}")


def _bar(share: float) -> str:
    filled = round(_WIDTH * share)
    return "█" * filled + "·" * (_WIDTH - filled)


COMMANDS = {
    "report": Command(
        "Show what a version does to pictures: whether it keeps the subject, gives every subject\n"
        "the same look, changes nothing without its trigger words and leaves other prompts alone.\n"
        "The hub measures this on pictures that it renders itself. For a pack, it measures the\n"
        "cover sheet: whether its subjects are kept and whether they look alike.",
        "  lorary report studio/noir\n"
        "  lorary report pack:studio/dusk --variant sdxl\n"
        "  lorary report studio/noir@v3 --json | jq .figures.leak.value",
        _configure,
        _report,
    ),
}
