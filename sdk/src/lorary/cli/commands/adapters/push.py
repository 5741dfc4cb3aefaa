"""push."""

from __future__ import annotations

import importlib
import os
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from lorary import client
from lorary.cli.command import Command, Parser, UsageError, add_endpoint
from lorary.cli.commands.adapters.new_adapter_options import ask_for_version, note_kept
from lorary.cli.filters import family_id, refused_filters
from lorary.cli.output.privacy_notice import Leaks
from lorary.cli.output.progress import meter
from lorary.cli.output.text import (
    emit,
    finding_lines,
    note,
    pairs,
    plain,
    share_of_bytes,
    show,
    strong,
)
from lorary.cli.references import on_hub
from lorary.client.errors import AdapterDiffers
from lorary.client.models import RATINGS
from lorary.client.transfers.cards import states_licence

if TYPE_CHECKING:
    from lorary.anatomy import Finding
    from lorary.client import OnProgress, Progress, Pushed

KINDS = (
    "style", "character", "concept", "clothing", "pose", "object", "lighting", "tool", "other",
)  # fmt: skip
"""Kinds of adapters."""

#: Field of the details to the option that gives it.
OPTIONS = {
    "title": "--title", "kind": "--kind", "rating": "--rating", "licence": "--licence",
    "trigger_words": "--trigger",
    "optional_trigger_words": "--optional-trigger", "family": "--family", "lineage": "--lineage",
    "label": "--label", "notes": "--notes", "strength": "--strength",
}  # fmt: skip


def _configure(parser: Parser) -> None:
    parser.add_argument(
        "files",
        nargs="+",
        metavar="FILE|DIR",
        help="the weights, and files that belong to them; or one folder",
    )
    parser.add_argument(
        "--to", required=True, metavar="OWNER/NAME", help="the adapter; created if it is new"
    )
    _configure_new_adapter(parser)
    _configure_version(parser)
    end = parser.add_mutually_exclusive_group()
    end.add_argument(
        "--draft",
        action="store_true",
        help="do not publish it; push again without this option to publish",
    )
    end.add_argument(
        "--wait", action="store_true", help="wait until the previews are rendered or have failed"
    )
    parser.add_argument("--dry-run", action="store_true", help="only report what would be done")
    parser.add_argument(
        "--yes",
        action="store_true",
        help="do not ask for confirmation of a folder, or of private data in files",
    )
    add_endpoint(parser)


def _configure_new_adapter(parser: Parser) -> None:
    parser.add_argument(
        "--kind",
        default="",
        choices=KINDS,
        metavar="KIND",
        help=f"for a new adapter: {', '.join(KINDS)}",
    )
    parser.add_argument("--title", default="", help="for a new adapter")
    parser.add_argument(
        "--rating",
        default="",
        choices=RATINGS,
        metavar="RATING",
        help=f"content rating of a new adapter: {', '.join(RATINGS)}",
    )
    parser.add_argument(
        "--licence",
        default="",
        metavar="ID",
        help="licence of a new adapter, such as cc-by-4.0; default: that of README.md or the file",
    )
    visibility = parser.add_mutually_exclusive_group()
    for name, who in (
        ("private", "only its owner"),
        ("unlisted", "everyone who knows its name"),
    ):
        visibility.add_argument(
            f"--{name}",
            dest="visibility",
            action="store_const",
            const=name,
            default="",
            help=f"for a new adapter: visible to {who}",
        )


def _configure_version(parser: Parser) -> None:
    parser.add_argument(
        "--trigger",
        action="append",
        default=[],
        metavar="PHRASE",
        help="a trigger phrase; repeat for more, commas are part of the phrase",
    )
    parser.add_argument(
        "--optional-trigger",
        action="append",
        default=[],
        metavar="PHRASE",
        help="a phrase that changes the effect, but is not needed for it; repeat for more",
    )
    parser.add_argument("--family", default="", help="base model, if the file cannot prove it")
    parser.add_argument("--lineage", default="", help="checkpoint that it was trained on")
    parser.add_argument("--label", default="", help="short name of the version")
    parser.add_argument("--notes", default="", help="what is new in the version")
    parser.add_argument("--strength", type=float, help="recommended strength")


def _push(args: Namespace) -> int:
    with refused_filters(args.family):
        return _push_to(args)


def _push_to(args: Namespace) -> int:
    target = client.Reference.parse(on_hub(args, args.to))
    if target.rev:
        message = "--to needs OWNER/NAME without a version: the hub numbers it"
        raise UsageError(message)
    details = client.Details(
        title=args.title,
        kind=args.kind,
        rating=args.rating,
        licence=args.licence,
        visibility=args.visibility,
        trigger_words=args.trigger,
        optional_trigger_words=args.optional_trigger,
        family=family_id(args.family),
        lineage=args.lineage,
        label=args.label,
        notes=args.notes,
        strength=args.strength,
    )
    faults = details.faults()
    if faults:
        message = " ".join(f"{OPTIONS[name]}: {fault}" for name, fault in faults.items())
        raise UsageError(message)
    folders = [file for file in args.files if os.path.isdir(file)]  # noqa: PTH112 - a name with a zero byte is no folder, and no error
    if folders and len(args.files) > 1:
        message = "push one folder, or files"
        raise UsageError(message)
    if folders or args.dry_run:  # imported only now: it takes a while
        plans = importlib.import_module("lorary.cli.commands.adapters.push_plans")
        code: int = (plans.push_folder if folders else plans.dry_run)(args, target, details)
        return code
    with client.Hub(args.endpoint) as hub:
        leaks = Leaks(hub, target, args)
        with meter(_kept, is_resumable=True) as draw:
            pushed = _published(args, hub, target, details, leaks, _Resumptions(draw))
    if pushed.is_new and pushed.adapter is not None:
        _note_missing(args, pushed.adapter)
    if args.json:
        emit(_document(target, pushed, waited=args.wait))
    else:
        _show(target, pushed, leaks.findings, waited=args.wait)
    if pushed.is_repeated:
        note(f"lorary: {_repeated(pushed, details)}")
    elif args.draft:
        name = plain(pushed.version.name)
        note(f"lorary: {name} is a draft. Publish it on its page, or push again without --draft.")
    return 0


def _published(
    args: Namespace,
    hub: client.Hub,
    target: client.Reference,
    details: client.Details,
    leaks: Leaks,
    on_progress: OnProgress,
) -> Pushed:
    def check(found: Sequence[Finding], adapter: client.Adapter | None) -> None:
        note_kept(details, adapter)
        leaks(found, adapter)

    try:
        return hub.push(
            args.files,
            target,
            details=details,
            draft=args.draft,
            wait=args.wait,
            on_progress=on_progress,
            on_checked=check,
        )
    except AdapterDiffers as error:
        ask_for_version(args, error)
    details = replace(details, title="", kind="", rating="", licence="")
    return _published(args, hub, target, details, leaks, on_progress)


def _note_missing(args: Namespace, adapter: client.Adapter) -> None:
    """Say what was not given for a new adapter."""
    if not args.kind and adapter.kind:
        kind = plain(adapter.kind)
        note(
            f"lorary: no --kind was given, so the adapter is a {kind}; you can change this on its "
            "page"
        )
    is_stated = args.licence or adapter.licence or states_licence(map(Path, args.files))
    if not is_stated:
        note("lorary: no licence is stated (--licence); you can add one on its page")


def _kept(progress: Progress) -> str:
    """Return what an interrupted push keeps, and how to resume it."""
    if progress.stage == "hash":
        return "Nothing was sent."
    if progress.stage == "render":
        name = plain(progress.name)
        return f"{name} is published; its previews are still being rendered on the hub."
    if progress.stage == "wait":
        return "The version is published; its previews wait for a worker of the hub."
    return (
        f"The hub keeps the parts of {plain(progress.name)} that have arrived. "
        "Run the same command again to resume."
    )


def _repeated(pushed: Pushed, details: client.Details) -> str:
    """Return that nothing was published, and which details were not applied."""
    version = pushed.version
    given = {
        "trigger": (tuple(details.trigger_words), version.trigger_words),
        "optional-trigger": (
            tuple(details.optional_trigger_words),
            version.optional_trigger_words,
        ),
        "family": (details.family, version.family),
        "lineage": (details.lineage, version.lineage),
        "label": (details.label, version.label),
        "notes": (details.notes, version.notes),
        "strength": (details.strength, version.recommended_strength),
    }
    ignored = [f"--{name}" for name, (new, old) in given.items() if new not in {"", (), None, old}]
    text = f"these files are already {plain(version.name)}; nothing was published."
    if not ignored:
        return text
    name = f"{version.adapter}@{version.name}"
    return plain(f"{text} Not applied: {', '.join(ignored)}. “lorary edit {name}” changes them.")


class _Resumptions:
    """Reports, once each, that an upload is resumed, and what ``--wait`` waits for."""

    def __init__(self, draw: OnProgress) -> None:
        self._draw = draw
        self._begun: set[str] = set()
        self._awaited: set[str] = set()

    def __call__(self, progress: Progress) -> None:
        """Check the first report of each file and wait, and pass on all reports."""
        awaited = {"render": "for the previews", "wait": progress.name}.get(progress.stage, "")
        if awaited and awaited not in self._awaited:
            self._awaited.add(awaited)
            note(f"lorary: waiting {plain(awaited)}")
        if progress.stage in {"send", "check"} and progress.name not in self._begun:
            self._begun.add(progress.name)
            here = progress.total if progress.stage == "check" else progress.done
            if here:
                amount = share_of_bytes(here, progress.total)
                note(f"lorary: resuming {plain(progress.name)}: {amount} was already uploaded")
        self._draw(progress)


def _document(target: client.Reference, pushed: Pushed, *, waited: bool) -> dict[str, object]:
    version = pushed.version
    document: dict[str, object] = {
        "adapter": version.adapter or target.full_name,
        "version": version.name,
        "revision": version.revision,
        "state": version.state,
        "url": version.url,
        "files": [
            {"path": upload.path, "size": upload.size_bytes, "sha256": upload.sha256}
            for upload in pushed.uploads
        ],
        "findings": [found.to_dict() for found in pushed.findings],
    }
    if waited:
        document["previews"] = version.previews.data
    return document


def _show(
    target: client.Reference, pushed: Pushed, shown: Sequence[Finding], *, waited: bool
) -> None:
    version = pushed.version
    show(strong(plain(f"{version.adapter or target.full_name} {version.name}")))
    show(
        pairs(
            [
                ("family", version.family),
                ("words", " · ".join(version.trigger_words)),
                ("revision", version.revision),
                ("page", version.url),
            ]
        )
    )
    known = {(found.code, found.message) for found in shown}
    rest = [found for found in pushed.findings if (found.code, found.message) not in known]
    show(finding_lines(rest))
    if waited and version.previews.state != "ready":
        state, reason = plain(version.previews.state), plain(version.previews.reason)
        if state == "none" and reason:
            note(f"lorary: {reason}")
        else:
            note(f"lorary: the previews are {state}{f': {reason}' if reason else ''}")


COMMANDS = {
    "push": Command(
        "Publish files as a version. They are inspected locally first: files that would be refused "
        "are not sent, and private data is reported before anything is sent. Pushing the same "
        "files again returns the existing version unchanged.\n"
        "A folder is published as a whole: its checkpoints become versions of one adapter, in\n"
        "order and named by epoch or step, with the pictures that the trainer wrote, README.md,\n"
        "and what sidecars state. What the adapter already has is left out, so that a trainer can\n"
        "push its output folder after each checkpoint.",
        '  lorary push noir.safetensors --to studio/noir --trigger "film noir, high contrast"\n'
        "  lorary push noir.safetensors --to studio/noir --private --wait --json\n"
        "  lorary push noir.safetensors --to studio/noir --draft\n"
        "  lorary push output/ --to studio/noir --private --dry-run",
        _configure,
        _push,
    ),
}
