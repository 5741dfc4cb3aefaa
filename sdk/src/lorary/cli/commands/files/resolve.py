"""resolve."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lorary import client, library
from lorary.cli.command import Command, Parser, UsageError, add_endpoint
from lorary.cli.commands.adapters.pull import add_sidecars
from lorary.cli.output.progress import meter
from lorary.cli.output.text import count_of, emit, entries, note, plain, show
from lorary.client import LoraryError
from lorary.client.errors import Offline
from lorary.client.names import absolute
from lorary.library.adding import add_adapters
from lorary.library.project import PROJECT

if TYPE_CHECKING:
    from lorary.client import Answer, Hub, LoraReference, PulledFile, Resolved

#: Exit codes: a file cannot be read, something is not here, the hub did not answer.
UNREADABLE, NOT_HERE, UNREACHABLE = 1, 3, 5


def _configure(parser: Parser) -> None:
    parser.add_argument(
        "files",
        nargs="+",
        metavar="FILE",
        help="pictures, videos, workflows or metadata in JSON, A1111's texts",
    )
    parser.add_argument(
        "--dir",
        action="append",
        default=[],
        metavar="DIR",
        help="a folder with your LoRAs; repeat it for several (the cache is always searched)",
    )
    parser.add_argument(
        "--pull",
        action="store_true",
        help="download what the hub has: to the first --dir; without --dir to the folder of the "
        f"layout (lorary config, {PROJECT}), or without a layout to the cache. The folder is "
        "created if it does not exist",
    )
    add_sidecars(parser, "with --pull, ")
    parser.add_argument(
        "--lock",
        action="store_true",
        help=f"add the adapters that were found to the {PROJECT} of this folder, and lock them",
    )
    add_endpoint(parser)


def _resolve(args: Namespace) -> int:
    args.dir = args.dir or _folder_of_layout(may_be_new=args.pull)
    for number, folder in enumerate(args.dir):
        place = Path(folder).expanduser()
        is_created = args.pull and number == 0 and not place.exists()
        if not (place.is_dir() or is_created):
            message = f"--dir {folder} is not a folder"
            raise UsageError(message)
    if args.lock:
        library.Project.load(Path.cwd())  # fails before anything is done
    if args.sidecars and not (args.pull and args.dir):
        message = "--sidecars needs --pull, and --dir or a layout"
        raise UsageError(message)
    refused: list[LoraryError] = []
    code = 0
    with client.Hub(args.endpoint) as hub:
        with meter() as draw:
            answer = hub.resolve(args.files, folders=args.dir, on_progress=draw)
        if args.pull:
            args.to = args.dir[0] if args.dir else None
            refused = _pull(hub, answer.references, args.to)
            code = _write_sidecars(args, answer.references)
    only_cached = [one for one in answer.references if hub.is_cached(one)]
    _report(answer, only_cached, args)
    if args.lock:
        refused += _lock(answer.references, args.endpoint)
    if any(file.error for file in answer.files) or refused:
        return UNREADABLE
    if code:
        return code
    if all(one.state == "here" for one in answer.references):
        return 0
    is_offline = answer.failure is None or isinstance(answer.failure, Offline)
    return NOT_HERE if is_offline else UNREACHABLE


def _folder_of_layout(*, may_be_new: bool) -> list[str]:
    """Return the folder of adapters of ``lorary.toml``, or else of the settings.

    Args:
        may_be_new: Whether it counts if nothing is there: a pull creates it.
    """
    if Path(PROJECT).exists():
        project = library.Project.load(Path.cwd())
        root, layout = project.root, project.layout
    else:
        layout = library.setting("layout").value
        root = Path(library.setting("root").value or ".")
    if not layout:
        return []
    folder = root / library.LAYOUTS[layout]
    is_used = folder.is_dir() or (may_be_new and not folder.exists())
    return [str(folder)] if is_used else []


def _lock(references: Sequence[LoraReference], endpoint: str | None) -> list[LoraryError]:
    """Add what was found to the project of this folder, and lock it; return the errors."""
    versions: dict[str, str] = {}
    for one in references:
        if one.version is not None:
            versions.setdefault(one.adapter, one.version.name)
    added = add_adapters(Path.cwd(), versions)
    with library.Hubs(endpoint) as hubs:
        _, changes = library.update_lock(library.Project.load(Path.cwd()), hubs)
    errors = [one.error for one in changes if one.error is not None]
    for error in errors:
        note(f"lorary: {plain(error.detail)}")
    if not versions:
        note(f"Nothing was found for {PROJECT}.")
        return errors
    what = f"{len(added)} added to {PROJECT}" if added else f"{PROJECT} already has what was found"
    note(f"{what}{'' if errors else '; run “lorary sync” to get the files'}.")
    return errors


def _report(answer: Answer, only_cached: Sequence[LoraReference], args: Namespace) -> None:
    for file in answer.files:
        if args.json:
            for document in _documents(file):
                emit(document)
        else:
            show(_lines(file, only_cached))
    if answer.failure is not None:
        note(f"lorary: only this computer was searched: {plain(answer.failure.detail)}")
    if not args.json:
        _advise(answer.references, only_cached, args)


def _pull(hub: Hub, references: Sequence[LoraReference], to: str | None) -> list[LoraryError]:
    """Download the files that the hub has, each once; return the errors.

    A cached file is linked into the folder as well, because tools do not read the cache.
    """
    errors: list[LoraryError] = []
    known: dict[str, PulledFile] = {}
    for one in references:
        is_only_cached = to is not None and hub.is_cached(one)
        if one.file is None or not (one.state == "hub" or is_only_cached):
            continue
        if one.sha256 not in known:
            try:
                with meter() as draw:
                    known[one.sha256] = hub.pull_reference(one, to=to, on_progress=draw)
            except LoraryError as error:
                note(f"lorary: {plain(one.name)}: {plain(error.detail)}")
                errors.append(error)
                continue
        one.state, one.path = "here", _as_given(known[one.sha256].local_path, to)
    fetched = sum(bool(one.bytes_fetched) for one in known.values())
    if known:
        where = f" to {plain(to)}" if to else ""
        linked = len(known) - fetched
        rest = f", {linked:,} from the cache" if linked else ""
        note(f"{count_of(fetched, 'file')} downloaded{where}{rest}.")
    return errors


def _write_sidecars(args: Namespace, references: Sequence[LoraReference]) -> int:
    """Write the sidecars of files that were pulled now or before, and return the exit code."""
    if not args.sidecars:
        return 0
    from lorary.cli.commands.adapters.sidecars import write  # noqa: PLC0415 - seldom needed
    from lorary.client.transfers.folders import Folder  # noqa: PLC0415 - seldom needed

    folder = Folder(Path(args.to).expanduser().absolute())
    folder.load()
    recorded = {folder.place(name) for name in folder.entries}
    here = (absolute(one.path) for one in references if one.state == "here")
    places = [place for place in dict.fromkeys(here) if place in recorded]
    return write(Namespace(**{**vars(args), "force": False}), places, {})


def _as_given(path: Path, to: str | None) -> Path:
    """Return a pulled file below the folder as it was given, as files that were there are named."""
    folder = absolute(to)
    if to is None or folder is None or not path.is_relative_to(folder):
        return path
    return Path(to).expanduser() / path.relative_to(folder)


def _documents(file: Resolved) -> Iterator[dict[str, object]]:
    if file.error is not None:
        yield {"file": str(file.path), "error": file.error.to_dict()}
    for one in file.references:
        yield {
            "file": str(file.path),
            "name": one.name,
            "strength": one.strength,
            "hashes": dict(one.hashes),
            "state": one.state,
            "adapter": one.adapter or None,
            "version": one.version.name if one.version else None,
            "sha256": one.sha256 or None,
            "derived": one.derived._asdict() if one.derived else None,
            "evidence": one.evidence,
            "path": str(one.path) if one.path else None,
            "candidates": list(one.candidates),
            "also": list(one.also),
            "reason": one.reason or None,
        }


def _lines(file: Resolved, only_cached: Sequence[LoraReference]) -> list[str]:
    if file.error is not None:
        return [plain(file.error.detail), ""]
    if not file.references:
        return [f"{plain(file.path)}: no LoRA is named", ""]
    rows = [_row(one, is_cached=one in only_cached) for one in file.references]
    return [plain(file.path), *entries(rows, between=" · ", margin=2), ""]


def _row(one: LoraReference, *, is_cached: bool) -> tuple[list[str], list[str]]:
    strength = "" if one.strength is None else f"{one.strength:g}"
    return [one.state, _name(one), strength], [*_facts(one, is_cached=is_cached)]


def _name(one: LoraReference) -> str:
    return plain(one.name or next(iter(one.hashes.values()), ""))


def _facts(one: LoraReference, *, is_cached: bool) -> Iterator[str]:
    if one.version is not None:
        yield plain(f"{one.adapter}@{one.version.name}")
    if one.derived is not None:
        yield plain(f"made from this version ({one.derived.title})")
    if one.evidence is not None:
        yield f"by {one.evidence}"
    if is_cached:
        yield "only in the cache"  # its name there is a hash, which no tool looks for
    elif one.path is not None:
        yield plain(one.path)
    if one.candidates and one.version is None:
        yield "one of " + ", ".join(map(plain, one.candidates))
    if one.also:
        yield "also " + ", ".join(map(plain, one.also))
    if one.state == "missing" and one.reason:
        yield f"withdrawn: {plain(one.reason)}"
    elif one.state == "missing" and one.hashes:
        yield "no file has its " + ", ".join(f"{kind} {one.hashes[kind]}" for kind in one.hashes)


def _advise(
    references: Sequence[LoraReference], only_cached: Sequence[LoraReference], args: Namespace
) -> None:
    """Say what is missing, and how to get it."""
    on_hub = {one.sha256 for one in references if one.state == "hub" and not one.candidates}
    missing = {_name(one) for one in references if one.state == "missing"}
    unsure = {_name(one) for one in references if one.state == "hub" and one.candidates}
    if on_hub and not args.lock:
        note(f"{len(on_hub)} on the hub: run the command again with --pull to download.")
    if only_cached and not args.lock:
        count = len({one.sha256 for one in only_cached})
        how = "--pull" if args.dir else "--dir DIR --pull"
        where = plain(args.dir[0]) if args.dir else "a folder"
        note(f"{count} only in the cache: run the command again with {how} to put each in {where}.")
    if unsure:
        note(
            f"{len(unsure)} with several possible files: choose one, and run “lorary pull” with it."
        )
    if missing:
        where = "" if args.dir else " Name your folders with --dir to search them too."
        note(f"{len(missing)} missing.{where}")


COMMANDS = {
    "resolve": Command(
        "Find the LoRAs that pictures and workflows use, and show which are here, on the hub, or "
        "missing. It reads "
        "workflows of ComfyUI, A1111's and Forge's texts, metadata of InvokeAI, SwarmUI and "
        "Fooocus, and Civitai's lists of resources, in JSON and text files and in PNG, JPEG, "
        "WebP, MP4 and WebM. Files are not uploaded.\n\n"
        "If a file contains hashes, only hashes are compared: a file with the same name but\n"
        "another hash is a different file. Without a hash, names are compared.\n\n"
        "exit codes:\n"
        "  0   all LoRAs are here\n"
        "  1   a file cannot be read, or a download failed\n"
        "  3   at least one LoRA is not here\n"
        "  5   at least one LoRA is not here, and the hub did not answer",
        "  lorary resolve workflow.json --dir ComfyUI/models/loras\n"
        "  lorary resolve workflow.json --lock; lorary sync\n"
        "  lorary resolve *.png --dir ComfyUI/models/loras --pull\n"
        "  lorary resolve picture.png --json | jq -r 'select(.state == \"missing\") | .name'",
        _configure,
        _resolve,
    ),
}
