"""`lock` and `sync`: the whole way from ``lorary.toml`` to the files."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from lorary.client.errors import (
    FileMissing,
    Incomplete,
    LockOutdated,
    LoraryError,
    ProjectInvalid,
    Unreachable,
)
from lorary.client.progress import OnProgress, silent
from lorary.library.hubs import Hubs
from lorary.library.lockfile import Lock
from lorary.library.locking import Locked, make
from lorary.library.project import LOCK, PROJECT, Project, Wish
from lorary.library.syncing import Options, Step, Sync, failures
from lorary.limits import JOBS

_TEMPLATE = """\
# The adapters and packs of this folder. `lorary sync` downloads them; lorary.lock pins them.
layout = "{layout}"
root = "{root}"
# sidecars = ["a1111"]         also write the files of tools: civitai, a1111, lora-manager, swarmui

[adapters]
# "studio/noir" = "*"          the newest version
# "studio/noir" = "^v2"        the newest version from v2 on
# "studio/noir" = "v2"         always v2
# "studio/noir" = "stable"     what the alias points to when it is locked

[packs]
# "studio/dusk" = "*"
"""


@dataclass(frozen=True, slots=True)
class Synced:
    """What `sync` did.

    Attributes:
        changes: What became of each wish in the lock; empty if it was frozen.
        steps: What was done with each file; with ``dry_run``, what would be.
    """

    changes: tuple[Locked, ...]
    steps: tuple[Step, ...]


def start(folder: Path, layout: str, root: str) -> Path:
    """Write a ``lorary.toml`` to begin with, and return its path.

    A root in the home directory begins with ``~``, so that the file fits another computer.

    Raises:
        ProjectInvalid: there is one already, or it cannot be written.
    """
    place = folder / PROJECT
    with suppress(ValueError, RuntimeError):
        if Path(root).is_absolute():
            root = f"~/{Path(root).relative_to(Path.home()).as_posix()}"
    escaped = root.replace("\\", "/").replace('"', '\\"')
    try:
        with place.open("x", encoding="utf-8") as file:
            file.write(_TEMPLATE.format(layout=layout, root=escaped))
    except FileExistsError as error:
        msg = f"{place} already exists."
        raise ProjectInvalid(msg) from error
    except OSError as error:
        msg = f"{place} cannot be written: {error.strerror or error}."
        raise ProjectInvalid(msg) from error
    return place


def load(folder: str | os.PathLike[str]) -> tuple[Project, Lock]:
    """Return the project of a folder and its lock.

    Raises:
        FileMissing: one of them does not exist.
        ProjectInvalid: one of them cannot be used.
    """
    project = Project.load(Path(folder).absolute())
    locked = Lock.load(project.lock_path)
    if locked is None:
        raise FileMissing(_no_lock(project))
    return project, locked


def _no_lock(project: Project) -> str:
    return f"{project.folder} has no {LOCK}. Write it with `lorary lock`."


def chosen(project: Project, names: Sequence[str]) -> tuple[Wish, ...]:
    """Return the wishes of these names, ``owner/name`` or ``pack:owner/name``; all without names.

    Raises:
        ProjectInvalid: a name is not in ``lorary.toml``.
    """
    by_label = {wish.label: wish for wish in project.wishes}
    unknown = [name for name in names if name not in by_label]
    if unknown:
        listed = ", ".join(by_label) or "nothing"
        msg = f"{unknown[0][:200]} is not in {project.folder / PROJECT}, which has {listed}."
        raise ProjectInvalid(msg)
    return tuple(by_label[name] for name in names) if names else project.wishes


def update_lock(
    project: Project,
    hubs: Hubs,
    *,
    update: Iterable[Wish] = (),
    dry_run: bool = False,
    jobs: int = JOBS,
    on_progress: OnProgress = silent,
) -> tuple[Lock, tuple[Locked, ...]]:
    """Lock what ``lorary.toml`` wants, and write the lock if nothing failed.

    Returns:
        The lock, and what became of each wish; those that failed have an error.
    """
    former = Lock.load(project.lock_path)
    locked, changes = make(project, former, hubs, update=update, jobs=jobs, on_progress=on_progress)
    if not dry_run and all(one.error is None for one in changes):
        locked.save(project.lock_path)
    return locked, changes


def frozen_lock(project: Project) -> Lock:
    """Return the lock as it is.

    Raises:
        LockOutdated: there is none, or it does not satisfy ``lorary.toml``.
    """
    locked = Lock.load(project.lock_path)
    if locked is None:
        raise LockOutdated(_no_lock(project), facts={"path": str(project.lock_path)})
    faults = list(locked.faults(project))
    if faults:
        msg = f"{LOCK} does not satisfy {PROJECT}. {' '.join(faults)} Run `lorary lock`."
        raise LockOutdated(msg, facts={"faults": faults})
    return locked


def unlocked(changes: Iterable[Locked]) -> Incomplete | None:
    """Return the error for wishes that cannot be locked; None if there are none."""
    errors = {one.wish.label: one.error for one in changes if one.error is not None}
    if not errors:
        return None
    return Incomplete.of(f"{LOCK} was not written. {' '.join(reasons(errors))}", errors)


def reasons(errors: Mapping[str, LoraryError]) -> list[str]:
    """Return a line for each name and its error; one for all that a hub did not answer."""
    names: dict[tuple[str, str], list[str]] = {}
    for name, error in errors.items():
        of_hub = "" if isinstance(error, Unreachable) else name
        names.setdefault((of_hub, error.detail), []).append(name)
    return [
        f"{first}{f' and {len(others):,} more' if others else ''}: {detail}"
        for (_, detail), (first, *others) in names.items()
    ]


def steps_of(
    project: Project, locked: Lock, hubs: Hubs, options: Options, on_progress: OnProgress
) -> Iterator[Step]:
    """Yield what is done with each file of a lock, as it is done."""
    return Sync(project, locked, hubs, options).run(on_progress)


def lock(
    folder: str | os.PathLike[str] = ".",
    *,
    update: Sequence[str] | None = None,
    endpoint: str | None = None,
    on_progress: OnProgress = silent,
) -> tuple[Locked, ...]:
    """Write ``lorary.lock`` for the ``lorary.toml`` in a folder.

    Locked versions stay as long as they satisfy ``lorary.toml``.

    Args:
        folder: The folder that has ``lorary.toml``.
        update: Names whose locked versions should move on, ``owner/name`` or ``pack:owner/name``;
            an empty list stands for all.
        endpoint: Address of the hub, if ``lorary.toml`` has none; by default the one in use, for
            updates the one that is locked.
        on_progress: Called for every version.

    Raises:
        FileMissing, ProjectInvalid: ``lorary.toml`` does not exist or cannot be used.
        Incomplete: something that is wanted does not exist; the lock was not changed.
    """
    project = Project.load(Path(folder).absolute())
    wishes = () if update is None else chosen(project, update)
    with Hubs(endpoint) as hubs:
        _, changes = update_lock(project, hubs, update=wishes, on_progress=on_progress)
    if error := unlocked(changes):
        raise error
    return changes


def sync(  # noqa: PLR0913 - options, by keyword
    folder: str | os.PathLike[str] = ".",
    *,
    frozen: bool = False,
    prune: bool = False,
    dry_run: bool = False,
    force: bool = False,
    verify: bool = False,
    jobs: int = JOBS,
    endpoint: str | None = None,
    on_progress: OnProgress = silent,
) -> Synced:
    """Download what the ``lorary.toml`` in a folder wants, exactly as ``lorary.lock`` pins it.

    The lock is written first if it is missing or does not satisfy ``lorary.toml``. An interrupted
    sync is repeated; nothing is downloaded twice.

    Args:
        folder: The folder that has ``lorary.toml``.
        frozen: Fail instead of changing the lock. Sidecars that are there are not renewed.
        prune: Remove files that an earlier sync wrote and that are no longer locked, unless they
            were edited.
        dry_run: Write nothing, and return what would be done.
        force: Replace files that this lock did not write, and sidecars that were changed.
        verify: Hash existing files instead of trusting size and time.
        jobs: Number of files to download at the same time.
        endpoint: Address of the hub, if ``lorary.toml`` has none.
        on_progress: Called for every block, from several threads.

    Raises:
        FileMissing, ProjectInvalid: ``lorary.toml`` does not exist or cannot be used.
        LockOutdated: the lock is frozen, and is missing or does not satisfy ``lorary.toml``.
        Incomplete: something cannot be locked, and nothing was downloaded; or some files failed,
            and the others are in place.
        TargetUnusable, DiskFull: the files cannot be written; nothing was downloaded.
    """
    project = Project.load(Path(folder).absolute())
    options = Options(
        prune=prune, dry_run=dry_run, force=force, verify=verify, frozen=frozen, jobs=jobs
    )
    changes: tuple[Locked, ...] = ()
    with Hubs(endpoint) as hubs:
        if frozen:
            locked = frozen_lock(project)
        else:
            locked, changes = update_lock(
                project, hubs, dry_run=dry_run, jobs=jobs, on_progress=on_progress
            )
            if error := unlocked(changes):
                raise error
        steps = tuple(steps_of(project, locked, hubs, options, on_progress))
    if error := failures(steps):
        raise error
    return Synced(changes, steps)
