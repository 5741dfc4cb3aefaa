"""scan, list."""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lorary import library
from lorary.cli.command import Command, Parser, add_endpoint
from lorary.cli.filters import family_id, is_family, unknown_family
from lorary.cli.output.base_marks import CONFLICT, marked
from lorary.cli.output.base_marks import HELP as MARKS
from lorary.cli.output.progress import meter
from lorary.cli.output.text import count_of, emit, entries, note, plain, show, table
from lorary.client.config import home_of
from lorary.client.errors import FileMissing
from lorary.sizes import count_bytes

if TYPE_CHECKING:
    from lorary.library.index.database import Index
    from lorary.library.index.listing import Filters, Row
    from lorary.library.index.scanning import Scanned

_KEPT = "What was read is kept. Run the same command again to continue."
_PAGE = 200  # rows of a table whose columns are aligned together


def roots_of(words: Sequence[str]) -> tuple[Path, ...]:
    """Return absolute paths without ``..``; links stay, as people know files by them."""
    return tuple(Path(os.path.abspath(Path(word).expanduser())) for word in words)  # noqa: PTH100 - resolve() follows links


def _configure_scan(parser: Parser) -> None:
    parser.add_argument(
        "places", nargs="+", metavar="DIR", help="folders, which are scanned with their subfolders"
    )
    parser.add_argument(
        "--refresh",
        action="store_true",
        help="ask the hub again about files that were looked up in the last day",
    )
    add_endpoint(parser)


def _scan(args: Namespace) -> int:
    roots = roots_of(args.places)
    with library.Hubs(args.endpoint) as hubs, library.Index(home_of()) as index:
        session = hubs.session()
        with meter(lambda _: _KEPT) as draw:
            scanned = library.scan(index, roots, session, refresh=args.refresh, on_progress=draw)
        if scanned.failure is not None:
            note(f"lorary: nothing was looked up on the hub: {plain(scanned.failure.detail)}")
        for fault in scanned.folders:
            note(f"lorary: {plain(fault.message)} The index keeps its entries for this folder.")
        if args.json:
            filters = library.Filters(roots=roots, run=scanned.run)
            with closing(library.rows(index, hubs.default, filters)) as rows:
                for row in rows:
                    emit(row.to_dict())
        else:
            _show_scan(scanned, index, hubs.default, roots)
    return 0


def _show_scan(scanned: Scanned, index: Index, hub: str, roots: Sequence[Path]) -> None:
    counts = scanned.counts
    show(
        f"{count_of(counts.files, 'file')}: {counts.new:,} new, {counts.changed:,} changed, "
        f"{counts.unchanged:,} unchanged, {counts.gone:,} gone. {scanned.read:,} were read."
    )
    for row in library.rows(index, hub, library.Filters(roots=roots, broken=True)):
        if row.error is not None:
            note(f"lorary: {plain(row.path)}: {plain(row.error[1])}")
    found = library.count(index, hub, library.Filters(roots=roots))
    lines = [(word, f"{found[key]:,}", hint) for key, word, hint in _SUMMARY if found[key]]
    show(table(lines) if lines else [])


_SUMMARY = (
    ("on_hub", "on the hub", ""),
    ("not_on_hub", "not on the hub", "lorary list --not-on-hub"),
    ("duplicates", "with a duplicate", "lorary list --duplicates"),
    ("missing_triggers", "without trigger words", "lorary list --missing-triggers"),
    ("broken", "cannot be read", "lorary list --broken"),
)


def _configure_list(parser: Parser) -> None:
    parser.add_argument(
        "places", nargs="*", metavar="DIR", help="only files in these folders; default: all"
    )
    parser.add_argument(
        "--family", default="", metavar="FAMILY", help="only files for this base model"
    )
    for name, what in (
        ("missing-triggers", "adapters whose trigger words are not known"),
        ("duplicates", "files with the bytes or the tensors of another file"),
        ("not-on-hub", "files that can be read and that the hub does not have"),
        ("broken", "files that cannot be read"),
    ):
        parser.add_argument(f"--{name}", action="store_true", help=f"only {what}")
    add_endpoint(parser)


def _list(args: Namespace) -> int:
    filters = library.Filters(
        roots=roots_of(args.places),
        family=family_id(args.family),
        missing_triggers=args.missing_triggers,
        duplicates=args.duplicates,
        not_on_hub=args.not_on_hub,
        broken=args.broken,
    )
    with (
        library.Hubs(args.endpoint) as hubs,
        library.Index(home_of()) as index,
        # Before the index is: output may end early, as with `| head`.
        closing(library.rows(index, hubs.default, filters)) as rows,
    ):
        unscanned = _unscanned(index, filters, args)
        for word in map(plain, unscanned):
            note(
                f"lorary: the index has no file from {word}; lorary scan {word} adds what is there"
            )
        if args.json:
            for row in rows:
                emit(row.to_dict())
        elif not args.places or len(unscanned) < len(args.places):
            others = replace(filters, not_on_hub=False)
            known = library.count(index, hubs.default, others) if args.not_on_hub else {}
            _show_list(rows, filters, known)
    return 0


def _unscanned(index: Index, filters: Filters, args: Namespace) -> list[str]:
    """Return the folders of which the index has no file.

    Raises:
        UsageError: there is no such family, neither known here nor in the index.
        FileMissing: a folder does not exist, and the index has no file from it.
    """

    def has_none(which: Filters) -> bool:
        return not library.count(index, "", which)["files"]

    family = filters.family
    if family and not is_family(family) and has_none(library.Filters(family=family)):
        raise unknown_family(args.family)
    found = []
    for word, root in zip(args.places, filters.roots, strict=True):
        if has_none(library.Filters(roots=(root,))):
            if not os.path.lexists(root):
                message = f"{word} does not exist, and the index has no file from it."
                raise FileMissing(message)
            found.append(word)
    return found


def _show_list(rows: Iterator[Row], filters: Filters, known: Mapping[str, int]) -> None:
    """Show files.

    Args:
        known: With ``--not-on-hub``, counts of all files that the other filters list.
    """
    base = filters.roots[0] if len(filters.roots) == 1 else None
    count = size = 0
    while page := list(islice(rows, _PAGE)):
        count, size = count + len(page), size + sum(row.size for row in page)
        show(entries([_line(row, base) for row in page]))
    if count:
        show(f"{count_of(count, 'file')}, {count_bytes(size)}")
    elif known.get("on_hub") and not _unasked(known):
        all_of = "all " if known["on_hub"] > 1 else "the "
        note(f"lorary: the hub has {all_of}{count_of(known['on_hub'], 'file')}")
    elif filters != library.Filters():
        note("lorary: no scanned file matches; lorary scan DIR scans others")
    else:
        note("lorary: the index is empty; lorary scan DIR fills it")
    if unasked := _unasked(known):
        have = "has" if unasked == 1 else "have"
        counted = count_of(unasked, "file")
        note(f"lorary: {counted} {have} not been looked up on the hub; run “lorary scan DIR”")


def _unasked(known: Mapping[str, int]) -> int:
    """Return how many files can be read and were never looked up on the hub."""
    answered = sum(known.get(key, 0) for key in ("on_hub", "not_on_hub", "broken"))
    return max(0, known.get("files", 0) - answered)


def _line(row: Row, base: Path | None) -> tuple[list[str], list[str]]:
    path = _below(row.path, base)
    if row.error is not None:
        return [path, "", ""], [row.error[1]]
    rank = "" if row.rank is None else f"rank {row.rank}"
    kind = rank if row.kind == "adapter" else row.kind
    return [path, _base_of(row) if row.kind == "adapter" else "", kind], [*_facts(row, base)]


def _base_of(row: Row) -> str:
    """Return the base model by its id, with the signs that `lorary inspect` uses."""
    agreement, claimed = row.base.get("agreement"), row.base.get("claimed")
    names = [row.family] if row.family else [*row.candidates]
    if not names and claimed and agreement == "agree":
        names = [claimed]
    text = marked(names, row.base.get("likely"), row.base["confidence"])
    return f"{text}{CONFLICT if agreement == 'conflict' else ''}"


def _below(path: Path, base: Path | None) -> str:
    """Return a path below a folder without that folder, and other paths as they are."""
    return str(path.relative_to(base) if base is not None and base in path.parents else path)


def _facts(row: Row, base: Path | None) -> Iterator[str]:
    words = [word["text"] for word in row.all_words if word["confidence"] != "low"]
    if words:
        yield " · ".join(words[:3])
    elif row.kind == "adapter":
        yield "no trigger words"
    if row.matches:
        yield _on_hub(row.matches)
    elif row.matches is not None:
        yield "not on the hub"
    if row.same_bytes:
        yield f"same file as {_below(row.same_bytes[0], base)}"
    elif row.same_tensors:
        yield f"same tensors as {_below(row.same_tensors[0], base)}"
    if row.run:
        yield f"one of {len(row.run) + 1} in its run"
    if row.pair is not None:
        yield f"{row.half}, with {row.pair.name}"


def _on_hub(matches: Sequence[Mapping[str, Any]]) -> str:
    """Return the version that a file is, and how many other adapters have it."""
    first = matches[0]
    others = len({one["adapter"] for one in matches}) - 1
    more = f" and {count_of(others, 'other adapter')}" if others else ""
    return f"{first['adapter']}@{first['version']}{more}"


COMMANDS = {
    "scan": Command(
        "Read the adapters in folders into the index of this computer: hashes, base model, rank,\n"
        "trigger words, which ones the hub has, duplicates and relatives. Files that did not\n"
        "change are not read again. An interrupted scan continues where it stopped.\n\n"
        "Only hashes are sent to the hub. --json prints a line for each new or changed file.",
        "  lorary scan ~/ComfyUI/models/loras\n"
        "  lorary scan loras/ --offline --json | jq -r 'select(.error) | .path'",
        _configure_scan,
        _scan,
    ),
    "list": Command(
        "List the files that lorary scan, import and push have read. Nothing is read or sent\n"
        "now: whether the hub has a file, and which trigger words it has there, is known from the\n"
        "last scan; lorary scan --refresh looks it up again.\n\n"
        "signs:\n" + MARKS,
        "  lorary list --missing-triggers\n"
        "  lorary list ~/ComfyUI --family sdxl --not-on-hub --json | jq -r .path",
        _configure_list,
        _list,
    ),
}
