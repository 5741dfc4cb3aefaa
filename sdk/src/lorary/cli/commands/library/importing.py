"""import."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from lorary import library
from lorary.cli.command import Command, Parser, UsageError, add_endpoint, add_jobs, exit_code
from lorary.cli.commands.library.scan import roots_of
from lorary.cli.output.progress import meter
from lorary.cli.output.text import count_bytes, emit, note, plain, show, table
from lorary.client.config import home_of
from lorary.client.errors import LoraryError
from lorary.client.names import is_name

if TYPE_CHECKING:
    from lorary.library.importing.planning import Plan, PlannedAdapter, PlannedVersion, Skipped
    from lorary.library.importing.publishing import ImportResult

_KEPT = "What is published stays. Run the same command again to go on."
_SHOWN = ("title", "trigger_words", "strength", "kind", "lineage", "licence")


def _configure(parser: Parser) -> None:
    parser.add_argument("places", nargs="+", metavar="DIR", help="folders with adapters")
    parser.add_argument(
        "--to", required=True, metavar="NAMESPACE", help="your name on the hub, or an organisation"
    )
    visibility = parser.add_mutually_exclusive_group()
    for name, who in (("public", "everyone"), ("unlisted", "everyone who knows its name")):
        visibility.add_argument(
            f"--{name}",
            dest="visibility",
            action="store_const",
            const=name,
            default="private",
            help=f"make new adapters visible to {who}; by default only you see them",
        )
    parser.add_argument("--dry-run", action="store_true", help="only report what would be done")
    parser.add_argument("--yes", action="store_true", help="do not ask before publishing")
    add_jobs(parser)
    add_endpoint(parser)


def _import(args: Namespace) -> int:
    if not is_name(args.to):
        message = f"--to: “{args.to}” is not a user or an organisation"
        raise UsageError(message)
    home, roots = home_of(), roots_of(args.places)
    is_asking = not (args.yes or args.dry_run or args.json)
    if is_asking and not sys.stdin.isatty():
        message = "say --yes to publish without a question, or --dry-run to see what would be done"
        raise UsageError(message)
    with library.Hubs(args.endpoint) as hubs, library.Index(home) as index:
        session = hubs.session()
        with meter(lambda _: _KEPT) as draw:
            scanned = library.scan(index, roots, session, refresh=True, on_progress=draw)
        if scanned.failure is not None:
            raise scanned.failure
        with library.Journal(home, session.endpoint, args.to) as journal:
            rows = library.rows(index, session.endpoint, library.Filters(roots=roots))
            plan = library.plan(rows, args.to, journal.entries())
            will_publish = args.yes and not args.dry_run
            if not (args.json and will_publish):
                _report(args, plan)
            if not plan.adapters or not (will_publish or (is_asking and _is_meant())):
                return 0
            target = library.ImportTarget(args.to, args.visibility)
            importer = library.Importer(session, journal, target)
            with meter(lambda _: _KEPT, is_resumable=True) as draw:
                results = []
                for result in importer.run(plan, jobs=args.jobs, on_progress=draw):
                    results.append(result)
                    if args.json:
                        emit(_result_document(result))
    return _finish(args, results)


def _is_meant() -> bool:
    sys.stderr.write("Publish this? [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().casefold() in {"y", "yes"}


def _report(args: Namespace, plan: Plan) -> None:
    if args.json:
        for adapter in plan.adapters:
            for version in adapter.versions:
                emit(_planned_document(args.to, adapter, version))
        for skipped in plan.skipped:
            emit({"files": [str(skipped.path)], "state": "skipped", "reason": skipped.reason,
                  "message": skipped.message})  # fmt: skip
        return
    lines = [line for adapter in plan.adapters for line in _lines(args.to, adapter)]
    show(table(lines) if lines else [])
    versions = [version for adapter in plan.adapters for version in adapter.versions]
    for error in (error for version in versions for error in version.sidecar_errors):
        note(f"lorary: {plain(error.detail)}")
    _show_skipped(plan.skipped)
    show(
        f"{len(plan.adapters):,} adapters, {len(versions):,} versions, "
        f"{count_bytes(plan.size_bytes)}, {args.visibility}."
        if versions
        else "There is nothing to publish."
    )


def _lines(namespace: str, adapter: PlannedAdapter) -> Iterator[list[str]]:
    for version in adapter.versions:
        files = " + ".join(path.name for path in version.paths)
        facts = [
            f"{name.replace('_', ' ')}: {_text(field.best.value)} [{field.best.source}]"
            for name, field in version.fields.items()
            if name in _SHOWN
        ]
        disputed = [
            name.replace("_", " ")
            for name, field in version.fields.items()
            if name in _SHOWN and any(one.confidence != "guessed" for one in field.others)
        ]
        if disputed:
            facts.append(f"sources differ on {', '.join(disputed)}")
        yield [f"{namespace}/{adapter.name}", version.label, files, "; ".join(facts)]


def _text(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _show_skipped(skipped: tuple[Skipped, ...]) -> None:
    for one in skipped:
        if one.reason != "published":
            note(f"lorary: {plain(one.path)} is left out: {plain(one.message)}")
    counts = Counter(one.reason for one in skipped)
    if counts:
        listed = ", ".join(f"{count:,} {_REASONS[reason]}" for reason, count in counts.items())
        show(f"Left out: {listed}.")


_REASONS = {
    "broken": "that cannot be read",
    "duplicate": "with the bytes of another file",
    "not_an_adapter": "that are no adapters",
    "published": "published already",
    "same_tensors": "with the tensors of another file",
}


def _planned_document(
    namespace: str, adapter: PlannedAdapter, version: PlannedVersion
) -> dict[str, object]:
    return {
        "adapter": f"{namespace}/{adapter.name}",
        "files": list(map(str, version.paths)),
        "state": "planned",
        "label": version.label or None,
        "fields": {name: field.to_dict() for name, field in version.fields.items()},
        "previews": list(map(str, version.previews)),
        "problems": [error.detail for error in version.sidecar_errors],
    }


def _result_document(result: ImportResult) -> dict[str, object]:
    document: dict[str, object] = {
        "adapter": result.adapter,
        "files": list(map(str, result.paths)),
        "state": result.state,
        "version": result.version or None,
        "url": result.url or None,
        "previews": result.previews,
    }
    for key, error in (("error", result.error), ("preview_error", result.preview_error)):
        if error is not None:
            document[key] = {"code": error.code, "message": error.detail}
    return document


def _finish(args: Namespace, results: list[ImportResult]) -> int:
    """Report what failed and why, and return the exit code."""
    counts = Counter(result.state for result in results)
    pictures = sum(result.previews for result in results)
    if not args.json:
        show(
            f"{counts['published']:,} versions published, {counts['here']:,} were there, "
            f"{counts['failed']:,} failed; {pictures:,} pictures added."
        )
    errors: list[LoraryError] = []
    for result in results:
        for what, error in (("", result.error), (" pictures:", result.preview_error)):
            if error is not None:
                errors.append(error)
                files = " + ".join(path.name for path in result.paths)
                note(f"lorary: {plain(files)}:{what} {plain(error.detail)}")
    if errors:
        note("lorary: run the same command again to try what failed")
    return exit_code(errors[0]) if errors else 0


COMMANDS = {
    "import": Command(
        "Publish the adapters of folders with what their headers, sidecars and preview pictures\n"
        "say. It first reports what would become of each file, and where each value comes from.\n"
        "Epochs of one training run become versions of one adapter, halves of a pair one version;\n"
        "copies are left out. Nothing is published twice, and later edits on the hub stay. An\n"
        "interrupted import goes on where it was.",
        "  lorary import ~/ComfyUI/models/loras --to ada --dry-run\n"
        "  lorary import loras/ --to studio --yes --json | jq -r 'select(.error) | .files[]'",
        _configure,
        _import,
    ),
}
