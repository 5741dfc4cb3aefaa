"""What a push would publish, what its checks found, and which values are missing."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lorary.anatomy import family_title, inspect_file
from lorary.cli.output.inspect_page import summary_of
from lorary.cli.output.publications import (
    KIND_ASKED,
    planned_document,
    planned_lines,
    result_document,
    show_sidecar_errors,
    show_skipped,
    skipped_document,
)
from lorary.cli.output.text import (
    count_of,
    emit,
    entries,
    finding_lines,
    is_confirmed,
    note,
    plain,
    show,
)
from lorary.client.errors import LoraryError
from lorary.client.transfers.publishing import with_configs
from lorary.library.importing.publishing import ImportResult
from lorary.sizes import count_bytes

if TYPE_CHECKING:
    from lorary.anatomy import Finding, Inspection
    from lorary.client import Adapter, Reference
    from lorary.library.importing.planning import PlannedVersion
    from lorary.library.importing.runs import Run

#: Key of a card's front matter to the field that a hub reads from it.
_OF_CARD = {
    "base_model": "family", "instance_prompt": "trigger_words", "license": "licence",
    "license_name": "licence",
}  # fmt: skip


def unique_findings(looked: Iterable[Inspection]) -> list[Finding]:
    """Return the findings of files, each once."""
    return [*{(f.code, f.message): f for one in looked for f in one.findings}.values()]


class Questions:
    """What a person could still state about new versions, and what they would be asked.

    Args:
        adapter: The adapter; None for a new one.
        visibility: The visibility of a new adapter; empty for public.
    """

    def __init__(self, target: Reference, adapter: Adapter | None, visibility: str) -> None:
        self.name = target.full_name
        self.adapter = adapter
        self.visibility = adapter.visibility if adapter else visibility or "public"

    def of(
        self, looked: Sequence[Inspection], stated: Collection[str]
    ) -> Iterator[dict[str, object]]:
        """Yield the questions about files, with the options that answer them.

        Args:
            stated: Fields that options, sidecars, headers or the card state.
        """
        unproven = [
            one.anatomy.base for one in looked if one.anatomy and not one.anatomy.base.family
        ]
        has_words = bool(self.adapter and self.adapter.trigger_words)
        if unproven and "family" not in stated:
            yield {"field": "family", "option": "--family", "choices": [*unproven[0].candidates]}
        if looked and "trigger_words" not in stated and not has_words:
            yield {"field": "trigger_words", "option": "--trigger"}
        if looked and self.adapter is None and "kind" not in stated:
            yield {**KIND_ASKED}
        if looked and self.adapter is None and "licence" not in stated:
            yield {"field": "licence", "option": "--licence"}
        if self.leaks_of(looked):
            yield {"field": "private_data", "option": "--yes"}

    def leaks_of(self, looked: Iterable[Inspection]) -> list[Finding]:
        """Return the findings about private data that others would see."""
        if self.visibility == "private":
            return []
        return [one for one in unique_findings(looked) if one.code.startswith("privacy_")]

    def lines(self, looked: Sequence[Inspection], stated: Collection[str]) -> Iterator[str]:
        """Yield the questions as lines of text."""
        for asked in self.of(looked, stated):
            choices = asked.get("choices")
            listed = " or ".join(map(family_title, choices)) if isinstance(choices, list) else ""
            what = str(asked["field"]).replace("_", " ")
            verb = "confirm" if asked["field"] == "private_data" else "missing"
            used = f"; {asked['default']} is used" if "default" in asked else ""
            yield f"  {verb}  {what}{f', {listed}' if listed else ''}{used} ({asked['option']})"

    @property
    def state(self) -> str:
        """Which adapter it will be, as text."""
        return f"{self.name} is {'' if self.adapter else 'new and '}{self.visibility}"


def checks_document(looked: Sequence[Inspection], asks: Iterable[object]) -> dict[str, object]:
    """Return anatomies, findings and questions as JSON values."""
    anatomies = [one.to_dict() for one in looked]
    return {
        "anatomy": [{k: v for k, v in one.items() if k != "findings"} for one in anatomies],
        "findings": [found.to_dict() for found in unique_findings(looked)],
        "asks": list(asks),
    }


class RunReport:
    """The report on the push of a folder.

    Raises:
        OSError: a file cannot be read.
    """

    def __init__(self, run: Run, questions: Questions, args: Namespace) -> None:
        self._run = run
        self._questions = questions
        self._args = args
        self._new = [one for one in run.adapter.versions if not one.published]
        self._looked: dict[Path, Inspection] = {}
        for version in self._new:
            self._looked |= {path: inspect_file(path) for path in version.paths}
            first = version.paths[0]
            self._looked[first] = with_configs(self._looked[first], version.attached)

    @property
    def looked(self) -> Mapping[Path, Inspection]:
        """The new files with their inspections."""
        return self._looked

    @property
    def code(self) -> int:
        """The exit code for files that cannot be published."""
        is_refused = any(one.refused for one in self._looked.values())
        is_broken = any(one.reason == "broken" for one in self._run.skipped)
        return int(is_broken or is_refused)

    def show(self) -> None:
        """Show what will be done; with ``--json``, the new versions only in a dry run."""
        if self._args.json:
            for document in self._documents():
                emit(document)
        else:
            self._show_text()

    def _documents(self) -> Iterator[dict[str, object]]:
        for version in self._new if self._args.dry_run else ():
            looked = [self._looked[path] for path in version.paths]
            yield {
                **planned_document(self._questions.name, version),
                "attached": [path.name for path in version.attached],
                **checks_document(looked, self._questions.of(looked, self._stated(version))),
            }
        for version in self._run.here:
            name = self._questions.name
            yield result_document(ImportResult(version.paths, name, "here", version.published))
        yield from map(skipped_document, self._run.skipped)

    def _stated(self, version: PlannedVersion) -> set[str]:
        keys = self._run.card.keys if self._run.card else ()
        named = {_OF_CARD[key] for key in keys if key in _OF_CARD}
        return {*self._run.adapter.fields, *version.fields, *named}

    def _show_text(self) -> None:
        run, new = self._run, self._new
        show(entries([*planned_lines(self._questions.name, new)]) if new else [])
        show_sidecar_errors(new)
        show_skipped(run.skipped)
        looked = [*self._looked.values()]
        show(finding_lines(unique_findings(looked)))
        stated = set.intersection(*map(self._stated, new)) if new else set()
        show([*self._questions.lines(looked, stated)])
        later = len(run.adapter.versions) - len(new)
        if there := len(run.here) + later:
            are = "version is" if there == 1 else "versions are"
            show(f"{there:,} {are} on the hub already.")
        if later:
            lack = "1 of them lacks" if later == 1 else f"{later:,} of them lack"
            show(f"{lack} pictures that the folder has.")
        if new:
            size = count_bytes(sum(row.size for version in new for row in version.rows))
            versions = count_of(len(new), "new version")
            pictures = count_of(sum(len(one.previews) for one in new), "picture")
            card = f", {run.card.path.name}" if run.card else ""
            show(f"{versions} ({size}), {pictures}{card}; {self._questions.state}.")
        elif not (run.here or later):
            show("There is nothing to publish.")

    def require_meant(self) -> None:
        """Ask at a terminal; with ``--json`` only about private data that others will see.

        Raises:
            LoraryError: ``not_confirmed``: the user declined.
        """
        leaks = self._questions.leaks_of(self._looked.values())
        if leaks and self._args.json:
            note("lorary: the metadata contains private data:")
            for line in finding_lines(leaks):
                note(line)
        is_asking = sys.stdin.isatty() and not self._args.yes and (leaks or not self._args.json)
        data = "Anyone who downloads the files can read the private data. " if leaks else ""
        if is_asking and not is_confirmed(f"{data}Publish this?"):
            message = "Nothing was sent."
            raise LoraryError(message, code="not_confirmed", findings=leaks)


def show_files(
    questions: Questions, names: str, version: str, facts: Sequence[str],
    looked: Sequence[Inspection], stated: Collection[str],
) -> None:  # fmt: skip
    """Show what a push of files would do.

    Args:
        version: The version that has these files; empty for none.
        facts: The title of a new adapter, and the values of options.
    """
    show(entries([([questions.name, version, names], facts)]))
    show([line for one in looked for line in summary_of(one)])
    show(finding_lines(unique_findings(looked)))
    if version:
        show(f"These files are already {plain(version)}.")
        return
    show([*questions.lines(looked, stated)])
    show(f"1 new version; {questions.state}.")
