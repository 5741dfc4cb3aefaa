"""From what ``lorary.toml`` wants to a lock: asks hubs for versions, and chooses file names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from lorary.client import packs
from lorary.client.errors import Gone, LoraryError, NotFound
from lorary.client.http.json_answers import Record
from lorary.client.http.session import Session
from lorary.client.models import Adapter, Version
from lorary.client.names import Reference, check_paths, collision_key
from lorary.client.packs import PackVersion
from lorary.client.progress import OnProgress, Progress, silent
from lorary.client.transfers.folders import Folder, Source
from lorary.client.transfers.pack_pulling import parts_of
from lorary.client.transfers.parallel import each
from lorary.client.transfers.pulling import read_version, read_versions
from lorary.library.hubs import Hubs
from lorary.library.layouts import LAYOUTS
from lorary.library.lockfile import Lock, LockedFile, LockedPack
from lorary.library.project import Project, Wish, number_of
from lorary.limits import JOBS

Change = Literal["added", "changed", "kept", "removed", "failed"]
_PAGE = 100


@dataclass(frozen=True, slots=True)
class Locked:
    """What became of one wish.

    Attributes:
        wish: What is wanted; for a removed one, what was.
        change: What changed in the lock.
        before: The version that was locked; empty if there was none.
        version: The version that is locked now; empty if it was removed or failed.
        state: State of a version that was just requested: published or yanked; otherwise empty.
        reason: Why it was yanked, or why nothing newer was chosen.
        error: Why it failed.
    """

    wish: Wish
    change: Change
    before: str = ""
    version: str = ""
    state: str = ""
    reason: str = ""
    error: LoraryError | None = None


@dataclass(frozen=True, slots=True)
class _Answer:
    """A version that a hub returned for a wish, with the rows for it."""

    version: str
    state: str
    reason: str
    files: tuple[_Row, ...]
    pack: LockedPack | None = None


def make(
    project: Project,
    former: Lock | None,
    hubs: Hubs,
    *,
    update: Iterable[Wish] = (),
    jobs: int = JOBS,
    on_progress: OnProgress = silent,
) -> tuple[Lock, tuple[Locked, ...]]:
    """Return the lock of a project, and what changed; nothing is written.

    A locked version stays as long as it satisfies its wish. Only other wishes are requested.

    Args:
        former: The lock until now.
        update: Wishes to request although they are satisfied. A range then moves to the newest
            version for the same base-model family.
    """
    old = former or Lock(project.layout)
    wanted = set(update)
    asked = [w for w in project.wishes if w in wanted or not old.satisfies(w, project.hub)]
    finders = _finders(project, old, hubs, asked, frozenset(wanted))
    answers: dict[Wish, _Answer | LoraryError] = {}

    def find(wish: Wish, _report: OnProgress) -> _Answer:
        return finders[wish].find(wish)

    results = each(asked, find, on_progress=silent, jobs=jobs, abort=hubs.abort)
    for wish, answer in results:
        answers[wish] = answer
        on_progress(Progress("check", "versions", len(answers), len(asked)))
    outcomes = [_outcome(wish, old, answers.get(wish)) for wish in project.wishes]
    outcomes += _removed(project, old)
    rows = _merged(project.wishes, old, answers)
    found = [one.pack for one in answers.values() if isinstance(one, _Answer) and one.pack]
    kept = [one for wish in project.wishes if wish not in answers and wish.kind == "pack"
            for one in old.rows_of(wish) if isinstance(one, LockedPack)]  # fmt: skip
    lock = Lock(project.layout, (*kept, *found), _placed(project, old, rows))
    if asked:
        check_paths(row.path for row in lock.files)
    return lock, tuple(sorted(outcomes, key=lambda one: one.wish))


def _outcome(wish: Wish, old: Lock, answer: _Answer | LoraryError | None) -> Locked:
    before = next((row.version for row in old.rows_of(wish)), "")
    if answer is None:
        return Locked(wish, "kept", before, before)
    if isinstance(answer, LoraryError):
        return Locked(wish, "failed", before, error=answer)
    change: Change = "added"
    if before:
        change = "kept" if before == answer.version else "changed"
    return Locked(wish, change, before, answer.version, answer.state, answer.reason)


def _removed(project: Project, old: Lock) -> Iterator[Locked]:
    wished = {(wish.kind, wish.name) for wish in project.wishes}
    for wish, row in old.wishes.items():
        if (wish.kind, wish.name) not in wished:
            yield Locked(wish, "removed", row.version)


def _finders(
    project: Project, old: Lock, hubs: Hubs, asked: Sequence[Wish], updated: frozenset[Wish]
) -> dict[Wish, _Finder]:
    """Return wish → what finds its version, one for each hub."""
    wishes: dict[str, list[Wish]] = {}
    for wish in asked:
        hub = _hub_of(wish, project, old, hubs, is_update=wish in updated)
        wishes.setdefault(hub, []).append(wish)
    found: dict[Wish, _Finder] = {}
    for hub, of_hub in wishes.items():
        finder = _Finder(hubs, hub, old, updated)
        finder.expect(of_hub)
        found |= dict.fromkeys(of_hub, finder)
    return found


def _hub_of(wish: Wish, project: Project, old: Lock, hubs: Hubs, *, is_update: bool) -> str:
    """Return the hub to ask for a wish; empty for the one in use.

    An update asks the hub that the lock names, as `outdated` does.
    """
    if project.hub or hubs.is_given:
        return project.hub
    rows = old.rows_of(wish) if is_update else ()
    return _only_hub(rows) if rows else hub_of_lock(old, hubs)


def hub_of_lock(old: Lock, hubs: Hubs) -> str:
    """Return the hub of all locked files, if nothing else says which hub is in use; or empty."""
    return _only_hub((*old.packs, *old.files)) if hubs.is_unset else ""


def _only_hub(rows: Iterable[LockedFile | LockedPack]) -> str:
    hubs = {row.hub for row in rows}
    return hubs.pop() if len(hubs) == 1 else ""


class _Finder:
    """Finds the version for a wish."""

    def __init__(self, hubs: Hubs, hub: str, old: Lock, updated: frozenset[Wish]) -> None:
        self._session = hubs.session(hub)
        self._versions = hubs.versions
        self._hub = self._session.endpoint
        self._old = old
        self._updated = updated
        self._known: dict[Reference, Version] = {}

    def expect(self, wishes: Iterable[Wish]) -> None:
        """Request the versions for several wishes at once, as far as that is possible."""
        adapters = [wish.reference for wish in wishes if wish.kind == "adapter"]
        self._known = read_versions(self._session, adapters)

    def _read(self, reference: Reference) -> Version:
        version = self._known.get(reference) or read_version(self._session, reference)
        self._versions[self._hub, replace(reference, rev=version.revision)] = version
        return version

    def find(self, wish: Wish) -> _Answer:
        """Return the version for a wish.

        Raises:
            NotFound: there is none.
            Gone: it was withdrawn.
        """
        try:
            return self._adapter(wish) if wish.kind == "adapter" else self._pack(wish)
        except NotFound as error:
            error.detail = self._explained(wish, error)
            raise

    def _adapter(self, wish: Wish) -> _Answer:
        reference, note = wish.reference, ""
        locked = next(iter(self._old.rows_of(wish)), None)
        if wish.least is not None and wish in self._updated and locked is not None:
            reference, note = self._newest_alike(wish, locked.version)
        version = self._read(reference)
        _require(wish, version.name, version.state, version.reason)
        files = _rows(self._hub, wish.name, version, wish.wanted)
        return _Answer(version.name, version.state, version.reason or note, files)

    def _newest_alike(self, wish: Wish, locked: str) -> tuple[Reference, str]:
        """Return the newest version of the locked one's family, and why no newer one is taken."""
        name = Reference.parse(wish.name)
        rows = brief_versions(self._session, wish)
        family = next((row.family for row in rows if row.name == locked), None)
        if family is None and len({row.family for row in rows}) > 1:
            # The locked version is gone, and with it the base model that it was for.
            return Reference(name.owner, name.name, locked), ""
        alike = [row for row in rows if family is None or row.family == family]
        best = newest(alike, wish.least or 0)
        if best is None:
            return wish.reference, ""
        other = newest(rows, wish.least or 0)
        note = ""
        if other is not None and number_of(other.name) > number_of(best.name):
            note = f"{other.name} is for another base model ({other.family}, not {best.family})"
        return Reference(name.owner, name.name, best.name), note

    def _pack(self, wish: Wish) -> _Answer:
        pack = packs.read_version(self._session, wish.reference)
        _require(wish, pack.name, pack.state, pack.reason)
        row = LockedPack(wish.name, wish.wanted, pack.name, pack.manifest_sha256, self._hub)
        return _Answer(pack.name, pack.state, pack.reason, tuple(self._parts(wish, pack)), row)

    def _parts(self, wish: Wish, pack: PackVersion) -> Iterator[_Row]:
        parts = parts_of(pack.variants)
        gone = [part for part in parts.values() if not part.is_at_hand]
        if gone:
            listed = "; ".join(f"{part.adapter}@{part.version} is {part.state}" for part in gone)
            are = "is" if len(gone) == 1 else "are"
            msg = f"{len(gone)} of {len(parts)} files of {pack.name} {are} gone: {listed}."
            raise Gone(msg)
        versions: dict[Reference, Version] = {}
        for part in parts.values():
            adapter = Reference.parse(part.adapter)
            exact = Reference(adapter.owner, adapter.name, part.version)
            if exact not in versions:
                versions[exact] = self._read(exact)
            rows = _rows(self._hub, part.adapter, versions[exact], "")
            for one in rows:
                if one.row.sha256 == part.sha256:
                    yield replace(one, row=replace(one.row, packs=(wish.name,)))

    def _explained(self, wish: Wish, error: NotFound) -> str:
        """Return what is wrong with a name, and what there is instead."""
        if isinstance(error, Gone) or wish.least is not None:
            return error.detail
        try:
            if wish.kind == "pack":
                aliases = packs.Pack.read(
                    self._session.json("GET", packs.path_of(Reference.parse(wish.name)))
                ).aliases
            else:
                path = Reference.parse(wish.name).api_path
                aliases = Adapter.read(self._session.json("GET", path)).aliases
            names = [row.name for row in brief_versions(self._session, wish)]
        except LoraryError:
            return error.detail  # the adapter itself does not exist, or the hub is gone
        listed = ", ".join([*names[:10], *sorted(set(aliases) - set(names))])
        return f"{wish.label} has no version or alias “{wish.wanted}”. It has {listed}."


def _require(wish: Wish, version: str, state: str, reason: str) -> None:
    """Raise if a version cannot be locked: a range takes published versions only."""
    if state == "withdrawn":
        msg = f"{wish.label} {version} was withdrawn: {reason or 'no reason was given'}"
        raise Gone(msg)
    if wish.least is None:
        return
    if state != "published":
        msg = f"No version of {wish.label} is published. {version} is {state}: {reason}"
        raise NotFound(msg)
    if number_of(version) < wish.least:
        msg = f"{wish.label} has no version {wish.wanted}: the newest is {version}."
        raise NotFound(msg)


@dataclass(frozen=True, slots=True)
class Brief:
    """A version in a list; packs have no family."""

    name: str
    state: str
    reason: str
    family: str


def brief_versions(session: Session, wish: Wish) -> list[Brief]:
    """Return all versions of an adapter or a pack."""
    reference = Reference.parse(wish.name)
    path = reference.api_path if wish.kind == "adapter" else packs.path_of(reference)
    rows = (Record(row, "version") for row in session.items(f"{path}/versions", {"limit": _PAGE}))
    return [
        Brief(row.text("version"), row.text("state"), row.text("reason"), row.text("family"))
        for row in rows
    ]


def newest(rows: Sequence[Brief], least: int) -> Brief | None:
    """Return the newest published version from a number on; None if there is none."""
    fitting = [row for row in rows if row.state == "published" and number_of(row.name) >= least]
    return max(fitting, key=lambda row: number_of(row.name), default=None)


@dataclass(frozen=True, slots=True)
class _Row:
    """A row whose path is not chosen yet, with possible names in order of preference."""

    row: LockedFile
    names: tuple[str, ...]

    @property
    def key(self) -> tuple[str, str, str]:
        return self.row.name, self.row.revision, self.row.file


def _rows(hub: str, name: str, version: Version, wanted: str) -> tuple[_Row, ...]:
    """Return the weights of a version, with the names that `pull` gives them.

    Raises:
        ReferenceInvalid: the version has a name that cannot be requested.
        NotFound: it has no weights.
    """
    reference = Reference.parse(f"{name}@{version.name}")
    check_paths(file.path for file in version.files)
    files = [file for file in version.files if file.is_weights]
    if not files:
        msg = f"{reference} has no weights."
        raise NotFound(msg)
    source = Source(hub, reference, version)
    return tuple(
        _Row(
            LockedFile(
                name=name,
                wanted=wanted,
                version=version.name,
                revision=version.revision,
                file=file.path,
                path="",
                size=file.size_bytes,
                sha256=file.sha256,
                hub=hub,
            ),
            tuple(Folder(Path()).names(source, file)),
        )
        for file in files
    )


def _merged(
    wishes: Sequence[Wish], old: Lock, answers: Mapping[Wish, _Answer | LoraryError]
) -> list[_Row]:
    """Return each file once, although adapters and packs may both need it."""
    found: dict[tuple[str, str, str], _Row] = {}
    for wish in wishes:
        answer = answers.get(wish)
        rows = answer.files if isinstance(answer, _Answer) else _kept(wish, old)
        for one in rows:
            same = found.setdefault(one.key, one).row
            both = replace(
                same,
                wanted=same.wanted or one.row.wanted,
                packs=tuple(sorted({*same.packs, *one.row.packs})),
            )
            found[one.key] = replace(found[one.key], row=both)
    # What is wanted itself gets its own name before what only packs need.
    return sorted(found.values(), key=lambda one: (not one.row.wanted, one.key))


def _kept(wish: Wish, old: Lock) -> Iterator[_Row]:
    """Yield the locked rows of a wish."""
    is_pack = wish.kind == "pack"
    for row in old.files_of(wish):
        kept = replace(
            row,
            wanted="" if is_pack else wish.wanted,
            packs=(wish.name,) if is_pack else (),
        )
        yield _Row(kept, ())


def _placed(project: Project, old: Lock, rows: Sequence[_Row]) -> tuple[LockedFile, ...]:
    """Choose the paths: a file of the same name keeps its path in a new version, for workflows."""
    folder = LAYOUTS[old.layout]
    before = {
        (row.name, row.revision, row.file): row.path.removeprefix(f"{folder}/" if folder else "")
        for row in old.files
    }
    chosen = {one.key: before[one.key] for one in rows if one.key in before}
    taken = set(map(collision_key, chosen.values()))
    by_file = {(name, file): path for (name, _, file), path in before.items()}
    for one in rows:
        if one.key in chosen:
            continue
        names = [by_file.get((one.row.name, one.row.file), ""), *one.names]
        name = next(name for name in names if name and collision_key(name) not in taken)
        chosen[one.key] = name
        taken.add(collision_key(name))
    target = LAYOUTS[project.layout]
    return tuple(replace(one.row, path=f"{target}/{chosen[one.key]}".lstrip("/")) for one in rows)
