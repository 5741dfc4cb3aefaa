"""pull."""

from __future__ import annotations

from argparse import ArgumentTypeError, Namespace
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lorary import client, library
from lorary.cli.command import Command, Parser, UsageError, add_endpoint, add_jobs, exit_code
from lorary.cli.commands.packs.command import show_pulled as show_pulled_pack
from lorary.cli.output import strengths
from lorary.cli.output.progress import meter
from lorary.cli.output.text import emit, note, pairs, plain, share_of_bytes, show
from lorary.cli.references import from_page, name_pack, on_hub
from lorary.client.names import NAMINGS, RANKS
from lorary.client.packs import PREFIX
from lorary.environment import is_offline
from lorary.library.layouts import LAYOUTS
from lorary.library.sidecars.formats import ENDINGS, checked_tools
from lorary.sizes import count_bytes

if TYPE_CHECKING:
    from lorary.cli.commands.adapters.sidecars import Asked
    from lorary.client import (
        File,
        Hub,
        OnProgress,
        Outcome,
        Progress,
        Pulled,
        PulledFile,
        PulledPack,
    )


def _configure(parser: Parser) -> None:
    parser.add_argument(
        "references",
        nargs="+",
        metavar="[pack:]OWNER/NAME[@VERSION]|HASH",
        help="v3, an alias or a revision after the @; default: the latest version; "
        "work:OWNER/NAME is on the hub work (see `lorary hub`)",
    )
    parser.add_argument(
        "--to",
        metavar="DIR",
        help="write the weights to this folder; default: that of the layout, else the cache",
    )
    parser.add_argument(
        "--layout",
        choices=LAYOUTS,
        help="write the weights to the folder of this program; see also `lorary config`",
    )
    parser.add_argument(
        "--root",
        metavar="DIR",
        help="folder of the program; default: that of `lorary config`, else the current one",
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
        help="replace files that Lorary did not write, files of another version, and sidecars "
        "that were changed",
    )
    add_sidecars(parser)
    _configure_form(parser)
    parser.add_argument("--variant", metavar="NAME", help="pack: only this variant; default: all")
    parser.add_argument(
        "--partial", action="store_true", help="pack: leave out parts that are gone"
    )
    add_jobs(parser)
    add_endpoint(parser)


def _configure_form(parser: Parser) -> None:
    """Add the options for files that the hub makes."""
    parser.add_argument(
        "--naming",
        choices=NAMINGS,
        help="have the hub write the weights under the names of this tool; original is the same as "
        "comfyui",
    )
    parser.add_argument(
        "--max-rank",
        type=int,
        choices=RANKS,
        metavar="N",
        help="have the hub lower the rank to at most 4, 8, 16, 32, 64 or 128",
    )
    parser.add_argument(
        "--strip",
        action="store_true",
        help="have the hub leave out the metadata about the training",
    )


def _pull(args: Namespace) -> int:
    args.to = _folder(args)
    groups = _by_hub(args)
    are_packs = [one.startswith(PREFIX) for group in groups for one in group.references]
    if args.all_files and any(are_packs):
        message = "--all-files is for adapters"
        raise UsageError(message)
    if (args.variant or args.partial) and not any(are_packs):
        message = "--variant and --partial are for packs: lorary pull pack:OWNER/NAME"
        raise UsageError(message)
    if (args.naming or args.max_rank or args.strip) and any(are_packs):
        message = "--naming, --max-rank and --strip are for adapters"
        raise UsageError(message)
    if args.sidecars and args.to is None:
        message = "--sidecars needs --to or --layout"
        raise UsageError(message)
    if len(args.references) > 1:
        return _pull_all(groups)
    (args,) = groups
    with client.Hub(args.endpoint) as hub:
        with meter(_kept) as draw:
            (outcome,) = _outcomes(hub, args, draw)
        if outcome.error is not None:
            raise name_pack(hub, outcome.reference, outcome.error)
        return _show(hub, args, outcome.pulled, {})


def _by_hub(args: Namespace) -> list[Namespace]:
    """Return the arguments for each hub, in the order in which the references name them."""
    groups: dict[str, Namespace] = {}
    for reference in args.references:
        of_hub = Namespace(**vars(args))
        reference = from_page(args, reference)  # noqa: PLW2901 - the same in the usual form
        rest = on_hub(of_hub, reference)
        name = reference.removesuffix(rest)
        of_hub.references, of_hub.prefix = [], name
        groups.setdefault(name, of_hub).references.append(rest)
    return list(groups.values())


def _folder(args: Namespace) -> str | None:
    """Return the folder to write to; None for the cache."""
    if args.to is not None:
        if args.layout is not None or args.root is not None:
            message = "use --to or --layout, not both"
            raise UsageError(message)
        return str(args.to)
    layout = args.layout or library.setting("layout").value
    if not layout:
        if args.root is not None:
            message = "--root needs --layout"
            raise UsageError(message)
        return None
    return str(Path(args.root or library.setting("root").value or ".", LAYOUTS[layout]))


def _outcomes(hub: Hub, args: Namespace, draw: OnProgress) -> Iterator[Outcome]:
    return hub.pull_all(
        args.references,
        to=args.to,
        variant=args.variant or "",
        partial=args.partial,
        verify=args.verify,
        force=args.force,
        all_files=args.all_files,
        naming=args.naming or "",
        max_rank=args.max_rank or 0,
        strip=args.strip,
        jobs=args.jobs,
        on_progress=draw,
    )


def _pull_all(groups: Sequence[Namespace]) -> int:
    """Pull several references; show results as they come, and failures at the end."""
    failed, code, count = [], 0, sum(len(set(args.references)) for args in groups)
    asked: Asked = {}
    with ExitStack() as stack:
        hubs = [stack.enter_context(client.Hub(args.endpoint)) for args in groups]
        draw = stack.enter_context(meter(_kept))
        for hub, args in zip(hubs, groups, strict=True):
            for outcome in _outcomes(hub, args, draw):
                if outcome.error is None:
                    code = _show(hub, args, outcome.pulled, asked) or code
                    continue
                name = f"{args.prefix}{outcome.reference}"
                error = name_pack(hub, outcome.reference, outcome.error)
                failed.append((name, error))
                if args.json:
                    emit({"asked": name, "error": error.to_dict()})
    for reference, reason in failed:
        note(plain(f"lorary: {reference}: {reason.detail}"))
    if failed:
        rest = "; the others are done" if len(failed) < count else ""
        note(f"lorary: {len(failed):,} of {count:,} failed{rest}")
    return exit_code(failed[0][1]) if failed else code


def _show(hub: Hub, args: Namespace, pulled: Pulled | PulledPack | None, asked: Asked) -> int:
    """Show what was pulled, write its sidecars, and return the exit code."""
    files: Iterable[PulledFile] = ()
    if isinstance(pulled, client.PulledPack):
        show_pulled_pack(pulled, as_json=args.json)
        files = pulled.files.values()
    elif pulled is not None:
        _show_version(hub, pulled, as_json=args.json)
        files = pulled.files
    if not args.sidecars:
        return 0
    from lorary.cli.commands.adapters.sidecars import write  # noqa: PLC0415 - seldom needed

    return write(args, [one.local_path for one in files if one.file.is_weights], asked)


def add_sidecars(parser: Parser, needs: str = "") -> None:
    """Add ``--sidecars``.

    Args:
        needs: What its help names first: the option that it needs.
    """
    parser.add_argument(
        "--sidecars",
        type=_tools,
        default=(),
        metavar="TOOL,…",
        help=f"{needs}also write what tools keep beside weights: {', '.join(ENDINGS)}",
    )


def _tools(text: str) -> tuple[str, ...]:
    try:
        return checked_tools([part.strip() for part in text.split(",")])
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from error


def _show_version(hub: Hub, pulled: Pulled, *, as_json: bool) -> None:
    version = pulled.version
    name = plain(f"{pulled.adapter} {version.name}")
    if version.state == "yanked":
        note(f"lorary: {name} was yanked: {plain(version.reason) or 'no reason given'}")
    if pulled.is_offline and not is_offline():
        note(
            f"lorary: {hub.endpoint} does not answer; {name} comes from the cache, as it was "
            "last pulled"
        )
    if as_json:
        emit(_document(pulled))
    else:
        show(_lines(pulled))


def _kept(progress: Progress) -> str:
    """Return what an interrupted pull keeps, and how to resume it."""
    here = share_of_bytes(progress.done, progress.total)
    return f"{here} of {plain(progress.name)} was kept. Run the same command again to resume."


def _document(pulled: Pulled) -> dict[str, object]:
    return {
        "adapter": pulled.adapter,
        "version": pulled.version.name,
        "revision": pulled.version.revision,
        "state": pulled.version.state,
        "reason": pulled.version.reason or None,
        "trigger_words": list(pulled.version.trigger_words),
        "optional_trigger_words": list(pulled.version.optional_trigger_words),
        "strength": strengths.strengths_document(pulled.version),
        "files": [
            {
                "path": pulled_file.file.path,
                "local_path": str(pulled_file.local_path),
                "size": pulled_file.file.size_bytes,
                "sha256": pulled_file.file.sha256,
                "bytes_fetched": pulled_file.bytes_fetched,
                **_origin(pulled_file.file),
            }
            for pulled_file in pulled.files
        ],
        "offline": pulled.is_offline,
        "left_out": [file.path for file in pulled.left_out],
    }


def _origin(file: File) -> dict[str, object]:
    """Return what a file was made of, and its certificate; nothing for a file of the version."""
    if not isinstance(file, client.DerivedFile) or file.source is None:
        return {}
    source = {"path": file.source.path, "sha256": file.source.sha256}
    return {"source": source, "certificate": dict(file.certificate)}


def _lines(pulled: Pulled) -> list[str]:
    lines = []
    for one in pulled.files:
        size = count_bytes(one.file.size_bytes)
        lines.append(f"{plain(one.local_path)}  {size}, {_how(one)}, verified")
    return [*lines, *pairs(_facts(pulled))]


def _how(one: PulledFile) -> str:
    if one.was_here:
        return "here already"
    return f"{count_bytes(one.bytes_fetched)} downloaded" if one.bytes_fetched else "from the cache"


def _facts(pulled: Pulled) -> Iterator[tuple[str, str]]:
    yield "words", " · ".join(pulled.version.trigger_words)
    yield "optional words", " · ".join(pulled.version.optional_trigger_words)
    yield "strength", strengths.recommended(pulled.version)
    for one in pulled.files:
        if isinstance(one.file, client.DerivedFile) and one.file.source is not None:
            yield "made of", ", ".join([one.file.source.path, *_proofs(one.file.certificate)])
        elif one.file.is_weights and one.local_path.name != one.file.path.rpartition("/")[2]:
            yield "renamed", f"{one.file.path} → {one.local_path.name}"
    if pulled.left_out:
        names = ", ".join(file.path for file in pulled.left_out)
        yield "left out", f"{names} (use --all-files to download them)"


def _proofs(certificate: Mapping[str, Any]) -> Iterator[str]:
    """Yield what a certificate says; the hub may be newer than this command."""
    conversion, resize = certificate.get("conversion"), certificate.get("resize")
    if isinstance(conversion, dict):
        yield f"{conversion.get('renamed')} modules renamed with equal bytes"
        changed = [conversion.get("split"), conversion.get("fused")]
        if any(changed):
            yield f"{changed[0]} split and {changed[1]} fused"
            if isinstance(error := conversion.get("max_relative_error"), float):
                yield f"largest error {error:.1e}"
    if isinstance(resize, dict):
        yield f"{resize.get('resized')} of {resize.get('modules')} modules resized"
        if isinstance(share := resize.get("energy_kept"), float):
            yield f"{share:.2%} of the energy kept"


COMMANDS = {
    "pull": Command(
        "Download the files of versions. Interrupted downloads resume where they stopped; a file "
        "appears in its place only after its sha256 is verified.\n\n"
        "In DIR a file keeps its own name. A generic name, such as\n"
        "pytorch_lora_weights.safetensors, becomes OWNER--NAME.safetensors; another version or\n"
        "variant gets --v2 or --fp16. DIR/.lorary.json records what Lorary wrote; other files are\n"
        "not replaced without --force.\n\n"
        "With --naming, --max-rank or --strip the hub makes the file, which is then named after\n"
        "its form: noir.comfyui.r16.safetensors. What changed is shown, and in --json as\n"
        "certificate. For PEFT, a folder noir.peft has the file with its adapter_config.json.\n"
        "Lock files list only the original files of versions.\n\n"
        "For a pack, all files are downloaded, and OWNER--NAME.pack.json says how to use them.",
        "  lorary pull studio/noir@v3 --to ComfyUI/models/loras\n"
        "  lorary pull studio/noir --json | jq -r '.files[].local_path'\n"
        "  lorary pull studio/noir studio/ink@v2 pack:studio/dusk --layout comfyui --root ComfyUI\n"
        "  lorary pull studio/noir --naming diffusers --max-rank 16 --strip --to loras\n"
        "  lorary pull pack:studio/dusk@v2 --variant sdxl --to ComfyUI/models/loras",
        _configure,
        _pull,
    ),
}
