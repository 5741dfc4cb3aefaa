"""Makes a folder have the files of a lock: plans, downloads, places, and prunes.

It is safe to kill this at any point and to run it again:

1. downloads go to the cache, where they are resumed and verified (`lorary.client.transfers`);
2. the record of the folder, ``.lorary.json``, names a file and this lock before the file is placed,
   so a file that was placed is known to be one of the lock;
3. each file is placed by a rename, and the record is completed after it.

A file that is not in the record for this lock, or that was edited since, is never replaced or
removed; one that has the right bytes already is used as it is.
"""

from __future__ import annotations

import hashlib
import logging
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import quote

from lorary.client.errors import Incomplete, LoraryError, TargetTaken, Unreachable
from lorary.client.models import File
from lorary.client.progress import OnProgress, Progress, silent
from lorary.client.transfers.cache import digest_file
from lorary.client.transfers.download import fetch
from lorary.client.transfers.folders import RECORD, Entry, Folder, existing
from lorary.client.transfers.parallel import each
from lorary.client.transfers.pulling import place_blob, remember_versions, require_room
from lorary.library.checking import hashed
from lorary.library.descriptions import Description, description_name
from lorary.library.hubs import Hubs
from lorary.library.layouts import LAYOUTS
from lorary.library.lockfile import Lock, LockedFile
from lorary.library.project import LOCK, Project
from lorary.library.sidecars.formats import PREVIEWS
from lorary.library.sidecars.requests import AT_ONCE
from lorary.library.sidecars.writing import Known, Writer, answers
from lorary.limits import JOBS

if TYPE_CHECKING:
    from lorary.client.names import Reference
    from lorary.library.sidecars.writing import Sidecar

Action = Literal["here", "add", "replace", "remove", "leave", "kept", "skipped", "failed"]
_log = logging.getLogger(__name__)
_BATCH_S = 1.0  # how long finished downloads wait, so that the record is not written for each


@dataclass(frozen=True, slots=True)
class Step:
    """What is done with one file.

    Attributes:
        action: ``here``: nothing, it is there. ``add``, ``replace``: download and place it.
            ``remove``: it is no longer locked. ``leave``: it is no longer locked and stays, without
            ``--prune`` or because it was edited. ``kept``: a sidecar that a person or a tool
            changed. ``skipped``: a sidecar that is not written now, because the hub does not
            answer; see ``error``. ``failed``: see ``error``.
        path: Its path below root.
        local_path: Its place.
        file: Its row of the lock; None if it is no longer locked, describes a pack, or is a
            sidecar.
        version: The version that is there, if it is replaced or no longer locked; for a sidecar or
            the description of a pack, the version that it describes; else empty.
        adapter: The adapter that a file that is no longer locked belongs to; else empty.
        replaces: The digest of the bytes that are replaced, if Lorary wrote them; else empty.
        bytes_fetched: Bytes received over the network.
        error: Why it failed or was skipped.
    """

    action: Action
    path: str
    local_path: Path
    file: LockedFile | None = None
    version: str = ""
    adapter: str = ""
    replaces: str = ""
    bytes_fetched: int = 0
    error: LoraryError | None = None


@dataclass(frozen=True, slots=True)
class Options:
    """How to sync; see `lorary.library.sync`."""

    prune: bool = False
    dry_run: bool = False
    force: bool = False
    verify: bool = False
    frozen: bool = False
    jobs: int = JOBS


class Sync:
    """The synchronisation of one folder with a lock."""

    def __init__(self, project: Project, lock: Lock, hubs: Hubs, options: Options) -> None:
        self._project = project
        self._hubs = hubs
        self._options = options
        self._owner = os.fspath(project.folder.resolve() / LOCK)
        self._base = LAYOUTS[lock.layout]
        self._folder = Folder(project.root.joinpath(*self._base.split("/")))
        self._cache = hubs.cache.for_target(self._folder.root)
        self._rows = {self._name(row): row for row in lock.files}
        self._writer = Writer(
            self._folder, project.sidecars, lock=self._owner, may_replace=options.force
        )
        self._away: dict[str, Unreachable] = {}
        self._packs = {description_name(pack): pack for pack in lock.packs}

    def _name(self, row: LockedFile) -> str:
        """Return the path of a file below the folder of the layout."""
        return row.path.removeprefix(f"{self._base}/") if self._base else row.path

    def run(self, on_progress: OnProgress = silent) -> Iterator[Step]:
        """Yield each step when it is done; with ``dry_run``, as it would be done.

        Raises:
            TargetUnusable: files cannot be written to the folder; nothing was downloaded.
            DiskFull: there is no room for all files; nothing was downloaded.
        """
        self._folder.load()
        steps = self._plan(self._rows, on_progress)
        wanted = [step for step in steps if step.action in {"add", "replace"}]
        failed = {step.path for step in steps if step.action == "failed"}
        yield from (step for step in steps if step.action in {"here", "failed"})
        if self._options.dry_run:
            yield from wanted
            self._expect(step for step in steps if step.action != "failed")
        elif wanted:
            self._check(wanted)
            for step in self._bring(wanted, on_progress):
                failed |= {step.path} if step.action == "failed" else set()
                yield step
        if not self._options.dry_run:
            self._adopt(step for step in steps if step.action == "here")
        yield from self._describe()
        if self._project.sidecars:
            names = [name for name in self._rows if self._may_have_sidecars(name)]
            fine = [name for name in names if self._rows[name].path not in failed]
            yield from self._sidecars(fine, on_progress)
            yield from self._changed_beside(sorted(set(names) - set(fine)))
        yield from self._leftovers()

    def _plan(self, rows: Mapping[str, LockedFile], on_progress: OnProgress) -> list[Step]:
        """Return a step for each row; files are hashed only if size and time do not tell."""
        unsure = [name for name, row in rows.items() if not self._is_clear(name, row)]
        places = {name: self._folder.place(name) for name in unsure}
        digests = dict(hashed(places, on_progress))
        return [self._step(name, row, digests.get(name)) for name, row in rows.items()]

    def _is_clear(self, name: str, row: LockedFile) -> bool:
        """Return whether no file has to be hashed to know what is at a name."""
        place, entry = self._folder.place(name), self._folder.entries.get(name)
        try:
            found = place.stat()
        except OSError:
            return True
        if entry is not None and entry.fits(found):
            return not self._options.verify
        if entry is not None and (entry.replaces or found.st_size == entry.size):
            return False
        return found.st_size != row.size or not place.is_file()

    def _step(self, name: str, row: LockedFile, digest: str | None) -> Step:
        place, entry = self._folder.place(name), self._folder.entries.get(name)
        if not os.path.lexists(place):
            return Step("add", row.path, place, row)
        is_as_recorded = entry is not None and entry.is_at(place)
        if entry is not None and digest is None and is_as_recorded:
            digest = entry.sha256
        if digest == row.sha256:
            return Step("here", row.path, place, row)
        if entry is not None:
            is_own = entry.lock == self._owner or self._has_moved(entry, row)
            is_own = is_own and digest in {entry.sha256, entry.replaces}
            is_damaged = is_as_recorded and entry.sha256 == row.sha256
            if digest and (is_own or is_damaged):
                return Step("replace", row.path, place, row, entry.version, replaces=digest)
        if self._options.force and not place.is_dir():
            return Step("replace", row.path, place, row)
        return Step("failed", row.path, place, row, error=_taken(place, entry, self._owner))

    def _has_moved(self, entry: Entry, row: LockedFile) -> bool:
        """Return whether a file of this adapter was written for a lock that is no longer there."""
        if entry.lock in {"", self._owner} or entry.adapter != row.name:
            return False
        return not Path(entry.lock).exists()

    def _check(self, wanted: Sequence[Step]) -> None:
        """Check folder and disks before anything is downloaded."""
        self._folder.check()
        cache = self._cache
        files = list({_row(step).sha256: _file(_row(step)) for step in wanted}.values())
        require_room(cache.root, sum(map(cache.missing_bytes, files)))
        devices = {existing(place).stat().st_dev for place in (cache.root, self._folder.root)}
        if len(devices) > 1:  # files are copied, not linked
            require_room(self._folder.root, sum(_row(step).size for step in wanted))

    def _bring(self, wanted: Sequence[Step], on_progress: OnProgress) -> Iterator[Step]:
        """Download files in parallel, and place them in batches."""
        same: dict[str, list[Step]] = {}
        for step in wanted:
            same.setdefault(_row(step).sha256, []).append(step)
        self._remember(_row(step) for step in wanted)
        for steps in same.values():  # announces the whole amount
            row = _row(steps[0])
            on_progress(Progress("fetch", row.path, 0, row.size))
        batch: list[Step] = []
        due = time.monotonic() + _BATCH_S
        results = each(
            [steps[0] for steps in same.values()],
            self._fetch,
            on_progress=on_progress,
            jobs=self._options.jobs,
            abort=self._hubs.abort,
        )
        for first, result in results:
            steps = same[_row(first).sha256]
            if isinstance(result, LoraryError):
                yield from (replace(step, action="failed", error=result) for step in steps)
                continue
            batch += [replace(first, bytes_fetched=result), *steps[1:]]
            if time.monotonic() >= due:
                yield from self._place(batch)
                batch, due = [], time.monotonic() + _BATCH_S
        yield from self._place(batch)

    def _remember(self, rows: Iterable[LockedFile]) -> None:
        """Let the cache know the versions of the files that it lacks, as after a pull."""
        missing: dict[str, list[Reference]] = {}
        for row in rows if self._cache.is_kept else ():
            if self._cache.missing_bytes(_file(row)):
                missing.setdefault(row.hub, []).append(row.reference)
        for hub, references in missing.items():
            session = self._hubs.session(hub)
            remember_versions(session, self._cache, references, self._hubs.versions)

    def _fetch(self, step: Step, on_progress: OnProgress) -> int:
        row = _row(step)
        session = self._hubs.session(row.hub)
        rehash = self._options.verify
        return fetch(session, self._cache, _file(row), rehash=rehash, on_progress=on_progress)

    def _place(self, batch: Sequence[Step]) -> Iterator[Step]:
        """Place downloaded files, unless another process has put something there meanwhile."""
        if not batch:
            return
        with self._folder.locked():
            names = {self._name(_row(step)): step for step in batch}
            now = self._plan({name: self._rows[name] for name in names}, silent)
            ready = {
                name: replace(step, bytes_fetched=before.bytes_fetched)
                for step, (name, before) in zip(now, names.items(), strict=True)
            }
            fine = {name: step for name, step in ready.items() if step.action != "failed"}
            for name, step in fine.items():
                if step.action != "here":
                    entry = self._entry(self._rows[name], 0)
                    self._folder.entries[name] = replace(entry, replaces=step.replaces)
            self._folder.save(fine)
            for name, step in ready.items():
                ready[name] = self._put(name, step)
            self._folder.save()
            self._cache.discard([_row(step).sha256 for step in batch])
        yield from ready.values()

    def _put(self, name: str, step: Step) -> Step:
        row = self._rows[name]
        if step.action not in {"add", "replace"}:
            return replace(step, action="add") if step.action == "here" else step
        try:
            place_blob(
                self._cache, row.sha256, step.local_path, refetch=lambda: self._fetch(step, silent)
            )
        except LoraryError as error:
            return replace(step, action="failed", error=error)
        mtime_ns = step.local_path.stat().st_mtime_ns
        self._folder.entries[name] = self._entry(row, mtime_ns)
        return step

    def _entry(self, row: LockedFile, mtime_ns: int) -> Entry:
        return Entry(
            hub=row.hub,
            adapter=row.name,
            version=row.version,
            revision=row.revision,
            path=row.file,
            sha256=row.sha256,
            size=row.size,
            mtime_ns=mtime_ns,
            lock=self._owner,
        )

    def _adopt(self, here: Iterable[Step]) -> None:
        """Record files that were there, so that they are not hashed again next time."""
        new = {}
        for step in here:
            row = _row(step)
            name = self._name(row)
            entry = self._folder.entries.get(name)
            is_known = entry is not None and entry.is_at(step.local_path)
            if not is_known or (entry is not None and self._has_moved(entry, row)):
                new[name] = step
        if not new:
            return
        with self._folder.locked():
            for name, step in new.items():
                entry = self._folder.entries.get(name)
                row = self._rows[name]
                try:
                    found = step.local_path.stat()
                except OSError:  # removed meanwhile
                    continue
                if entry is not None and entry.fits(found) and entry.sha256 != row.sha256:
                    continue  # replaced meanwhile
                fresh = self._entry(row, found.st_mtime_ns)
                if entry is None or entry.sha256 != row.sha256:
                    fresh = replace(fresh, lock="")  # written by somebody else
                elif not self._has_moved(entry, row):
                    fresh = replace(fresh, lock=entry.lock)
                self._folder.entries[name] = fresh
            self._folder.save()

    def _expect(self, steps: Iterable[Step]) -> None:
        """Act as if files were placed, so that a dry run knows what would be written for them."""
        for step in steps:
            name = self._name(_row(step))
            if step.action != "here" or name not in self._folder.entries:
                self._folder.entries[name] = self._entry(_row(step), 0)

    def _describe(self) -> Iterator[Step]:
        """Write how each pack is used to a file beside its weights, once these are there."""
        for name, pack in self._packs.items():
            files = {row.sha256: place for row, place in self._places() if pack.name in row.packs}
            if not self._options.dry_run and not all(map(Path.is_file, files.values())):
                continue
            root, may_replace = self._folder.root, self._options.force
            description = Description(pack, root, files, may_replace=may_replace)
            path = f"{self._base}/{name}".lstrip("/")
            step = Step("here", path, description.place, version=pack.version)
            try:
                step = replace(step, action=self._write(description, name, pack.hub))
            except LoraryError as error:
                step = replace(step, action="failed", error=error)
            yield step

    def _write(self, description: Description, name: str, hub: str) -> Action:
        """Write the description of a pack if it is due, and return what was done."""
        action, is_forced = description.action(self._folder.entries.get(name)), self._options.force
        if action == "here" or (self._options.dry_run and action != "compare"):
            return action
        try:
            content = description.content(self._hubs.session(hub), self._cache)
        except LoraryError:
            if action == "compare" and not is_forced:
                return "here"
            raise
        owner = self._owner
        if action == "compare":
            is_same = _digest(description.place) == hashlib.sha256(content).hexdigest()
            if not is_same and not is_forced:
                return "here"
            # As with weights, one that was there already is recorded as somebody else's.
            action, owner = ("here", "") if is_same else ("replace", owner)
        if not self._options.dry_run:
            self._folder.write({name: (description.entry(owner), content)})
        return action

    def _may_have_sidecars(self, name: str) -> bool:
        """Return whether weights are there, and are recorded as those of the locked adapter."""
        entry = self._folder.entries.get(name)
        if entry is None or entry.adapter != self._rows[name].name:
            return False
        return self._options.dry_run or self._folder.place(name).is_file()

    def _sidecars(self, names: Sequence[str], on_progress: OnProgress) -> Iterator[Step]:
        """Write what tools keep beside weights.

        The hub is also asked about files that are there, unless the lock is frozen: its facts
        change, and previews are rendered after a version is published.
        """
        planned = {name: self._writer.plan(name) for name in names}
        due = {name for name, files in planned.items() if any(one.is_due for one in files)}
        others = planned.keys() - due if not self._options.frozen else set[str]()
        hubs = {self._folder.entries[name].hub for name in others}
        at_hand = {hub for hub in hubs if answers(self._hubs.session(hub))}
        due |= {name for name in others if self._folder.entries[name].hub in at_hand}
        for name, files in planned.items():
            if name not in due:
                yield from self._beside(name, files)
        bare = 0
        for name, found in self._known([name for name in planned if name in due], on_progress):
            steps = list(self._written(name, found))
            yield from steps
            is_first = any(step.action == "add" for step in steps)
            bare += is_first and not any(step.path.endswith(PREVIEWS) for step in steps)
        if bare and not self._options.dry_run:
            have = "has" if bare == 1 else "have"
            _log.info("%d of the new files %s no picture yet; a later sync adds one.", bare, have)

    def _changed_beside(self, failed: Iterable[str]) -> Iterator[Step]:
        """Yield the sidecars of failed weights that a person or a tool changed."""
        for name in failed:
            rows = (one for one in self._writer.plan(name) if one.action == "kept")
            yield from self._beside(name, rows)

    def _known(
        self, names: Sequence[str], on_progress: OnProgress
    ) -> Iterator[tuple[str, Known | LoraryError]]:
        """Yield what hubs know about weights; each is asked once for all files of a version."""
        hubs: dict[str, dict[tuple[str, str], list[str]]] = {}
        for name in names:
            entry = self._folder.entries[name]
            versions = hubs.setdefault(entry.hub, {})
            versions.setdefault((entry.adapter, entry.revision), []).append(name)
        done, total = 0, sum(map(len, hubs.values()))
        jobs, abort = self._options.jobs, self._hubs.abort
        for hub, versions in hubs.items():
            groups = list(versions.values())
            for first in range(0, len(groups), AT_ONCE):
                batch = groups[first : first + AT_ONCE]
                if hub not in self._away:
                    self._writer.expect(self._hubs.session(hub), [names[0] for names in batch])
                results = each(batch, self._ask, on_progress=silent, jobs=jobs, abort=abort)
                for weights, found in results:
                    done += 1
                    on_progress(Progress("check", "sidecars", done, total))
                    if isinstance(found, LoraryError):
                        yield from ((name, found) for name in weights)
                    else:
                        yield from zip(weights, found, strict=True)

    def _ask(self, weights: Sequence[str], _report: OnProgress) -> list[Known]:
        hub = self._folder.entries[weights[0]].hub
        if hub in self._away:  # it is not waited for again
            raise self._away[hub]
        try:
            session = self._hubs.session(hub)
            return self._writer.ask(session, weights, is_plan=self._options.dry_run)
        except Unreachable as error:
            self._away[hub] = error
            raise

    def _written(self, name: str, found: Known | LoraryError) -> Iterator[Step]:
        """Write the sidecars of weights, and yield their steps."""
        if isinstance(found, LoraryError):
            yield from self._unasked(name, found)
            return
        do = self._writer.compare if self._options.dry_run else self._writer.write
        try:
            sidecars = do(name, found)
        except LoraryError as error:
            yield self._failed(name, error)
        else:
            yield from self._beside(name, sidecars)

    def _unasked(self, name: str, error: LoraryError) -> Iterator[Step]:
        """Yield the steps of sidecars whose facts cannot be asked for."""
        planned = self._writer.plan(name)
        if self._options.dry_run or not any(one.is_due for one in planned):
            yield from self._beside(name, planned)
        elif isinstance(error, Unreachable):  # the weights are right, and can be used
            for one, step in zip(planned, self._beside(name, planned), strict=True):
                yield replace(step, action="skipped", error=error) if one.is_due else step
        else:
            yield self._failed(name, error)

    def _failed(self, name: str, error: LoraryError) -> Step:
        """Return one step for all sidecars of weights."""
        (step,) = self._beside(name, self._writer.plan(name)[:1])
        return replace(step, action="failed", error=error)

    def _beside(self, weights: str, sidecars: Iterable[Sidecar]) -> Iterator[Step]:
        """Yield the steps of sidecars."""
        version = self._rows[weights].version
        for one in sidecars:
            path = f"{self._base}/{one.name}".lstrip("/")
            yield Step(one.action, path, self._folder.place(one.name), version=version)

    def _places(self) -> Iterator[tuple[LockedFile, Path]]:
        return ((row, self._folder.place(name)) for name, row in self._rows.items())

    def _leftovers(self) -> Iterator[Step]:
        """Yield files of former locks, in the folder of any layout; remove them if asked to."""
        seen: set[tuple[int, int]] = set()
        for base in dict.fromkeys((self._base, *LAYOUTS.values())):
            is_own = base == self._base
            place = self._project.root.joinpath(*base.split("/"))
            folder = self._folder if is_own else Folder(place)
            if not (folder.root / RECORD).is_file():
                continue
            found = folder.root.stat()
            if (found.st_dev, found.st_ino) in seen:  # names of one folder, where case is ignored
                continue
            seen.add((found.st_dev, found.st_ino))
            if not is_own:  # it was loaded
                folder.load()
            kept = self._kept if is_own else frozenset[str]()
            names = [
                name
                for name, entry in folder.entries.items()
                if entry.lock == self._owner and name not in kept and folder.place(name).is_file()
            ]
            if names and self._options.prune and not self._options.dry_run:
                with folder.locked():
                    yield from self._remove(folder, base, names)
                    folder.save()
            else:
                yield from (self._leftover(folder, base, name) for name in names)

    @cached_property
    def _kept(self) -> frozenset[str]:
        """The names that belong to the lock."""
        names = {*self._rows, *self._packs}
        if self._project.sidecars:
            names.update(*(self._writer.names(name) for name in self._rows))
        return frozenset(names)

    def _remove(self, folder: Folder, base: str, names: Sequence[str]) -> Iterator[Step]:
        for name in names:
            entry = folder.entries.get(name)
            if entry is None or entry.lock != self._owner:  # removed or taken over meanwhile
                continue
            step = self._leftover(folder, base, name)
            if step.action == "remove":
                step.local_path.unlink(missing_ok=True)
                folder.entries.pop(name, None)
            yield step

    def _leftover(self, folder: Folder, base: str, name: str) -> Step:
        """Return what to do with a file that is no longer locked; an edited one stays."""
        entry, place = folder.entries[name], folder.place(name)
        ours = {entry.sha256, entry.replaces} - {""}
        is_intact = self._options.prune and _digest(place) in ours
        path = f"{base}/{name}".lstrip("/")
        action: Action = "remove" if is_intact else "leave"
        return Step(action, path, place, version=entry.version, adapter=entry.adapter)


def failures(steps: Iterable[Step]) -> Incomplete | None:
    """Return the error for the steps that failed; None if there are none."""
    failed = (step for step in steps if step.action == "failed")
    errors = {step.path: step.error for step in failed if step.error is not None}
    if not errors:
        return None
    listed = "; ".join(f"{name}: {error.detail}" for name, error in errors.items())
    failed_files = f"{len(errors)} file{'' if len(errors) == 1 else 's'}"
    return Incomplete.of(f"{failed_files} failed; the others are in place. {listed}", errors)


def _row(step: Step) -> LockedFile:
    """Return the row of a step that has one: all but those of leftovers."""
    if step.file is None:
        raise TypeError
    return step.file


def _file(row: LockedFile) -> File:
    """Return what a download needs; messages and progress name the local path."""
    return File(
        path=row.path,
        role="weights",
        variant="",
        size_bytes=row.size,
        sha256=row.sha256,
        is_primary=True,
        download_url=f"{row.reference.version_path}/files/{quote(row.file)}",
    )


def _digest(place: Path) -> str:
    try:
        return digest_file(place)
    except OSError:
        return ""


def _taken(place: Path, entry: Entry | None, owner: str) -> TargetTaken:
    if entry is not None and entry.lock not in {"", owner}:
        why = f"belongs to {entry.lock}"
    elif entry is not None and entry.is_at(place):
        why = f"is {entry.adapter} {entry.version}, which `lorary pull` wrote"
    else:
        why = "was not written by Lorary, or was edited later"
    message = f"{place} {why}, so it was left alone. Move it, or sync with --force."
    return TargetTaken(message, facts={"path": os.fspath(place)})
