"""energy and compare."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from lorary.cli.command import Command, Parser
from lorary.cli.commands.algebra.arguments import (
    add_family,
    require_algebra,
    require_family,
    require_file,
)
from lorary.cli.output.text import emit, pairs, plain, show, strong, table
from lorary.client import errors
from lorary.client.names import Reference

if TYPE_CHECKING:
    from lorary.algebra.comparing import Comparison, Energies

_SHOWN_CHARS = 60


def _configure_energy(parser: Parser) -> None:
    parser.add_argument("file", metavar="FILE", help="an adapter")


def _energy(args: Namespace) -> int:
    path = Path(args.file)
    require_file(path)
    require_algebra()
    from lorary.algebra.comparing import measure  # noqa: PLC0415 - needs numpy

    found = measure(path)
    if args.json:
        emit(found.to_dict())
    else:
        show(_energy_lines(args.file, found))
    return 0


def _energy_lines(name: str, found: Energies) -> list[str]:
    rows = [["block", "energy", "share"]]
    rows += [[one.block, f"{one.energy:.4g}", f"{one.share:.1%}"] for one in found.blocks]
    return [strong(plain(name)), *pairs([("energy", f"{found.total:.6g}")]), "", *table(rows)]


def _configure_compare(parser: Parser) -> None:
    parser.add_argument("first", metavar="A", help="an adapter")
    parser.add_argument("second", metavar="B", help="another adapter for the same base model")
    add_family(parser, "if the files have different namings and do not show the family")


def _compare(args: Namespace) -> int:
    args.family = require_family(args.family)
    paths = [Path(args.first), Path(args.second)]
    _require_files(paths)
    require_algebra()
    from lorary.algebra.comparing import compare  # noqa: PLC0415 - needs numpy

    found = compare(*paths, family=args.family)
    if args.json:
        emit(found.to_dict())
    else:
        show(_comparison_lines(found))
    return 0


def _require_files(paths: list[Path]) -> None:
    """Refuse missing files; names of adapters get advice.

    Raises:
        FileMissing: a file does not exist.
    """
    names = [str(path) for path in paths if not path.exists() and _is_adapter(str(path))]
    if names:
        message = (
            f"lorary compare takes files, but there is no file {names[0]}. Download the adapter "
            f"first: lorary pull {names[0]}."
        )
        if len(names) == len(paths):
            message += f" The page /compare?a={names[0]}&b={names[1]} of the hub compares both."
        raise errors.FileMissing(message, facts={"path": names[0]})
    for path in paths:
        require_file(path)


def _is_adapter(text: str) -> bool:
    """Whether a text names an adapter of a hub rather than a file."""
    try:
        Reference.parse(text)
    except errors.ReferenceInvalid:
        return False
    return not text.casefold().endswith(".safetensors")


def _comparison_lines(found: Comparison) -> list[str]:
    lines = pairs(
        [
            ("cosine", f"{found.cosine:.6f}"),
            ("energy", " and ".join(f"{value:.6g}" for value in found.energy)),
        ]
    )
    rows = [["block", "cosine", "energy A", "energy B", "moved"]]
    rows += [
        [
            one.block,
            "" if one.cosine is None else f"{one.cosine:.4f}",
            *(f"{value:.4g}" for value in one.energy),
            f"{one.moved:.1%}",
        ]
        for one in found.blocks
    ]
    lines += ["", *table(rows)]
    if found.metadata:
        rows = [["metadata", "A", "B"]]
        rows += [[key, *map(_short, values)] for key, values in found.metadata.items()]
        lines += ["", *table(rows)]
    return lines


def _short(value: str | None) -> str:
    if value is None:
        return "(absent)"
    return value if len(value) <= _SHOWN_CHARS else f"{value[: _SHOWN_CHARS - 1]}…"


COMMANDS = {
    "energy": Command(
        "Measure how much an adapter changes each block of its base model: the squared norm of\n"
        "the update, and its share of the whole. This needs no hub.\n"
        "Needs pip install 'lorary[algebra]'.",
        "  lorary energy noir.safetensors\n"
        "  lorary energy noir.safetensors --json | jq '.blocks[] | select(.share > 0.1)'",
        _configure_energy,
        _energy,
    ),
    "compare": Command(
        "Compare two adapters block by block: the cosine of their updates, their energies, where\n"
        "they differ (the share of the whole difference), and their metadata. Ranks, alphas,\n"
        "number formats and namings may differ; blocks have the names of the first file.\n"
        "Needs pip install 'lorary[algebra]'.",
        "  lorary compare noir-v1.safetensors noir-v2.safetensors\n"
        "  lorary compare a.safetensors b.safetensors --json | jq .cosine",
        _configure_compare,
        _compare,
    ),
}
