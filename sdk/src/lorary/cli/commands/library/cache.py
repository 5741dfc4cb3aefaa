"""cache: what is in the cache, and how to remove it."""

from __future__ import annotations

import re
import time
from argparse import ArgumentTypeError, Namespace
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING

from lorary.cli.command import Command, Parser, UsageError, size
from lorary.cli.output.progress import meter
from lorary.cli.output.text import count_of, emit, note, plain, show, styled, table
from lorary.client.config import home_of
from lorary.client.finding.by_hash import AUTOV2_DIGITS
from lorary.client.progress import together
from lorary.client.transfers.cache import Cache
from lorary.client.transfers.cached_files import CachedFiles
from lorary.sizes import count_bytes

if TYPE_CHECKING:
    from lorary.client.transfers.cached_files import CachedFile, Removed

_SECONDS = {"m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_AGE = re.compile(r"([0-9]{1,6}) ?([mhdw])\Z")
#: Action to the options that go with it.
_OPTIONS = {
    "path": (),
    "ls": (),
    "verify": ("fix",),
    "prune": ("older_than", "max_size", "dry_run"),
    "rm": ("dry_run",),
}


def _age(text: str) -> int:
    match = _AGE.match(text.strip().lower())
    if match is None:
        message = f"“{text}” is not a time such as 12h, 30d or 8w"
        raise ArgumentTypeError(message)
    return int(match[1]) * _SECONDS[match[2]]


def _configure(parser: Parser) -> None:
    parser.add_argument("action", choices=_OPTIONS, help="what to do")
    parser.add_argument(
        "names",
        nargs="*",
        default=[],  # otherwise a call without an action would ask for names as well
        metavar="OWNER/NAME[@VERSION]|SHA256",
        help="rm: what to remove",
    )
    parser.add_argument("--fix", action="store_true", help="verify: remove damaged files")
    parser.add_argument(
        "--older-than",
        type=_age,
        metavar="TIME",
        help="prune: remove files that have not been used for this long, such as 12h, 30d or 8w",
    )
    parser.add_argument(
        "--max-size",
        type=size,
        metavar="SIZE",
        help=(
            "prune: then remove the least recently used files until the cache has at most this "
            "size, such as 500MB or 20GB"
        ),
    )
    parser.add_argument("--dry-run", action="store_true", help="prune, rm: remove nothing")


def _cache(args: Namespace) -> int:
    _check(args)
    cache = Cache(home_of() / "cache")
    if args.action == "path":
        return _path(args, cache)
    files = CachedFiles(cache)
    if args.action == "ls":
        return _list(args, cache, files)
    if args.action == "verify":
        return _verify(args, files)
    if args.action == "prune":
        since = None if args.older_than is None else time.time() - args.older_than
        stale = files.stale(unused_since=since, max_bytes=args.max_size)
        return _report(args, files.remove(stale, dry_run=args.dry_run))
    return _report(args, files.remove_named(args.names, dry_run=args.dry_run))


def _check(args: Namespace) -> None:
    """Refuse options and names that do not go with the action."""
    for name in ("fix", "older_than", "max_size", "dry_run"):
        if getattr(args, name) not in {None, False} and name not in _OPTIONS[args.action]:
            message = f"--{name.replace('_', '-')} cannot be used with “{args.action}”"
            raise UsageError(message)
    if (args.action == "rm") != bool(args.names):
        message = "name what to remove" if args.action == "rm" else "only “rm” takes names"
        raise UsageError(message)
    if args.action == "prune" and args.older_than is None and args.max_size is None:
        message = "say what to remove: --older-than or --max-size"
        raise UsageError(message)


def _path(args: Namespace, cache: Cache) -> int:
    if args.json:
        emit({"path": str(cache.root)})
    else:
        show([str(cache.root)])
    return 0


def _list(args: Namespace, cache: Cache, files: CachedFiles) -> int:
    if args.json:
        for one in files.all:
            emit(_document(one))
        return 0
    if files.all:
        show(table([_row(one) for one in files.all]))
    total = sum(one.size_bytes for one in files.all)
    note(
        f"lorary: {count_of(len(files.all), 'file')}, {count_bytes(total)}, in {plain(cache.root)}"
    )
    return 0


def _verify(args: Namespace, files: CachedFiles) -> int:
    whole = [one for one in files.all if one.is_whole]
    with meter() as draw:
        checked = list(files.verify(together(draw, len(whole))))
    bad = [one for one, is_intact in checked if not is_intact]
    outcomes = {one.file.sha256: one.outcome for one in files.remove(bad, dry_run=not args.fix)}
    for one, is_intact in checked:
        is_gone = args.fix and outcomes.get(one.sha256) == "removed"
        if args.json:
            state = "ok" if is_intact else "damaged"
            emit({**_document(one), "state": state, "removed": is_gone})
        elif not is_intact:
            verb = ", removed" if is_gone else ", stays: it is in use" if args.fix else ""
            show(f"{styled('!', 'red')} {'  '.join(_row(one))}  damaged{verb}")
    if not args.json:
        removed = sum(args.fix and one == "removed" for one in outcomes.values())
        fixed = f" {count_of(removed, 'file')} removed." if args.fix and bad else ""
        show(f"{len(checked) - len(bad):,} intact, {len(bad):,} damaged.{fixed}")
    if bad and not args.fix:
        note("lorary: nothing was removed; --fix removes damaged files")
    if any(one.is_linked for one in bad):
        note(
            "lorary: files in your folders share the damaged bytes (“also in a folder”): repair "
            "them with “lorary sync --verify --force”, or pull them again with --verify --force"
        )
    return 1 if bad else 0


def _report(args: Namespace, removed: Iterable[Removed]) -> int:
    count, freed = 0, 0
    for one in removed:
        if one.outcome == "removed":
            count += 1
            freed += 0 if one.file.is_linked else one.file.size_bytes
        if args.json:
            action = {"removed": "remove"}.get(one.outcome, one.outcome)
            emit({**_document(one.file), "action": action, "planned": args.dry_run})
        else:
            mark = styled("-", "red") if one.outcome == "removed" else " "
            show(f"{mark} {'  '.join(_row(one.file))}{_why(one)}")
    if not args.json:
        verb = "would be removed" if args.dry_run else "removed"
        show(f"{count_of(count, 'file')} {verb}, {count_bytes(freed)} of space.")
    return 0


def _why(one: Removed) -> str:
    reasons = {"in_use": "stays: it is in use", "shared": "stays: other versions have it"}
    return f"  {reasons[one.outcome]}" if one.outcome in reasons else ""


def _row(one: CachedFile) -> list[str]:
    used = datetime.fromtimestamp(one.used_at).astimezone().strftime("%Y-%m-%d")
    names = ", ".join(map(plain, one.versions))
    return [
        one.sha256[:AUTOV2_DIGITS],
        count_bytes(one.size_bytes),
        used,
        " · ".join(_facts(one, names)),
    ]


def _facts(one: CachedFile, names: str) -> Iterator[str]:
    if names:
        yield names
    if not one.is_whole:
        yield "unfinished"
    if one.is_linked:
        yield "also in a folder"


def _document(one: CachedFile) -> dict[str, object]:
    return {
        "sha256": one.sha256,
        "size": one.size_bytes,
        "whole": one.is_whole,
        "used_at": datetime.fromtimestamp(one.used_at).astimezone().isoformat(timespec="seconds"),
        "linked": one.is_linked,
        "versions": list(one.versions),
        "paths": list(one.paths),
    }


COMMANDS = {
    "cache": Command(
        "Show where the cache is (path), list its files, the most recently used first (ls), hash\n"
        "them (verify), and remove old ones (prune) or those of some versions (rm). Files in your\n"
        "own folders stay, and so do those that a pull is writing.",
        "  lorary cache ls\n"
        "  lorary cache prune --older-than 30d --max-size 20GB --dry-run\n"
        "  lorary cache rm studio/noir@v2\n"
        "  lorary cache verify --fix",
        _configure,
        _cache,
    ),
}
