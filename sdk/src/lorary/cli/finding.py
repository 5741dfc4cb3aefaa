"""find."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lorary.cli.command import Command, UsageError, add_endpoint
from lorary.cli.meter import meter
from lorary.cli.output import emit, note, plain, show, table
from lorary.cli.places import find as files_of
from lorary.client import Hub
from lorary.client.finding import is_hash

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator, Sequence

    from lorary.cli.command import Parser
    from lorary.client import Match

__all__ = ["COMMANDS"]

NOT_FOUND = 3


def _configure(parser: Parser) -> None:
    parser.add_argument(
        "places",
        nargs="+",
        metavar="FILE|DIR|HASH",
        help="files; of a folder, every .safetensors file in it and below; hashes of any kind",
    )
    add_endpoint(parser)


def _find(args: Namespace) -> int:
    wanted = list(_wanted(args.places))
    rows: list[tuple[str, Match | None]] = []
    with Hub(args.endpoint) as hub, meter() as draw:
        for name, place in wanted:
            found = hub.find(place or name, on_progress=draw)
            rows += [(name, match) for match in found] or [(name, None)]
            if args.json:
                emit(_document(name, found))
    if rows and not args.json:
        show(table([_row(name, match) for name, match in rows]))
    missing = [name for name, match in rows if match is None]
    if missing:
        note(f"lorary: {len(missing):,} of {len(wanted):,} not found")
    return NOT_FOUND if missing or not rows else 0


def _wanted(words: Sequence[str]) -> Iterator[tuple[str, Path | None]]:
    """Yield names with the file of each; None where the name is a hash.

    Raises:
        UsageError: a word is neither; it is told before anything is read.
    """
    for word in words:
        place = Path(word)
        if "\\0" not in word and place.exists():
            here = files_of(word)
            if not here:
                note(f"lorary: {plain(word)} holds no .safetensors file.")
            yield from ((one.name, Path(one.place)) for one in here)
        elif is_hash(word):
            yield word, None
        else:
            message = f"“{plain(word)}” is no file here, and no hash of 8, 10, 12 or 64 hex digits"
            raise UsageError(message)


def _document(name: str, found: Sequence[Match]) -> dict[str, object]:
    return {
        "asked": name,
        "matches": [
            {
                "adapter": match.version.adapter,
                "version": match.version.name,
                "state": match.version.state,
                "path": match.file.path,
                "sha256": match.file.sha256,
                "kind": match.kind,
                "same": "file" if match.is_same_file else "tensors",
                "url": match.version.url,
            }
            for match in found
        ],
    }


def _row(name: str, match: Match | None) -> list[str]:
    if match is None:
        return [name, "-", "not found"]
    version = match.version
    what = match.kind if match.is_same_file else f"{match.kind}: same tensors, other file"
    state = "" if version.state == "published" else f" ({version.state})"
    return [name, f"{version.adapter}@{version.name}", f"{what}{state}"]


COMMANDS = {
    "find": Command(
        "Say which adapter a file is, by its hashes or by one that you have. Files stay here; the\n"
        "hub is asked by SHA-256 of the file and of what follows its header, so that a file with\n"
        "other metadata is found, too.\n\n"
        "exit codes:\n"
        "  0   each was found\n"
        "  3   one of them was not, or cannot be read",
        "  lorary find noir.safetensors\n"
        "  lorary find 67AB2FD8EC\n"
        "  lorary find loras/ --json | jq -r 'select(.matches == []) | .asked'",
        _configure,
        _find,
    ),
}
