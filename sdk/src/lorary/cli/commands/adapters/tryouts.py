"""try."""

from __future__ import annotations

import errno
import os
import sys
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from lorary import client
from lorary.cli.command import Command, Parser, UsageError, add_endpoint
from lorary.cli.output.progress import meter
from lorary.cli.output.text import emit, note, pairs, plain, show
from lorary.cli.references import on_hub
from lorary.replacing import require_writable

if TYPE_CHECKING:
    from lorary.client import OnProgress, Progress, Tryout


def _configure(parser: Parser) -> None:
    parser.add_argument(
        "layers",
        nargs="+",
        metavar="OWNER/NAME[@VERSION][:STRENGTH]",
        help="up to five for one base model; default strength: the recommended one",
    )
    parser.add_argument("--prompt", required=True, metavar="TEXT", help="what the picture shows")
    parser.add_argument("--negative", metavar="TEXT", help="what the picture must not show")
    parser.add_argument("--seed", type=int, metavar="N", help="default: random")
    parser.add_argument("--width", type=int, metavar="PIXELS", help="a multiple of 8")
    parser.add_argument("--height", type=int, metavar="PIXELS", help="a multiple of 8")
    parser.add_argument("--steps", type=int, metavar="N", help="default: those of the base model")
    parser.add_argument("--no-triggers", action="store_true", help="do not insert trigger words")
    parser.add_argument("--out", metavar="FILE", help="write the picture to this file (PNG)")
    add_endpoint(parser)


def _stopped(_progress: Progress) -> str:
    return "The render on the hub was cancelled."


def _told(draw: OnProgress) -> OnProgress:
    """Return what also writes each new state to standard error, where no progress is drawn."""
    told = ""

    def report(update: Progress) -> None:
        nonlocal told
        draw(update)
        state = f"waiting {update.name}" if update.stage == "wait" else "rendering"
        if state != told and not sys.stderr.isatty():
            note(f"lorary: {plain(state)}…")
        told = state

    return report


def _require_place(place: Path) -> None:
    """Check that the picture can be written, before anything is rendered."""
    try:
        if place.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if place.exists():
            place.open("ab").close()
        else:
            require_writable(place.parent)
    except OSError as error:
        message = f"--out: {plain(place)} cannot be written: {error.strerror}"
        raise UsageError(message) from error


def _try(args: Namespace) -> int:
    if args.out:
        _require_place(Path(args.out))
    layers = [on_hub(args, layer) for layer in args.layers]
    with client.Hub(args.endpoint) as hub, meter(_stopped) as draw:
        tryout = hub.try_stack(
            layers,
            args.prompt,
            negative=args.negative,
            seed=args.seed,
            width=args.width,
            height=args.height,
            steps=args.steps,
            triggers=not args.no_triggers,
            on_progress=_told(draw),
        )
        if args.out:
            Path(args.out).write_bytes(hub.picture(tryout.images[-1]))
    if args.json:
        emit(_document(tryout, args.out))
    else:
        show(args.out or tryout.url)
        show(pairs([("prompt", plain(tryout.prompt)), ("seed", tryout.seed), ("page", tryout.url)]))
    return 0


def _document(tryout: Tryout, out: str | None) -> dict[str, object]:
    return {
        "key": tryout.key,
        "url": tryout.url,
        "layers": tryout.data.get("layers", []),
        "prompt": tryout.prompt,
        "seed": tryout.seed,
        "image": tryout.images[-1].url,
        "local_path": str(Path(out).absolute()) if out else None,
        "expires_at": tryout.data.get("expires_at"),
    }


COMMANDS = {
    "try": Command(
        "Render a stack of versions on the hub, without downloading any of them. Only you see the\n"
        "picture until you share its page. Ctrl-C also cancels the render on the hub.",
        '  lorary try studio/noir@v3:0.8 studio/ink@v1:0.6 --prompt "a mill" --out night.png\n'
        '  lorary try studio/noir --prompt "a lighthouse" --seed 7 --json | jq -r .image',
        _configure,
        _try,
    ),
}
