"""Publishes a plan: retries what fails for a while, and reports what failed for good."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from lorary.client.errors import (
    FileMissing,
    Forbidden,
    Gone,
    LoraryError,
    NotFound,
    QuotaExceeded,
    RateLimited,
    StorageAway,
    StorageFull,
    Unauthenticated,
    Unreachable,
    reading_file,
)
from lorary.client.models import Account, Adapter
from lorary.client.names import Reference
from lorary.client.progress import OnProgress, silent
from lorary.client.samples import add_sample, count_samples
from lorary.client.transfers import publishing
from lorary.client.transfers.details import Details
from lorary.client.transfers.parallel import each
from lorary.library.importing.fields import (
    Fields,
    declared_family,
    number_of,
    sources_line,
    text_of,
    texts_of,
)
from lorary.library.importing.journal import Journal
from lorary.library.importing.planning import Plan, PlannedAdapter, PlannedVersion
from lorary.library.index.walking import key_of
from lorary.limits import JOBS

if TYPE_CHECKING:
    from lorary.anatomy import Finding
    from lorary.client.http.session import Session
    from lorary.library.sidecars.reading import Value

State = Literal["published", "here", "failed"]

#: Errors that may be gone after a while, and those after which nothing else would succeed.
_PASSING = (Unreachable, RateLimited, StorageAway)
_FINAL = (Unauthenticated, QuotaExceeded, StorageFull)
_PAUSES_S = (30.0, 120.0, 600.0)
_FIELDS = ("title", "card", "tags", "kind", "licence", "rating")
_VERSION_FIELDS = ("trigger_words", "strength", "lineage", "family")
_MOST_NOTES = 20_000
_MOST_NAMES = 5  # of adapters in a message


@dataclass(frozen=True, slots=True)
class ImportResult:
    """What became of a planned version.

    Attributes:
        state: ``published``, ``here``: it was published before, or ``failed``.
        version: The version on the hub; empty if it failed.
        previews: Number of pictures that were added.
        error: Why it failed; None if it did not.
        preview_error: Why pictures were not added; None if they were.
        visibility: That of the adapter, if it is not the one of the import; else empty.
    """

    paths: tuple[Path, ...]
    adapter: str
    state: State
    version: str = ""
    url: str = ""
    previews: int = 0
    error: LoraryError | None = None
    preview_error: LoraryError | None = None
    visibility: str = ""


@dataclass(frozen=True, slots=True)
class ImportTarget:
    """Where to publish.

    Attributes:
        namespace: The owner of the adapters.
        visibility: ``private``, ``unlisted`` or ``public``; empty for that of an existing adapter,
            and ``public`` for a new one.
        is_push: A person pushes one adapter. They have seen its findings, may push again soon, and
            their trainer may write more pictures until then.
    """

    namespace: str
    visibility: str = "private"
    is_push: bool = False


class Importer:
    """Publishes planned adapters to a namespace.

    Args:
        account: The account of the session.

    """

    def __init__(
        self, session: Session, journal: Journal, target: ImportTarget, account: Account
    ) -> None:
        self._session = session
        self._journal = journal
        self._target = target
        self._account = account
        self._adapters: dict[str, Adapter | None] = {}  # as the hub has them
        self._stop: LoraryError | None = None
        self._picture_stop: LoraryError | None = None
        self._new: dict[tuple[Path, ...], ImportResult] = {}  # what this import published

    def know(self, name: str, adapter: Adapter | None) -> None:
        """Take what the hub said about an adapter; None if it does not exist."""
        self._adapters[name] = adapter

    def visibilities_of(self, planned: Plan) -> dict[str, str]:
        """Return name → visibility of the adapters of a plan that exist, as far as it is known."""
        found: dict[str, str] = {}
        for adapter in planned.adapters:
            if adapter.is_known:
                # A plan reports what it can; publishing reports the error and retries.
                with contextlib.suppress(LoraryError):
                    there = self._there(Reference(self._target.namespace, adapter.name))
                    if there is not None:
                        is_kept = self._is_kept(there)
                        found[adapter.name] = (
                            there.visibility if is_kept else self._target.visibility
                        )
        return found

    def require_covered(self, planned: Plan) -> None:
        """Check that the token covers each adapter of a plan; nothing is sent or created.

        Raises:
            Forbidden: it is for one adapter, and the plan has others.
        """
        bound = self._account.bound_adapter
        if not bound:
            return
        names: list[str] = []
        for adapter in planned.adapters:
            name = self._name(adapter)
            if name.casefold() != bound.casefold():
                names.append(name)
            elif not adapter.is_known and self._is_taken(adapter):
                names.append(self._name(adapter.renamed()))
        if names:
            more = f" and {len(names) - _MOST_NAMES:,} more" if len(names) > _MOST_NAMES else ""
            message = (
                f"This token is for {bound} alone. It does not cover "
                f"{', '.join(names[:_MOST_NAMES])}{more}. Nothing was sent. If the files are "
                f"versions of {bound}, publish them with `lorary push DIR --to {bound}`."
            )
            raise Forbidden(message, facts={"adapters": names, "bound_to": bound})

    def run(
        self, planned: Plan, *, jobs: int = JOBS, on_progress: OnProgress = silent
    ) -> Iterator[ImportResult]:
        """Publish a plan, and yield the results of each adapter as it is finished."""
        self._journal.plan(
            (_digests(version), adapter.name)
            for adapter in planned.adapters
            for version in adapter.versions
        )
        waiting: Sequence[PlannedAdapter] = planned.adapters
        pauses_s = () if self._target.is_push else _PAUSES_S
        for pause_s in (*pauses_s, None):
            again: list[PlannedAdapter] = []
            results = each(
                waiting, self._publish, on_progress=on_progress, jobs=jobs,
                abort=self._session.abort,
            )  # fmt: skip
            for adapter, found in results:
                failed = [found] if isinstance(found, LoraryError) else [r.error for r in found]
                if pause_s is not None and any(isinstance(one, _PASSING) for one in failed):
                    again.append(adapter)
                    continue
                yield from self._failed(adapter, found) if isinstance(found, LoraryError) else found
            if not again:
                return
            waiting = again
            self._session.backoff.sleep(pause_s or 0)

    def _failed(self, adapter: PlannedAdapter, error: LoraryError) -> Iterator[ImportResult]:
        for version in adapter.versions:
            yield ImportResult(version.paths, self._name(adapter), "failed", error=error)

    def _name(self, adapter: PlannedAdapter) -> str:
        return f"{self._target.namespace}/{adapter.name}"

    def _publish(self, adapter: PlannedAdapter, on_progress: OnProgress) -> list[ImportResult]:
        """Publish the versions of an adapter in their order.

        After an error that is not the fault of one file, the others are left for later.
        """
        adapter = self._placed(adapter)
        results: list[ImportResult] = []
        error: LoraryError | None = None
        for version in adapter.versions:
            if error is None:
                error = self._stop
            if error is None:
                try:
                    results.append(self._publish_version(adapter, version, on_progress))
                    continue
                except LoraryError as failure:
                    error = failure
                    self._adapters.pop(adapter.name, None)  # it may be another one by now
                    if isinstance(failure, _FINAL):
                        self._stop = failure
            results.append(ImportResult(version.paths, self._name(adapter), "failed", error=error))
            if not isinstance(error, (*_PASSING, *_FINAL, Forbidden)):
                error = None  # the fault of this file alone
        return results

    def _placed(self, adapter: PlannedAdapter) -> PlannedAdapter:
        """Return an adapter with a name that is free, or that it got earlier."""
        if adapter.is_known:
            return adapter
        entries = (self._journal.version_of(_digests(one)) for one in adapter.versions)
        if entry := next((one for one in entries if one is not None), None):
            return replace(adapter, name=entry.adapter)
        return self._renamed(adapter) if self._is_taken(adapter) else adapter

    def _is_taken(self, adapter: PlannedAdapter) -> bool:
        """Return whether another adapter on the hub has the name."""
        name = Reference(self._target.namespace, adapter.name)
        try:
            found = Adapter.read(self._session.json("GET", name.api_path))
        except Gone:  # its name is not free either: the hub refuses it later
            return False
        except NotFound:
            self._adapters[adapter.name] = None
            return False
        # Without a version or a draft, it was probably created by an import that was killed.
        has_versions = bool(found.latest_version or found.data.get("versions"))
        if has_versions and not adapter.name.endswith(adapter.mark):
            return True
        self._adapters[adapter.name] = found
        return False

    def _renamed(self, adapter: PlannedAdapter) -> PlannedAdapter:
        other = adapter.renamed()
        for version in other.versions:
            self._journal.write(_digests(version), other.name, None)
        return other

    def _publish_version(
        self, adapter: PlannedAdapter, version: PlannedVersion, on_progress: OnProgress
    ) -> ImportResult:
        digests = _digests(version)
        done = self._journal.version_of(digests)
        if done is not None:
            full_name = f"{self._target.namespace}/{done.adapter}"
            here = ImportResult(version.paths, full_name, "here", done.version)
            result = self._new.get(version.paths, here)
            is_done = done.pictures >= (len(version.previews) if self._target.is_push else 1)
            return result if is_done else self._with_previews(version, result, done.pictures)
        if version.published:
            here = ImportResult(version.paths, self._name(adapter), "here", version.published)
            return self._with_previews(version, here)
        for row in version.rows:
            _require_unchanged(row.path, row.key)
        target = Reference(self._target.namespace, adapter.name)
        there = self._there(target)
        known = publishing.Known(self._account, there, is_adapter_known=True)
        pushed = publishing.push(
            self._session, target, [*version.paths, *version.attached],
            self._details(adapter, version, there), on_progress=on_progress,
            on_checked=self._require_no_leaks, is_draft=False, known=known,
        )  # fmt: skip
        if pushed.adapter is not None:  # not empty any more: later versions leave its details
            self._adapters[adapter.name] = replace(
                pushed.adapter, latest_version=pushed.version.name
            )
        self._journal.write(digests, adapter.name, pushed.version.name)
        kept = there.visibility if there is not None and self._is_kept(there) else ""
        kept = "" if kept == self._target.visibility else kept
        result = ImportResult(
            version.paths, str(target), "here" if pushed.is_repeated else "published",
            pushed.version.name, pushed.version.url, visibility=kept,
        )  # fmt: skip
        self._new[version.paths] = result
        return self._with_previews(version, result)

    def _there(self, target: Reference) -> Adapter | None:
        """Return the adapter as the hub has it; None if it does not exist."""
        if target.name not in self._adapters:
            visibility = self._target.visibility if self._target.is_push else ""
            self._adapters[target.name] = publishing.existing(self._session, target, visibility)
        return self._adapters[target.name]

    def _is_kept(self, there: Adapter | None) -> bool:
        """Return whether an adapter keeps its visibility: a person may have changed it.

        A person who pushes gets an error instead, since they named one adapter.
        """
        return there is not None and not there.is_empty and not self._target.is_push

    def _details(
        self, adapter: PlannedAdapter, version: PlannedVersion, there: Adapter | None
    ) -> Details:
        whole, own = _lacking(adapter.fields, there), version.fields
        sources = {**{key: whole[key] for key in _FIELDS if key in whole}, **own}
        is_push = self._target.is_push
        line = "" if is_push else sources_line(sources, (*_FIELDS, *_VERSION_FIELDS))
        notes = "\n\n".join(part for part in (text_of(own, "notes"), line) if part)
        return Details(
            title=text_of(whole, "title")[:120],
            kind=text_of(whole, "kind"),
            visibility="" if self._is_kept(there) else self._target.visibility,
            rating=text_of(whole, "rating"),
            card=text_of(whole, "card"),
            tags=texts_of(whole, "tags"),
            licence=text_of(whole, "licence")[:64],
            trigger_words=texts_of(own, "trigger_words"),
            optional_trigger_words=texts_of(own, "optional_trigger_words"),
            family=declared_family(own),
            lineage=text_of(own, "lineage")[:64],
            label=version.label[:48],
            notes=notes[:_MOST_NOTES],
            strength=number_of(own, "strength"),
        )

    def _require_no_leaks(self, findings: Sequence[Finding], adapter: Adapter | None) -> None:
        """Raise an error for private data in a file that others will see."""
        leaks = [one for one in findings if one.code.startswith("privacy_")]
        visibility = adapter.visibility if adapter is not None else self._target.visibility
        if leaks and visibility != "private" and not self._target.is_push:
            message = (
                "The metadata contains private data, so it was not published for others. Import "
                "it privately, or remove the data; `lorary inspect` shows it."
            )
            raise LoraryError(message, code="private_data", findings=leaks)

    def _with_previews(
        self, version: PlannedVersion, result: ImportResult, sent: int = 0
    ) -> ImportResult:
        """Add the pictures of a version that its gallery does not have yet.

        Args:
            sent: How many it got earlier; a person may have removed some of them since.
        """
        owner, name = result.adapter.split("/")
        exact = Reference(owner, name, result.version)
        count, error = 0, self._picture_stop
        if version.previews and error is None:
            try:
                here = max(sent, count_samples(self._session, exact))
                for path in version.previews[here:]:
                    add_sample(self._session, exact, path)
                    count += 1
            except LoraryError as failure:
                error = failure
                if isinstance(failure, QuotaExceeded):
                    self._picture_stop = failure
        if error is None or not version.previews:
            pictures = max(len(version.previews), 0 if self._target.is_push else 1)
            self._journal.write(_digests(version), name, result.version, pictures=pictures)
            error = None
        self._new[version.paths] = replace(
            result, previews=result.previews + count, preview_error=error
        )
        return self._new[version.paths]


def _lacking(fields: Fields, there: Adapter | None) -> Fields:
    """Return the fields of an adapter that it does not have yet, or that an option states.

    A person may have made an adapter without a version: what they wrote is not replaced.
    """
    if there is None or not there.is_empty:
        return fields
    written = {**there.data, "rating": there.maturity}
    return {
        name: field
        for name, field in fields.items()
        if not written.get(name) or _is_of_option(field.best)
    }


def _is_of_option(value: Value) -> bool:
    """Return whether a person gave a value; a title guessed from ``--to`` is not given."""
    return value.source.startswith("--") and value.confidence == "declared"


def _digests(version: PlannedVersion) -> list[str]:
    return [row.sha256 for row in version.rows]


def _require_unchanged(path: Path, key: str) -> None:
    with reading_file(path):
        is_same = key_of(path.stat()) == key
    if not is_same:
        message = f"{os.fspath(path)} was changed in the meantime. Run the same command again."
        raise FileMissing(message)
