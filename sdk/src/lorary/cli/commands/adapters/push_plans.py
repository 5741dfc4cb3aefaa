"""push of a folder, and dry runs of files."""

from __future__ import annotations

import contextlib
from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from lorary import library
from lorary.anatomy import Finding
from lorary.cli.command import UsageError
from lorary.cli.commands.adapters.new_adapter_options import note_kept, require_same_adapter
from lorary.cli.commands.adapters.push import OPTIONS
from lorary.cli.commands.library.scan import roots_of
from lorary.cli.output.progress import meter
from lorary.cli.output.publications import KEPT, facts_of, finish, result_document
from lorary.cli.output.push_report import Questions, RunReport, checks_document, show_files
from lorary.cli.output.text import emit, note
from lorary.client.config import home_of
from lorary.client.errors import SettingInvalid
from lorary.client.finding.by_hash import find_hashes
from lorary.client.names import Reference
from lorary.client.transfers import publishing
from lorary.client.transfers.cache import digest_file
from lorary.client.transfers.cards import states_licence
from lorary.client.transfers.details import require_known_family
from lorary.file_locks import exclusive
from lorary.library.importing.fields import Field
from lorary.library.sidecars.reading import Value

if TYPE_CHECKING:
    from lorary.anatomy import Inspection
    from lorary.client import Details
    from lorary.client.finding.by_hash import Match
    from lorary.library.importing.fields import Fields
    from lorary.library.importing.publishing import ImportResult

_MOST_PLACES = 3
_OFFERED = frozenset({"published", "yanked"})  # states of versions that can be downloaded


def push_folder(args: Namespace, target: Reference, details: Details) -> int:
    """Publish the files of a folder as versions of one adapter."""
    if args.draft or args.wait:
        message = "--draft and --wait are for files, not for a folder"
        raise UsageError(message)
    home, roots = home_of(), roots_of(args.files)
    with (
        contextlib.nullcontext() if args.dry_run else _alone(home, target),
        library.Hubs(args.endpoint) as hubs,
        library.Index(home) as index,
    ):
        session = hubs.session()
        account = publishing.read_account(session)  # refuses a wrong token before files are read
        require_known_family(session, details.family, "Nothing was sent.")
        adapter = publishing.existing(session, target, details.visibility)
        if adapter is None:
            publishing.require_namespace(account, target.owner)
        else:
            target = Reference.parse(adapter.full_name)  # it may have been renamed
        with meter(lambda _: "Nothing was sent.") as draw:
            scanned = library.scan(index, roots, session, refresh=True, on_progress=draw)
        if scanned.failure is not None:
            raise scanned.failure
        rows = library.rows(index, session.endpoint, library.Filters(roots=roots))
        with library.Journal(home, session.endpoint, target.full_name) as journal:
            given, entries = _given(details), journal.entries()
            run = library.plan_run(rows, roots[0], target, given, entries)
            _require_one_for_label(details, run)
            if run.adapter.versions:
                require_same_adapter(args, details, adapter, lambda: run.is_begun)
            elif run.here:
                note_kept(details, adapter)
            report = RunReport(run, Questions(target, adapter, details.visibility), args)
            publishing.require_family(report.looked.items(), details.family)
            report.show()
            if args.dry_run or not run.adapter.versions:
                return report.code
            report.require_meant()
            place = library.ImportTarget(target.owner, details.visibility, is_push=True)
            importer = library.Importer(session, journal, place, account)
            importer.know(target.name, adapter)
            results: list[ImportResult] = []
            with meter(lambda _: KEPT, is_resumable=True) as draw:
                for result in importer.run(library.Plan((run.adapter,), ()), on_progress=draw):
                    results.append(result)
                    if args.json:
                        emit(result_document(result))
    return max(finish(results, is_json=args.json), report.code)


@contextlib.contextmanager
def _alone(home: Path, target: Reference) -> Iterator[None]:
    """Wait for another push to an adapter: a trainer may start one while an earlier one runs."""
    folder = home / "pushes"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        message = f"{folder} cannot be written: {error.strerror}."
        raise SettingInvalid(message) from error

    def say_waiting() -> None:
        note(f"lorary: waiting for another push to {target.full_name}")

    name = f"{target.owner}--{target.name}.lock".casefold()
    with exclusive(folder / name, say_waiting):
        yield


def _given(details: Details) -> Fields:
    """Return the values of options."""
    values = {name: getattr(details, name) for name in OPTIONS}
    listed = {name: tuple(one) if isinstance(one, list) else one for name, one in values.items()}
    return {
        name: Field(Value(name, value, OPTIONS[name], "declared"))
        for name, value in listed.items()
        if value not in {"", (), None}
    }


def _require_one_for_label(details: Details, run: library.Run) -> None:
    if details.label and len(run.adapter.versions) + len(run.here) > 1:
        message = "--label is for one version; the versions of a run are named by epoch or step"
        raise UsageError(message)


def dry_run(args: Namespace, target: Reference, details: Details) -> int:
    """Report what a push of files would publish; nothing is sent."""
    places, fields = [Path(file) for file in args.files], _given(details)
    with library.Hubs(args.endpoint) as hubs:
        session = hubs.session()
        account = publishing.read_account(session)
        checked = publishing.check(session, target, places, details)
        if checked.adapter is None:
            publishing.require_namespace(account, target.owner)
        digests = [digest_file(place) for place, _ in checked.inspections]
        known = find_hashes(session, digests)
    is_begun = checked.adapter is not None and any(
        one.is_file_of(checked.adapter.full_name) for matches in known.values() for one in matches
    )
    require_same_adapter(args, details, checked.adapter, lambda: is_begun)
    version = _version_of(checked, [known[sha256] for sha256 in digests])
    looked = [one for _, one in checked.inspections]
    own = checked.adapter.full_name if checked.adapter else target.full_name  # it may be renamed
    if others := _elsewhere(own, known):
        looked[0] = replace(looked[0], findings=(*looked[0].findings, _known(others)))
    words = {"trigger_words"} if any(map(_has_words, looked)) else set()
    licence = {"licence"} if checked.licence or states_licence(places) else set()
    stated = {*fields, *words, *licence}
    questions = Questions(target, checked.adapter, details.visibility)
    if not args.json:
        names = " + ".join(place.name for place in places)
        is_titled = checked.adapter is not None or "title" in fields
        facts = [*([] if is_titled else [f"title: {checked.title}"]), *facts_of(fields)]
        show_files(questions, names, version, facts, looked, stated)
        return 0
    emit(
        {
            "adapter": target.full_name,
            "files": args.files,
            "state": "here" if version else "planned",
            "version": version or None,
            "fields": {name: field.to_dict() for name, field in fields.items()},
            **checks_document(looked, () if version else questions.of(looked, stated)),
        }
    )
    return 0


def _elsewhere(own: str, known: Mapping[str, Sequence[Match]]) -> list[str]:
    """Return the versions of other adapters that offer the weights, as ``owner/name v1``."""
    wanted = own.casefold()
    places = {
        f"{one.version.adapter} {one.version.name}": None
        for matches in known.values()
        for one in matches
        if one.is_same_file
        and one.version.state in _OFFERED
        and one.version.adapter.casefold() != wanted
    }
    return [*places]


def _known(places: Sequence[str]) -> Finding:
    """Return the finding of the hub for weights that are already published."""
    named = ", ".join(places[:_MOST_PLACES])
    message = f"These weights are already published: {named}. A link to them may be enough."
    return Finding("weights_known", "warning", message, {"count": len(places)})


def _version_of(checked: publishing.Checked, known: Sequence[Sequence[Match]]) -> str:
    """Return the version of the adapter that has these weights; empty for none."""
    if checked.adapter is None:
        return ""
    adapter = checked.adapter
    shared = [
        {one.version.name for one in matches if one.is_file_of(adapter.full_name)}
        for matches in known
    ]
    return min(set.intersection(*shared), default="")


def _has_words(one: Inspection) -> bool:
    words = one.anatomy.trigger_words if one.anatomy else ()
    return any(word.confidence != "low" for word in words)
