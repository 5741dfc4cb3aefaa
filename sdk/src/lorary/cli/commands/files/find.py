"""find."""

from __future__ import annotations

import contextlib
import sys
from argparse import Namespace
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from rich.cells import cell_len, set_cell_size

from lorary import client
from lorary.cli.command import Command, Parser, add_endpoint
from lorary.cli.input_files import find as files_of
from lorary.cli.output.progress import Counting, counting, meter
from lorary.cli.output.text import emit, note, plain, show
from lorary.client import Found, Match, Relative
from lorary.client.errors import Invalid, LoraryError, NotFound
from lorary.client.finding import by_hash
from lorary.client.progress import OnProgress, silent
from lorary.safetensors import HeaderError, read_header

NOT_FOUND = 3
_MOST_RELATIVES = 5  # the closest, in the text


def _configure(parser: Parser) -> None:
    parser.add_argument(
        "places",
        nargs="+",
        metavar="FILE|DIR|HASH",
        help="files, folders with their .safetensors files, or hashes of any kind",
    )
    parser.add_argument(
        "--exact", action="store_true", help="compare hashes only, and send no sketches"
    )
    add_endpoint(parser)


def _find(args: Namespace) -> int:
    wanted = list(_wanted(args.places))
    longest = max((cell_len(plain(one.name)) for one in wanted), default=0)
    missing = 0
    with client.Hub(args.endpoint) as hub, _progress_bars(wanted) as (count, draw):
        results = hub.find_all([one.what for one in wanted], on_progress=draw)
        for number, (one, known) in enumerate(zip(wanted, results, strict=True)):
            is_sketched = not (args.exact or known.matches or known.error)
            related = _relatives(hub, one) if is_sketched else ()
            is_known = known.matches or related or known.error
            found = known if is_known else replace(known, error=_fault(one))
            missing += not (found.matches or related)
            if sys.stdout.isatty():
                count.clear()
            if args.json:
                emit(_document(one, found, related))
            else:
                show(_lines(one, found, related, longest))
            count.step(number + 1)
    if missing:
        note(f"lorary: {missing:,} of {len(wanted):,} not found")
    return NOT_FOUND if missing or not wanted else 0


@contextlib.contextmanager
def _progress_bars(wanted: Sequence[_Wanted]) -> Iterator[tuple[Counting, OnProgress]]:
    """Show a progress bar for a single file, or a counter for several."""
    with counting("Looking up", len(wanted)) as count:
        if len(wanted) > 1:
            count.step(0)
            yield count, silent
            return
        with meter() as draw:
            yield count, draw


class _Wanted(NamedTuple):
    """An item to look up and its name in results; ``path`` is None for a hash."""

    name: str
    what: str | Path
    path: str | None


def _wanted(words: Sequence[str]) -> Iterator[_Wanted]:
    for word in words:
        if isinstance(by_hash.wanted(word), str):
            yield _Wanted(word, word, None)
            continue
        here = files_of(word)
        if not here:
            note(f"lorary: {plain(word)} contains no .safetensors file.")
        for one in here:
            yield _Wanted(one.name if one.is_listed else word, Path(one.place), one.place)


def _fault(one: _Wanted) -> LoraryError | None:
    """Return why a file holds no weights that a hub could have; None for others, and a hash."""
    if one.path is not None:
        try:
            read_header(Path(one.path))
        except HeaderError as error:
            return LoraryError(f"not found: {error.detail}", code=error.code)
        except OSError:
            return None
    return None


def _relatives(hub: client.Hub, one: _Wanted) -> tuple[Relative, ...]:
    """Return the relatives of a file; none without numpy, or on a hub that compares no sketches."""
    if one.path is None:
        return ()
    try:
        from lorary.algebra.recognition.documents import sketch_document  # noqa: PLC0415 - optional
    except ImportError:
        return ()
    try:
        sketch = sketch_document(Path(one.path))
        return () if sketch is None else hub.relatives(sketch)
    except (HeaderError, OSError, NotFound, Invalid):
        return ()


def _document(one: _Wanted, found: Found, related: Sequence[Relative]) -> dict[str, object]:
    document: dict[str, object] = {
        "asked": Path(one.path).name if one.path else one.name,
        "path": one.path,
        "matches": [match.document for match in found.matches],
    }
    if related:
        document["relatives"] = [relative.document for relative in related]
    if found.error is not None:
        document["error"] = {"code": found.error.code, "message": found.error.detail}
    return document


def _lines(one: _Wanted, found: Found, related: Sequence[Relative], longest: int) -> list[str]:
    if found.error is not None:
        rows = [[found.error.detail]]
    else:
        rows = [_row(match, is_hash=one.path is None) for match in found.matches]
        rows += [_relative_row(relative) for relative in related[:_MOST_RELATIVES]]
        if related[_MOST_RELATIVES:]:
            rows.append([f"and {len(related) - _MOST_RELATIVES:,} more; --json lists them"])
        rows = rows or [["not found"]]
    name = set_cell_size(plain(one.name), longest)
    return ["  ".join([name, *map(plain, row)]) for row in rows]


_KINDS = {
    "autov1": "AutoV1",
    "autov2": "AutoV2",
    "autov3": "AutoV3",
    "blake3": "BLAKE3",
    "crc32": "CRC-32",
    "data_sha256": "SHA-256 of the tensors",
    "sha256": "SHA-256",
    "tensors": "hash of the tensors",
    "weights_bf16": "hash of the weights in bf16",
    "weights_f16": "hash of the weights in fp16",
}


def _row(match: Match, *, is_hash: bool) -> list[str]:
    version = match.version
    # A file has another SHA-256 here; a hash of the tensors alone does not say that.
    tensors = "same tensors" if is_hash else "same tensors, different file"
    what = "same file" if match.is_same_file else tensors
    if match.derived is not None:
        made = "file made" if is_hash else "your file was made"
        what = f"{made} by the hub from this version ({match.derived.title})"
    how = f", by {_KINDS.get(match.kind, match.kind)}" if is_hash else ""
    state = "" if version.state == "published" else f" ({version.state})"
    return [f"{version.adapter}@{version.name}", f"{what}{how}{state}"]


_RELATIONS = {
    "same_file": "same file",
    "same_weights": "same weights, different header",
    "number_format": "same weights in another number format",
    "renamed": "same weights in another key format",
    "part": "some of the same layers",
    "same_run": "same training run",
    "related": "similar weights",
}


_RESIZED = {
    "from": "your file was resized from this version",
    "to": "this version was resized from your file",
}


def _relative_row(relative: Relative) -> list[str]:
    version = relative.version
    text = _RELATIONS.get(relative.relation, relative.relation)
    if relative.relation == "strength":
        text = f"same weights, {relative.strength:.2f} times as strong as your file"
    if relative.relation == "resized":
        text = _RESIZED.get(relative.direction, "resized")
    state = "" if version.state == "published" else f" ({version.state})"
    return [
        f"{version.adapter}@{version.name}",
        f"{text}, cosine {relative.cosine:.2f}{state}",
    ]


COMMANDS = {
    "find": Command(
        "Look up the adapter of a file or a hash. Files are not uploaded: the command sends\n"
        "the SHA-256 of the file and of its data section, so that a file with different metadata\n"
        "is found, too. With numpy (pip install 'lorary[algebra]'), it also finds resized,\n"
        "renamed and other copies and relatives of files that are not found by their hashes: it\n"
        "sends a sketch, a few hundred kilobytes from which the weights cannot be computed.\n\n"
        "exit codes:\n"
        "  0   everything was found\n"
        "  3   at least one was not found, or cannot be read",
        "  lorary find noir.safetensors\n"
        "  lorary find 67AB2FD8EC\n"
        "  lorary find loras/ --json | jq -r 'select(.matches == []) | .path'",
        _configure,
        _find,
    ),
}
