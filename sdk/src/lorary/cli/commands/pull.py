"""pull."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator
from typing import TYPE_CHECKING

from lorary import client
from lorary.cli.command import Command, Parser, UsageError, add_endpoint
from lorary.cli.commands import packs
from lorary.cli.output import text
from lorary.cli.output.progress import meter
from lorary.cli.output.text import count_bytes, emit, note, pairs, plain, share_of_bytes, show
from lorary.client.packs import PREFIX

if TYPE_CHECKING:
    from lorary.client import Progress, Pulled, PulledFile


def _configure(parser: Parser) -> None:
    parser.add_argument(
        "reference",
        metavar="[pack:]OWNER/NAME[@VERSION]",
        help="v3, an alias or a revision after the @; default: the latest version",
    )
    parser.add_argument(
        "--to",
        metavar="DIR",
        help="write the weights to this folder; default: all files go to the cache",
    )
    parser.add_argument(
        "--all-files",
        action="store_true",
        help="also write other files (README.md, samples), to DIR/OWNER--NAME--VERSION/",
    )
    parser.add_argument(
        "--verify",
        action="store_true",
        help="hash existing files again instead of trusting their size and time",
    )
    parser.add_argument(
        "--force",
        action="store_true",
        help="replace files that Lorary did not write, and files of another version",
    )
    parser.add_argument("--variant", metavar="NAME", help="pack: only this variant; default: all")
    parser.add_argument(
        "--partial", action="store_true", help="pack: leave out parts that are gone"
    )
    add_endpoint(parser)


def _pull(args: Namespace) -> int:
    if args.reference.startswith(PREFIX):
        if args.all_files:
            message = "--all-files is for adapters"
            raise UsageError(message)
        return packs.pull(args, _kept)
    if args.variant or args.partial:
        message = "--variant and --partial are for packs: lorary pull pack:OWNER/NAME"
        raise UsageError(message)
    with client.Hub(args.endpoint) as hub, meter(_kept) as draw:
        pulled = hub.pull(
            args.reference,
            to=args.to,
            verify=args.verify,
            force=args.force,
            all_files=args.all_files,
            on_progress=draw,
        )
    version = pulled.version
    if version.state == "yanked":
        reason = version.reason or "no reason given"
        note(f"lorary: {pulled.adapter} {version.name} was yanked: {plain(reason)}")
    if pulled.is_offline:
        note(
            f"lorary: {hub.endpoint} does not answer; {pulled.adapter} {version.name} comes from "
            "the cache, as it was when it was last pulled"
        )
    if args.json:
        emit(_document(pulled))
    else:
        show(_lines(pulled))
    return 0


def _kept(progress: Progress) -> str:
    """Return what an interrupted pull keeps, and how to resume it."""
    here = share_of_bytes(progress.done, progress.total)
    return f"{here} of {plain(progress.name)} were kept. Run the same command again to resume."


def _document(pulled: Pulled) -> dict[str, object]:
    return {
        "adapter": pulled.adapter,
        "version": pulled.version.name,
        "revision": pulled.version.revision,
        "state": pulled.version.state,
        "reason": pulled.version.reason or None,
        "trigger_words": list(pulled.version.trigger_words),
        "optional_trigger_words": list(pulled.version.optional_trigger_words),
        "strength": text.document(pulled.version),
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
        "offline": pulled.is_offline,
        "left_out": [file.path for file in pulled.left_out],
    }


def _lines(pulled: Pulled) -> list[str]:
    lines = []
    for one in pulled.files:
        size = count_bytes(one.file.size_bytes)
        lines.append(f"{plain(one.local_path)}  {size}, {_how(one)}, verified")
    return [*lines, *pairs(_facts(pulled))]


def _how(one: PulledFile) -> str:
    if one.was_here:
        return "here already"
    return f"{count_bytes(one.bytes_fetched)} fetched" if one.bytes_fetched else "from the cache"


def _facts(pulled: Pulled) -> Iterator[tuple[str, str]]:
    yield "words", " · ".join(pulled.version.trigger_words)
    yield "optional words", " · ".join(pulled.version.optional_trigger_words)
    yield "strength", text.recommended(pulled.version)
    for one in pulled.files:
        if one.file.is_weights and one.local_path.name != one.file.path.rpartition("/")[2]:
            yield "renamed", f"{one.file.path} → {one.local_path.name}"
    if pulled.left_out:
        names = ", ".join(file.path for file in pulled.left_out)
        yield "left out", f"{names} (use --all-files to download them)"


COMMANDS = {
    "pull": Command(
        "Download the files of a version. Interrupted downloads resume where they stopped; a file "
        "appears in its place only after its sha256 is verified.\n\n"
        "In DIR a file keeps its own name. A generic name, such as\n"
        "pytorch_lora_weights.safetensors, becomes OWNER--NAME.safetensors; another version or\n"
        "variant gets --v2 or --fp16. DIR/.lorary.json records what Lorary wrote; other files are\n"
        "not replaced without --force.\n\n"
        "Of a pack, all files are downloaded, and OWNER--NAME.pack.json says how to use them.",
        "  lorary pull studio/noir@v3 --to ComfyUI/models/loras\n"
        "  lorary pull studio/noir --json | jq -r '.files[].local_path'\n"
        "  lorary pull pack:studio/dusk@v2 --variant sdxl --to ComfyUI/models/loras",
        _configure,
        _pull,
    ),
}
