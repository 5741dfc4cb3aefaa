"""lock, sync, verify, outdated, update: a folder that is described by lorary.toml."""

from __future__ import annotations

from argparse import Namespace
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from lorary import library
from lorary.cli.command import Command, Parser, UsageError, add_endpoint, add_jobs, exit_code
from lorary.cli.output.progress import meter
from lorary.cli.output.text import count_of, emit, note, plain, show, styled, table
from lorary.client.packs import DESCRIPTION
from lorary.client.progress import together
from lorary.library.layouts import FLAT, LAYOUTS
from lorary.sizes import count_bytes

if TYPE_CHECKING:
    from lorary.client import LoraryError
    from lorary.library import Checked, Locked, Outdated, Step

PROJECT = "lorary.toml"
_SIGNS = {"add": "+", "replace": "~", "remove": "-", "leave": "?", "kept": "=", "failed": "!"}
_STYLES = {"+": "green", "~": "yellow", "-": "red", "?": "dim", "=": "dim", "!": "red"}
_DONE = {"here": "here already", "add": "added", "replace": "replaced", "remove": "removed",
         "leave": "no longer locked", "kept": "changed by you or a tool, kept",
         "skipped": "not written", "failed": "failed"}  # fmt: skip
_PLANNED = {**_DONE, "add": "to add", "replace": "to replace", "remove": "to remove"}


def _configure_lock(parser: Parser) -> None:
    parser.add_argument("--init", action="store_true", help=f"create a {PROJECT} to start from")
    parser.add_argument(
        "--layout",
        choices=LAYOUTS,
        help=f"with --init; default: that of `lorary config`, else {FLAT}",
    )
    parser.add_argument("--root", metavar="DIR", help="with --init: the program's folder")
    add_jobs(parser)
    add_endpoint(parser)


def _lock(args: Namespace) -> int:
    if args.init:
        return _init(args)
    if args.layout or args.root:
        message = f"--layout and --root need --init; later, change them in {PROJECT}"
        raise UsageError(message)
    return _locked(args, names=None)


def _init(args: Namespace) -> int:
    layout = args.layout or library.setting("layout").value or FLAT
    root = args.root or ("" if layout == FLAT else library.setting("root").value) or "."
    place = library.start(Path.cwd(), layout, root)
    if args.json:
        emit({"path": str(place)})
    else:
        show([f"Wrote {plain(place)}. Add adapters to it, then run `lorary sync`."])
    return 0


def _configure_update(parser: Parser) -> None:
    parser.add_argument("names", nargs="*", metavar="[pack:]OWNER/NAME", help="default: all")
    add_jobs(parser)
    add_endpoint(parser)


def _update(args: Namespace) -> int:
    return _locked(args, names=args.names)


def _locked(args: Namespace, names: list[str] | None) -> int:
    project = library.Project.load(Path.cwd())
    wishes = () if names is None else library.chosen(project, names)
    with library.Hubs(args.endpoint) as hubs, meter() as draw:
        _, changes = library.update_lock(
            project, hubs, update=wishes, jobs=args.jobs, on_progress=draw
        )
    _report_locked(changes)
    failed = [one.error for one in changes if one.error]
    if args.json:
        for one in changes:
            emit(_locked_document(one))
    elif not failed and (rows := [_locked_row(one) for one in changes if one.change != "kept"]):
        show(table(rows))
    if failed:
        note(f"lorary: {project.lock_path} was not written")
        return exit_code(failed[0])
    if not args.json:
        counts = Counter(one.change for one in changes)
        total = sum(counts.values()) - counts["removed"]
        moved = ", ".join(
            f"{counts[word]:,} {word}" for word in ("added", "changed", "removed") if counts[word]
        )
        show(f"{project.lock_path.name}: {total:,} locked, {moved or 'nothing changed'}.")
    return 0


def _report_locked(changes: Iterable[Locked]) -> None:
    """Write errors, yanked versions and why nothing newer was taken to standard error."""
    changes = list(changes)
    _note_errors({one.wish.label: one.error for one in changes if one.error is not None})
    for one in changes:
        if one.state == "yanked":
            reason = one.reason or "no reason given"
            note(plain(f"lorary: {one.wish.label} {one.version} was yanked: {reason}"))
        elif one.reason:
            note(plain(f"lorary: {one.wish.label} stays at {one.version}: {one.reason}"))


def _note_errors(errors: Mapping[str, LoraryError]) -> None:
    for line in library.reasons(errors):
        note(plain(f"lorary: {line}"))


def _locked_row(one: Locked) -> list[str]:
    if one.change == "changed":
        return [one.wish.label, f"{one.before} → {one.version}", ""]
    return [one.wish.label, one.version or one.before, one.change]


def _locked_document(one: Locked) -> dict[str, object]:
    return {
        "name": one.wish.name,
        "kind": one.wish.kind,
        "wanted": one.wish.wanted,
        "change": one.change,
        "before": one.before or None,
        "version": one.version or None,
        "state": one.state or None,
        "reason": one.reason or None,
        **_error(one.error),
    }


def _error(error: LoraryError | None) -> dict[str, object]:
    return {} if error is None else {"error": error.to_dict()}


def _configure_sync(parser: Parser) -> None:
    parser.add_argument(
        "--frozen", action="store_true", help="fail if lorary.lock would have to change"
    )
    parser.add_argument(
        "--prune",
        action="store_true",
        help="remove files of earlier syncs that are no longer locked; edited ones stay",
    )
    parser.add_argument("--dry-run", action="store_true", help="show what would be done")
    parser.add_argument(
        "--verify", action="store_true", help="hash existing files instead of trusting their time"
    )
    parser.add_argument(
        "--force",
        action="store_true",
        help="replace files that are not from a sync, and files and sidecars that were edited",
    )
    add_jobs(parser)
    add_endpoint(parser)


def _sync(args: Namespace) -> int:
    project = library.Project.load(Path.cwd())
    options = library.Options(
        prune=args.prune,
        dry_run=args.dry_run,
        force=args.force,
        verify=args.verify,
        frozen=args.frozen,
        jobs=args.jobs,
    )
    is_new = project.layout != FLAT and not project.root.exists()
    steps: list[Step] = []
    with library.Hubs(args.endpoint) as hubs, meter(lambda _: _KEPT, is_resumable=True) as draw:
        if args.frozen:
            locked = library.frozen_lock(project)
        else:
            locked, changes = library.update_lock(
                project, hubs, dry_run=args.dry_run, jobs=args.jobs, on_progress=draw
            )
            _report_locked(changes)
            if library.unlocked(changes):
                return _refuse(args, [one for one in changes if one.error])
        report = together(draw, len(locked.files))
        for step in library.steps_of(project, locked, hubs, options, report):
            steps.append(step)
            if args.json:
                emit(_step_document(step, planned=args.dry_run))
    is_planned = args.dry_run and any(step.action == "add" for step in steps)
    if is_new and (is_planned or project.root.exists()):
        verb = "will be" if is_planned else "was"
        note(plain(f"lorary: {project.root} (“root” in {PROJECT}) {verb} created"))
    _report_steps(args, steps)
    failed = [step.error for step in steps if step.error and step.action == "failed"]
    return exit_code(failed[0]) if failed else 0


_KEPT = "What was received is kept. Run the same command again to resume."


def _refuse(args: Namespace, failed: list[Locked]) -> int:
    note("lorary: nothing was downloaded, and lorary.lock was not written")
    if args.json:
        for one in failed:
            emit(_locked_document(one))
    return next(exit_code(one.error) for one in failed if one.error)


def _report_steps(args: Namespace, steps: list[Step]) -> None:
    skipped = [step for step in steps if step.action == "skipped"]
    for step in steps:
        if step.error is not None and step.action == "failed":
            note(plain(f"lorary: {step.path}: {step.error.detail}"))
    if skipped and skipped[0].error is not None:
        reason = plain(skipped[0].error.detail)
        counted = count_of(len(skipped), "sidecar")
        verb = "was" if len(skipped) == 1 else "were"
        note(f"lorary: {counted} {verb} not written or renewed: {reason}")
    if args.json:
        return
    words = _PLANNED if args.dry_run else _DONE
    changed = [step for step in steps if step.action not in {"here", "skipped", "failed"}]
    show(map(_step_line, sorted(changed, key=lambda step: step.path)))
    counts = Counter(step.action for step in steps)
    listed = ", ".join(f"{count:,} {words[key]}" for key, count in counts.items())
    show(f"{listed or 'Nothing is locked'}.")
    for step in () if args.prune else _former(steps):
        former = f"{step.path} of {step.adapter} {step.version}"
        note(plain(f"lorary: {former} is still there: workflows that name it use that version"))
    if counts["leave"] and not args.prune:
        note("lorary: --prune removes the files marked ?, which are no longer locked")


def _former(steps: Iterable[Step]) -> list[Step]:
    """Return the weights that stay although their adapter is locked under another name."""
    steps = list(steps)
    locked = {step.file.name for step in steps if step.file is not None}
    left = (step for step in steps if step.action == "leave" and step.adapter in locked)
    return [step for step in left if step.path.endswith(".safetensors")]


def _step_line(step: Step) -> str:
    sign = _SIGNS[step.action]
    facts = []
    if step.file is not None:
        facts = [f"{step.file.name} {step.file.version}", count_bytes(step.file.size)]
        if step.action == "replace":
            facts.append(f"instead of {step.version or 'another file'}")
    elif step.version:
        is_pack = step.action not in {"remove", "leave"} and step.path.endswith(DESCRIPTION)
        facts = [f"pack {step.version}" if is_pack else step.version]
    return f"{styled(sign, _STYLES[sign])} {plain(step.path)}  {plain(', '.join(facts))}"


def _step_document(step: Step, *, planned: bool) -> dict[str, object]:
    row = step.file
    # Without a row, a step is about a description or a sidecar, or about what is not locked now.
    is_before = row is not None or step.action in {"remove", "leave"}
    version = row.version if row else "" if is_before else step.version
    return {
        "path": step.path,
        "local_path": str(step.local_path),
        "action": step.action,
        "planned": planned,
        "adapter": row.name if row else None,
        "version": version or None,
        "before": (step.version if is_before else "") or None,
        "size": row.size if row else None,
        "sha256": row.sha256 if row else None,
        "bytes_fetched": step.bytes_fetched,
        **_error(step.error),
    }


def _configure_verify(parser: Parser) -> None:
    parser.add_argument(
        "packs",
        nargs="*",
        type=Path,
        metavar=f"OWNER--NAME{DESCRIPTION}",
        help="verify the files of these pulled packs instead",
    )


def _verify(args: Namespace) -> int:
    with meter() as draw:
        if args.packs:
            found = list(library.verify_packs(args.packs, draw))
            than, nothing = "the pack", "No file is listed"
            mend = "pull it again with --verify --force"
        else:
            project, locked = library.load(Path.cwd())
            found = list(library.verify(project, locked, together(draw, len(locked.files))))
            than, nothing = "lorary.lock", "Nothing is locked"
            mend = "`lorary sync --verify --force` restores them"
    for one in found:
        if args.json:
            emit(_checked_document(one))
        elif one.state != "ok":
            show(f"{styled('!', 'red')} {plain(one.file.path)}  {one.state}")
    counts = Counter(one.state for one in found)
    if not args.json:
        listed = ", ".join(f"{counts[key]:,} {key}" for key in ("ok", "changed", "missing")
                           if counts[key])  # fmt: skip
        show(f"{listed or nothing}.")
    bad = len(found) - counts["ok"]
    if bad:
        differ = "differs" if bad == 1 else "differ"
        note(f"lorary: {bad:,} of {len(found):,} files {differ} from {than}; {mend}")
    return 1 if bad else 0


def _checked_document(one: Checked) -> dict[str, object]:
    return {
        "path": one.file.path,
        "local_path": str(one.local_path),
        "state": one.state,
        "sha256": one.sha256 or None,
        "expected": one.file.sha256 or None,
        "adapter": one.file.name,
        "version": one.file.version,
    }


def _configure_outdated(parser: Parser) -> None:
    add_jobs(parser)
    add_endpoint(parser)


def _outdated(args: Namespace) -> int:
    project, locked = library.load(Path.cwd())
    with library.Hubs(args.endpoint) as hubs, meter() as draw:
        found = library.outdated(
            locked, hubs, wishes=project.wishes, jobs=args.jobs, on_progress=draw
        )
    if args.json:
        for one in found:
            emit(_outdated_document(one))
    else:
        _show_outdated([one for one in found if not one.is_current])
    failed = [one.error for one in found if one.error]
    _note_errors({one.wish.label: one.error for one in found if one.error is not None})
    return exit_code(failed[0]) if failed else 0


def _show_outdated(found: list[Outdated]) -> None:
    rows = [
        (one.wish.label, one.wish.wanted, one.version, one.update or "-", one.newest or "-",
         "" if one.state == "published" else f"{one.state}: {one.reason or 'no reason given'}")
        for one in found
        if one.error is None
    ]  # fmt: skip
    if rows:
        head = ("name", "wanted", "locked", "update", "newest", "")
        show(line.rstrip() for line in table([head, *rows]))
    elif not found:
        show("Everything is up to date.")


def _outdated_document(one: Outdated) -> dict[str, object]:
    return {
        "name": one.wish.name,
        "kind": one.wish.kind,
        "wanted": one.wish.wanted,
        "version": one.version,
        "state": one.state or None,
        "reason": one.reason or None,
        "update": one.update or None,
        "newest": one.newest or None,
        **_error(one.error),
    }


def _command(
    description: str, example: str, configure: Callable[[Parser], None],
    run: Callable[[Namespace], int],
) -> Command:  # fmt: skip
    return Command(f"{description}\n\nRun it in the folder that has {PROJECT}.", example,
                   configure, run)  # fmt: skip


COMMANDS = {
    "lock": _command(
        "Write lorary.lock: the version, path and sha256 of each file of the adapters and packs\n"
        "in lorary.toml. Locked versions stay as long as they satisfy lorary.toml.",
        "  lorary lock --init --layout comfyui --root ~/ComfyUI\n"
        "  lorary lock --json | jq -r 'select(.state == \"yanked\").name'",
        _configure_lock,
        _lock,
    ),
    "sync": _command(
        "Download the files of lorary.lock to their folders. The lock is written first if\n"
        "it is missing or does not satisfy lorary.toml.",
        "  lorary sync --dry-run\n  lorary sync --frozen --prune",
        _configure_sync,
        _sync,
    ),
    "verify": _command(
        "Hash the local files, and compare them with lorary.lock, or with the description of a\n"
        "pulled pack.",
        "  lorary verify && echo unchanged\n  lorary verify loras/studio--dusk.pack.json",
        _configure_verify,
        _verify,
    ),
    "outdated": _command(
        "List locked versions that were yanked or withdrawn, or have a newer one for the same\n"
        "base model.",
        "  lorary outdated --json | jq -r .newest",
        _configure_outdated,
        _outdated,
    ),
    "update": _command(
        "Lock the newest versions that lorary.toml allows, for the same base model. Then run\n"
        "lorary sync.",
        "  lorary update studio/noir && lorary sync",
        _configure_update,
        _update,
    ),
}
