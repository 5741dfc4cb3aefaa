"""tidy."""

from __future__ import annotations

from argparse import Namespace
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lorary import library
from lorary.cli.command import Command, Parser, UsageError, exit_code
from lorary.cli.commands.library.scan import roots_of
from lorary.cli.output.progress import meter
from lorary.cli.output.text import count_of, emit, note, plain, show
from lorary.client.config import home_of
from lorary.client.errors import LoraryError
from lorary.library.layouts import FLAT, LAYOUTS

if TYPE_CHECKING:
    from lorary.library.tidying import Journal, Move, Moved

_TOOLS = tuple(name for name in LAYOUTS if name != FLAT)


def _configure(parser: Parser) -> None:
    # argparse would show DIR as optional, which it is for --undo and for an interrupted run only.
    parser.usage = (
        "lorary tidy DIR [DIR ...] [--layout LAYOUT [--root DIR]] [--dry-run | --apply] [--json]\n"
        "       lorary tidy --undo [--json]"
    )
    parser.add_argument(
        "places", nargs="*", metavar="DIR", help="folders with adapters; none with --undo"
    )
    parser.add_argument(
        "--layout",
        choices=_TOOLS,
        metavar="LAYOUT",
        help=f"also move adapters to where a tool looks: {', '.join(_TOOLS)}",
    )
    parser.add_argument(
        "--root",
        metavar="DIR",
        help="folder of that tool; default: that of lorary config, or else the only folder",
    )
    act = parser.add_mutually_exclusive_group()
    act.add_argument("--dry-run", action="store_true", help="only show the moves; the default")
    act.add_argument("--apply", action="store_true", help="make the moves")
    act.add_argument("--undo", action="store_true", help="move the files of the last run back")


def _tidy(args: Namespace) -> int:
    home = home_of()
    last = library.last_moves(home)
    if args.undo:
        if last is None or last.state == "undone":
            note("lorary: there is nothing to undo")
            return 0
        return _finish(args, library.undo_moves(last), "back")
    if args.apply and last is not None and last.state == "open":
        note("lorary: finishing the moves of an interrupted run")
        code = _finish(args, library.apply_moves(last), "moved")
        if code or not args.places:
            return code
    if args.root and not args.layout:
        message = "--root needs --layout"
        raise UsageError(message)
    if not args.places:
        message = "name a folder to tidy: lorary tidy DIR; only --undo needs none"
        raise UsageError(message)
    journal = library.new_moves(home, _moves(args, home))
    if not args.apply:
        _show_plan(args, journal)
        return 0
    if journal.moves:
        journal.save()
    return _finish(args, library.apply_moves(journal) if journal.moves else (), "moved")


def _moves(args: Namespace, home: Path) -> tuple[Move, ...]:
    roots = roots_of(args.places)
    folder = None
    if args.layout:
        given = args.root or library.setting("root").value
        if not given and len(roots) > 1:
            message = "--layout needs --root with several folders"
            raise UsageError(message)
        root = roots_of([given])[0] if given else roots[0]
        folder = root.joinpath(*LAYOUTS[args.layout].split("/"))
    with library.Index(home) as index:
        with meter() as draw:
            # What is in the tool's folder already is not moved there once more.
            searched = (*roots, folder) if folder is not None and folder.is_dir() else roots
            library.scan(index, searched, None, on_progress=draw)
        rows = library.rows(index, "", library.Filters(roots=searched))
        return library.moves_of(rows, roots, folder)


def _show_plan(args: Namespace, journal: Journal) -> None:
    _warn(journal.moves)
    if args.json:
        for move in journal.moves:
            emit(_document(move, "planned"))
        return
    for move in journal.moves:
        reason = f" (same file as {move.kept})" if move.kept else ""
        show(plain(f"{move.source} -> {move.target}{reason}"))
    counts = Counter(move.why for move in journal.moves)
    if counts:
        listed = ", ".join(f"{count:,} {why}" for why, count in counts.items())
        show(f"{listed}. Nothing was moved; --apply moves them.")
    else:
        show("Everything is tidy.")


def _warn(moves: Iterable[Move]) -> None:
    """Say what else may name the copies that are moved."""
    if any(move.kept for move in moves):
        note(
            "lorary: pictures and workflows that name a moved copy will no longer find it: select "
            "the file that was kept there, or undo the move"
        )


def _finish(args: Namespace, done: Iterable[Moved], state: str) -> int:
    errors, finished = [], []
    for moved in done:
        if moved.error is None:
            finished.append(moved)
        else:
            errors.append(moved.error)
            note(f"lorary: {plain(moved.error.detail)}")
        if args.json:
            document = _document(moved.move, state if moved.error is None else "failed")
            if moved.error is not None:
                document["error"] = moved.error.to_dict()
            emit(document)
    count = len(finished)
    if finished:
        _update_index(finished, is_back=state == "back")
    if state == "moved":
        _warn(one.move for one in finished)
    if not args.json:
        undo = " lorary tidy --undo moves them back." if state == "moved" and count else ""
        moved_back = " back" if state == "back" else ""
        show(f"{count_of(count, 'file')} moved{moved_back}.{undo}")
    return exit_code(errors[0]) if errors else 0


def _update_index(finished: Sequence[Moved], *, is_back: bool) -> None:
    """Update the index; if that fails, the files are moved all the same."""
    try:
        with library.Index(home_of()) as index, meter() as draw:
            library.update_index(index, finished, is_back=is_back, on_progress=draw)
    except LoraryError as error:
        detail = plain(error.detail)
        note(f"lorary: the index was not updated; the next lorary scan will update it: {detail}")


def _document(move: Move, state: str) -> dict[str, object]:
    return {
        "source": move.source,
        "target": move.target,
        "why": move.why,
        "kept": move.kept or None,
        "state": state,
    }


COMMANDS = {
    "tidy": Command(
        "Show how folders of adapters can be tidied, and do it with --apply: copies go to a\n"
        "trash folder, where no tool lists them, and with --layout adapters go to where a tool\n"
        "looks, with their sidecars and previews. Nothing is deleted or overwritten. Files that\n"
        "lorary pull or lorary sync wrote stay where they are. The next --apply finishes\n"
        "an interrupted run.",
        "  lorary tidy ~/Downloads ~/ComfyUI --layout comfyui --root ~/ComfyUI\n"
        "  lorary tidy loras/ --apply && lorary tidy --undo",
        _configure,
        _tidy,
    ),
}
