"""Sidecars of pulled weights, for ``lorary pull --sidecars``."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from lorary import library
from lorary.cli.command import exit_code
from lorary.cli.output.text import emit, note, plain, show
from lorary.client.errors import LoraryError
from lorary.client.transfers.folders import Folder
from lorary.library.sidecars.writing import Sidecar, Writer, facts_of


def write(args: Namespace, places: Sequence[Path]) -> int:
    """Write the sidecars of weights in ``args.to``, and return the exit code."""
    folder = Folder(Path(args.to).expanduser().absolute())
    folder.load()
    writer = Writer(folder, args.sidecars)
    code = 0
    with library.Hubs(args.endpoint) as hubs:
        for place in places:
            name = place.relative_to(folder.root).as_posix()
            try:
                written = writer.plan(name)
                if any(one.is_due for one in written):
                    entry = folder.entries[name]
                    written = writer.write(name, *facts_of(hubs.session(entry.hub), entry))
            except LoraryError as error:
                note(
                    plain(f"lorary: the sidecars of {place.name} were not written: {error.detail}")
                )
                code = code or exit_code(error)
                continue
            for one in written:
                _show(args, folder, one)
    return code


def _show(args: Namespace, folder: Folder, one: Sidecar) -> None:
    place = folder.place(one.name)
    if args.json:
        emit({"sidecar": str(place), "action": one.action})
    elif one.is_due:
        show([plain(place)])
    if one.action == "kept":
        note(plain(f"lorary: {place} stays: a person or a tool wrote or changed it"))
