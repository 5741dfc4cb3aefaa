"""pull."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lorary.cli.command import Command, add_endpoint
from lorary.cli.meter import meter
from lorary.cli.output import count_bytes, emit, note, plain, show
from lorary.client import Hub

if TYPE_CHECKING:
    from argparse import Namespace

    from lorary.cli.command import Parser
    from lorary.client import Pulled

__all__ = ["COMMANDS"]


def _configure(parser: Parser) -> None:
    parser.add_argument(
        "reference",
        metavar="OWNER/NAME[@VERSION]",
        help="v3, an alias or a revision after the @; the latest version without",
    )
    parser.add_argument("--to", metavar="DIR", help="put the files there; else into the cache")
    parser.add_argument(
        "--verify", action="store_true", help="read cached files again before trusting them"
    )
    parser.add_argument(
        "--force", action="store_true", help="replace files in DIR that no pull put there"
    )
    add_endpoint(parser)


def _pull(args: Namespace) -> int:
    with Hub(args.endpoint) as hub, meter() as draw:
        pulled = hub.pull(
            args.reference, to=args.to, verify=args.verify, force=args.force, on_progress=draw
        )
    version = pulled.version
    if version.state == "yanked":
        reason = version.reason or "its author advises against it"
        note(f"lorary: {pulled.adapter} {version.name} was yanked: {plain(reason)}")
    if args.json:
        emit(_document(pulled))
    else:
        show(_lines(pulled))
    return 0


def _document(pulled: Pulled) -> dict[str, object]:
    return {
        "adapter": pulled.adapter,
        "version": pulled.version.name,
        "revision": pulled.version.revision,
        "files": [
            {
                "path": pulled_file.file.path,
                "local_path": str(pulled_file.local_path),
                "size": pulled_file.file.size_bytes,
                "sha256": pulled_file.file.sha256,
                "bytes_fetched": pulled_file.bytes_fetched,
            }
            for pulled_file in pulled.files
        ],
    }


def _lines(pulled: Pulled) -> list[str]:
    lines = []
    for pulled_file in pulled.files:
        size, fetched = pulled_file.file.size_bytes, pulled_file.bytes_fetched
        how = f"{count_bytes(fetched)} fetched" if fetched else "from the cache"
        lines.append(f"{plain(pulled_file.local_path)}  {count_bytes(size)}, {how}, verified")
    words = " · ".join(pulled.version.trigger_words)
    if words:
        lines.append(f"  words  {plain(words)}")
    return lines


COMMANDS = {
    "pull": Command(
        "Bring the files of a version here. Interrupted downloads go on where they stopped; a file "
        "is in its place only when its sha256 is right.",
        "  lorary pull studio/noir@v3 --to ComfyUI/models/loras\n"
        "  lorary pull studio/noir --json | jq -r '.files[].local_path'",
        _configure,
        _pull,
    ),
}
