"""import."""

from __future__ import annotations

import sys
from argparse import Namespace
from typing import TYPE_CHECKING

from lorary import library
from lorary.cli.command import Command, Parser, UsageError, add_endpoint, add_jobs
from lorary.cli.commands.adapters.push import KINDS
from lorary.cli.commands.library.scan import roots_of
from lorary.cli.output.progress import meter
from lorary.cli.output.publications import (
    KEPT,
    asked_of,
    existing_lines,
    finish,
    missing_lines,
    planned_document,
    planned_lines,
    result_document,
    show_sidecar_errors,
    show_skipped,
    skipped_document,
    summary_of,
)
from lorary.cli.output.text import emit, entries, is_confirmed, note, show
from lorary.client.config import home_of
from lorary.client.errors import LoraryError, Unauthenticated
from lorary.client.names import is_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lorary.client.http.session import Session
    from lorary.client.models import Account
    from lorary.library.importing.fields import Fields
    from lorary.library.importing.planning import Plan
    from lorary.library.importing.publishing import Importer, ImportResult


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
            help=f"make new adapters visible to {who}; by default they are private",
        )
    parser.add_argument(
        "--kind",
        default="",
        choices=KINDS,
        metavar="KIND",
        help=f"of new adapters; default: that in sidecars, else style. Kinds: {', '.join(KINDS)}",
    )
    parser.add_argument(
        "--skip-known",
        action="store_true",
        help="leave out files that an adapter of another namespace on the hub has",
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
        message = "use --yes to publish without being asked, or --dry-run to see what would be done"
        raise UsageError(message)
    with library.Hubs(args.endpoint) as hubs, library.Index(home) as index:
        session = hubs.session()
        account = _account(args, session)
        with meter(lambda _: KEPT) as draw:
            scanned = library.scan(index, roots, session, refresh=True, on_progress=draw)
        if scanned.failure is not None:
            raise scanned.failure
        with library.Journal(home, session.endpoint, args.to) as journal:
            rows = library.rows(index, session.endpoint, library.Filters(roots=roots))
            plan = library.plan(rows, args.to, journal.entries(), _given(args))
            if args.skip_known:
                plan = plan.without_known(args.to)
            will_publish = args.yes and not args.dry_run
            target = library.ImportTarget(args.to, args.visibility)
            importer = library.Importer(session, journal, target, account) if account else None
            if not (args.json and will_publish):
                _report(args, plan, importer.visibilities_of(plan) if importer else {})
            if not plan.adapters or importer is None:
                return 0
            importer.require_covered(plan)
            if not (will_publish or is_asking):
                return 0
            if is_asking and not is_confirmed("Publish this?"):
                message = "Nothing was sent."
                raise LoraryError(message, code="not_confirmed")
            results = _publish(args, importer, plan)
    return finish(results, is_json=args.json)


def _publish(args: Namespace, importer: Importer, plan: Plan) -> list[ImportResult]:
    """Publish what is planned, and report each result with ``--json``."""
    results = []
    with meter(lambda _: KEPT, is_resumable=True) as draw:
        for result in importer.run(plan, jobs=args.jobs, on_progress=draw):
            results.append(result)
            if args.json:
                emit(result_document(result))
    return results


def _account(args: Namespace, session: Session) -> Account | None:
    """Return the account, which must be allowed to publish, before any file is read.

    A plan needs no account: without a token, the namespace is not checked. A token for one adapter
    of the namespace is compared with the plan.
    """
    from lorary.client.transfers import publishing  # noqa: PLC0415 - --help does not need it

    is_plan = args.dry_run or (args.json and not args.yes)
    try:
        account = publishing.read_account(session)
    except Unauthenticated:
        if not is_plan:
            raise
        note(f"lorary: whether you may publish to {args.to} was not checked: sign in first")
        return None
    if account.bound_adapter.partition("/")[0].casefold() != args.to.casefold():
        publishing.require_namespace(account, args.to)
    return account


def _given(args: Namespace) -> Fields:
    """Return the values of options."""
    from lorary.library.importing.fields import Field  # noqa: PLC0415 - --help does not need it
    from lorary.library.sidecars.reading import Value  # noqa: PLC0415

    return {"kind": Field(Value("kind", args.kind, "--kind", "declared"))} if args.kind else {}


def _report(args: Namespace, plan: Plan, visibilities: Mapping[str, str]) -> None:
    """Report a plan.

    Args:
        visibilities: Name → visibility of adapters that exist, as far as it is known.
    """
    named = [(f"{args.to}/{one.name}", one.versions) for one in plan.adapters]
    versions = [version for _, listed in named for version in listed]
    if args.json:
        for adapter, (name, listed) in zip(plan.adapters, named, strict=True):
            seen_by = visibilities.get(adapter.name) if adapter.is_known else args.visibility
            target = {"exists": adapter.is_known, "visibility": seen_by}
            for version in listed:
                newest = {"becomes_newest": version is adapter.newest}
                asks = {"asks": [*asked_of(adapter, version)]}
                emit({**planned_document(name, version), **target, **newest, **asks})
        for skipped in plan.skipped:
            emit(skipped_document(skipped))
        return
    lines = [line for name, listed in named for line in planned_lines(name, listed)]
    show(entries(lines) if lines else [])
    show_sidecar_errors(versions)
    show_skipped(plan.skipped)
    show([*missing_lines(args.to, plan.adapters)])
    if args.visibility != "private" and any(one.reason == "published" for one in plan.skipped):
        note(
            f"lorary: --{args.visibility} is for new adapters: those that are published already "
            "keep their visibility. Change it with “Edit the card” on the adapter's page."
        )
    show([*existing_lines(args.to, plan.adapters, visibilities)])
    show(
        summary_of(args.to, plan, visibilities, args.visibility)
        if versions
        else "There is nothing to publish."
    )


COMMANDS = {
    "import": Command(
        "Publish the adapters in folders, with what their headers, sidecars and preview pictures\n"
        "say. First it reports what it would do with each file, and where each value comes from.\n"
        "Epochs of one training run become versions of one adapter, and the halves of a pair\n"
        "become one version; copies are left out. Nothing is published twice, and later edits on\n"
        "the hub stay. An interrupted import continues where it stopped.",
        "  lorary import ~/ComfyUI/models/loras --to ada --dry-run\n"
        "  lorary import loras/ --to studio --yes --json | jq -r 'select(.error) | .files[]'",
        _configure,
        _import,
    ),
}
