"""inspect."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lorary.anatomy import ALGORITHM_TITLES, KIND_TITLES, family_title, inspect_file
from lorary.cli.command import Command
from lorary.cli.output import count_bytes, emit, finding_lines, pairs, plain, show, strong
from lorary.client.errors import FileMissing

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator

    from lorary.anatomy import Anatomy, Inspection, Verdict
    from lorary.cli.command import Parser

__all__ = ["COMMANDS"]

_MAX_WORDS = 12


def _configure(parser: Parser) -> None:
    parser.add_argument(
        "places", nargs="+", metavar="FILE|DIR", help="files; of folders, every .safetensors file"
    )


def _inspect(args: Namespace) -> int:
    refused = 0
    for place in _files(args.places):
        try:
            inspection = inspect_file(place)
        except OSError as error:
            message = f"{place} cannot be read: {error.strerror or error}."
            raise FileMissing(message) from error
        refused += inspection.refused
        if args.json:
            emit(_document(place, inspection))
        else:
            show(_lines(place, inspection))
    return 1 if refused else 0


def _files(places: list[str]) -> Iterator[Path]:
    for text in places:
        place = Path(text)
        if not place.is_dir():
            yield place
            continue
        found = sorted(p for p in place.rglob("*") if p.suffix.casefold() == ".safetensors")
        if not found:
            message = f"{place} holds no .safetensors file."
            raise FileMissing(message)
        yield from found


def _document(place: Path, inspection: Inspection) -> dict[str, object]:
    document: dict[str, object] = {
        "path": str(place),
        "size": place.stat().st_size,
        **inspection.to_dict(),
    }
    if inspection.refused:
        first = inspection.findings[0]
        document["error"] = {"code": first.code, "message": first.message}
    return document


def _lines(place: Path, inspection: Inspection) -> Iterator[str]:
    yield f"{strong(plain(place))}  {count_bytes(place.stat().st_size)}"
    if inspection.anatomy is not None:
        yield from _anatomy_lines(inspection.anatomy)
    yield from finding_lines(inspection.findings)


def _anatomy_lines(anatomy: Anatomy) -> list[str]:
    if anatomy.kind != "adapter":
        return pairs([("is", KIND_TITLES.get(anatomy.kind, anatomy.kind))])
    words = [word.text for word in anatomy.trigger_words]
    more = f" and {len(words) - _MAX_WORDS} more" if len(words) > _MAX_WORDS else ""
    return pairs(
        [
            ("family", _verdict(anatomy.verdict)),
            ("lineage", anatomy.lineage),
            ("method", ALGORITHM_TITLES.get(anatomy.algorithm or "", anatomy.algorithm)),
            ("rank", ", ".join(map(str, {**anatomy.ranks, **anatomy.conv_ranks}))),
            ("alpha", None if anatomy.alpha is None else f"{anatomy.alpha:g}"),
            ("parts", ", ".join(f"{part} ({n:,} modules)" for part, n in anatomy.parts.items())),
            ("format", f"{anatomy.convention or 'unknown'}, {', '.join(anatomy.dtypes)}"),
            ("size", f"{anatomy.parameters:,} numbers in {anatomy.tensors:,} tensors"),
            ("words", " · ".join(words[:_MAX_WORDS]) + more),
            ("title", anatomy.title),
        ]
    )


def _verdict(verdict: Verdict) -> str:
    """Return the family with how it is known."""
    if verdict.proven:
        answer = f"{family_title(verdict.proven)}, proven by its tensors"
    elif verdict.candidates:
        answer = f"{' or '.join(map(family_title, verdict.candidates))}, by its tensors"
    else:
        answer = "unknown"
    if verdict.claimed and verdict.claimed != verdict.proven:
        answer += f"; its metadata says {family_title(verdict.claimed)}"
    return answer


COMMANDS = {
    "inspect": Command(
        "Look into files without a hub: base-model family, rank, trigger words, and what is wrong. "
        "Exit code 1 when a file would be refused.",
        "  lorary inspect noir.safetensors\n  lorary inspect loras/ --json",
        _configure,
        _inspect,
    ),
}
