"""pack export."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from lorary import client, exports
from lorary.cli.command import Parser, UsageError
from lorary.cli.output.text import emit, note, plain, show
from lorary.client import packs
from lorary.client.errors import TargetTaken, TargetUnusable

if TYPE_CHECKING:
    from lorary.exports import Export, Look


def configure(parser: Parser) -> None:
    """Add the options of ``pack export``."""
    parser.add_argument(
        "--for", choices=list(exports.TOOLS), dest="tool", help="export: the tool that will use it"
    )
    parser.add_argument(
        "--form",
        choices=list(exports.FORMS),
        default="",
        help="export for comfyui: a workflow for its API (the default) or its canvas",
    )
    parser.add_argument(
        "--variant",
        default="",
        metavar="NAME",
        help="export: the variant, required if there are several",
    )
    parser.add_argument("--out", metavar="FILE", help="export: write to this file")
    parser.add_argument("--force", action="store_true", help="export: replace FILE if it exists")


def export(hub: client.Hub, args: Namespace) -> int:
    """Write a variant of a pack as a file for another tool."""
    if len(args.words) != 1 or not args.tool:
        message = "export needs OWNER/NAME[@VERSION] and --for TOOL"
        raise UsageError(message)
    version = hub.pack_version(packs.parse(args.words[0]))
    look = exports.look_of(version, args.variant)
    note_faults(version, look.missing)
    made = exports.export(look, args.tool, args.form)
    if args.out:
        _write(Path(args.out), made.text, may_replace=args.force)
    if args.json:
        emit(_document(look, made, args.out))
    elif args.out:
        show(plain(args.out))
    else:
        sys.stdout.write(made.text)
    note(plain(f"lorary: the files come with {look.pull_command} --to DIR"))
    return 0


def note_faults(version: packs.PackVersion, missing: Iterable[packs.PackPart]) -> None:
    """Say that a version was yanked, and which of its parts were left out."""
    if version.state == "yanked":
        note(plain(f"lorary: {version.pack} {version.name} was yanked: {version.reason}"))
    for part in missing:
        reason = f"is {part.state} and was left out: {part.reason}"
        note(plain(f"lorary: {part.adapter}@{part.version} {reason}"))


def _document(look: Look, made: Export, out: str | None) -> dict[str, object]:
    return {
        "pack": look.pack,
        "version": look.version,
        "variant": look.variant,
        "for": made.tool,
        "file_name": made.file_name,
        "media_type": made.media_type,
        "local_path": out,
        "text": made.text,
        "missing": [f"{part.adapter}@{part.version}" for part in look.missing],
    }


def _write(place: Path, text: str, *, may_replace: bool) -> None:
    """Write a file.

    Raises:
        TargetTaken: it exists.
        TargetUnusable: it cannot be written.
    """
    try:
        with place.open("w" if may_replace else "x", encoding="utf-8", newline="\n") as file:
            file.write(text)
    except FileExistsError as error:
        msg = f"{place} exists. Choose another file, or replace it with --force."
        raise TargetTaken(msg, facts={"path": str(place)}) from error
    except OSError as error:
        msg = f"{place} cannot be written: {error.strerror or error}."
        raise TargetUnusable(msg, facts={"path": str(place)}) from error
