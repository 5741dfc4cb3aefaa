"""Sidecars of pulled weights, for ``lorary pull --sidecars``."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lorary import library
from lorary.cli.command import exit_code
from lorary.cli.output.text import emit, note, plain, show
from lorary.client.errors import LoraryError, Unreachable
from lorary.client.transfers.folders import Folder
from lorary.library.sidecars.writing import Known, Sidecar, Writer, answers

if TYPE_CHECKING:
    from lorary.client.http.session import Session
    from lorary.client.transfers.folders import Entry


#: Address of a hub to whether it responds, or why not: it is asked once, and not waited for again.
Asked = dict[str, bool | Unreachable]


def write(args: Namespace, places: Sequence[Path], asked: Asked) -> int:
    """Write the sidecars of weights in ``args.to``, and return the exit code."""
    folder = Folder(Path(args.to).expanduser().absolute())
    folder.load()
    writer = Writer(folder, args.sidecars, may_replace=args.force)
    code = 0
    with library.Hubs(args.endpoint) as hubs:
        for place in places:
            name = place.relative_to(folder.root).as_posix()
            entry = folder.entries[name]
            try:
                written = _written(writer, hubs.session(entry.hub), name, asked)
            except LoraryError as error:
                note(
                    plain(f"lorary: the sidecars of {place.name} were not written: {error.detail}")
                )
                code = code or exit_code(error)
                continue
            for one in written:
                _show(args, folder, one)
            _tell_missing(entry, written)
    return code


def _is_at_hand(session: Session, asked: Asked) -> bool:
    hub = session.endpoint
    if hub not in asked:
        asked[hub] = answers(session)
    return asked[hub] is True


def _ask(writer: Writer, session: Session, name: str, asked: Asked) -> Known:
    """Request what a hub knows, unless it did not respond before."""
    former = asked.get(session.endpoint)
    if isinstance(former, Unreachable):
        raise former
    try:
        (known,) = writer.ask(session, [name])
    except Unreachable as error:
        asked[session.endpoint] = error
        raise
    return known


def _written(writer: Writer, session: Session, name: str, asked: Asked) -> list[Sidecar]:
    """Write the sidecars of weights. If all are there, they stay if the hub cannot be asked."""
    planned = writer.plan(name)
    is_due = any(one.is_due for one in planned)
    try:
        if not is_due and not _is_at_hand(session, asked):
            return planned
        known = _ask(writer, session, name, asked)
    except LoraryError:
        if is_due:
            raise
        return planned
    return writer.write(name, known)


def _tell_missing(entry: Entry, written: Sequence[Sidecar]) -> None:
    """Say once that a version has no picture: previews are rendered after it is published."""
    is_first = any(one.action == "add" for one in written)
    if is_first and not any(one.is_preview for one in written):
        version = plain(f"{entry.adapter} {entry.version}")
        note(f"lorary: {version} has no picture yet; repeat the pull later to add one")


def _show(args: Namespace, folder: Folder, one: Sidecar) -> None:
    place = folder.place(one.name)
    if args.json:
        emit({"sidecar": str(place), "action": one.action})
    elif one.is_due:
        show([plain(place)])
    if one.action == "kept":
        note(plain(f"lorary: {place} stays: a person or a tool wrote or changed it"))
