"""extract."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from lorary.cli.command import Command, Parser
from lorary.cli.commands.algebra.arguments import (
    add_out,
    out_path,
    require_algebra,
    steps,
    whole,
    written,
)
from lorary.cli.output.text import count_of, emit, note, pairs, plain, show, strong
from lorary.sizes import count_bytes

if TYPE_CHECKING:
    from lorary.algebra.extracting import Extracted


def _configure(parser: Parser) -> None:
    parser.add_argument("base", metavar="BASE", help="a checkpoint")
    parser.add_argument("tuned", metavar="TUNED", help="the same checkpoint after training")
    parser.add_argument(
        "--rank", type=whole, required=True, metavar="N", help="the largest rank of a module"
    )
    add_out(parser)


def _extract(args: Namespace) -> int:
    base, tuned = Path(args.base), Path(args.tuned)
    out = out_path(args, [base, tuned])
    require_algebra()
    with steps("Extracting tensor") as on_step:
        from lorary.algebra.extracting import extract  # noqa: PLC0415 - needs numpy

        found = extract(base, tuned, out, rank=args.rank, dtype=args.dtype, on_step=on_step)
    if args.json:
        emit(_document(found))
    else:
        show(_lines(found))
    if found.left_out:
        count = count_of(len(found.left_out), "changed tensor")
        note(plain(f"lorary: left out {count}, such as {found.left_out[0]}"))
    return 0


def _document(found: Extracted) -> dict[str, object]:
    return {
        "schema": 1,
        "out": written(found.out),
        "max_relative_error": found.max_relative_error,
        "modules": [
            {"module": one.name, "rank": one.rank, "relative_error": one.relative_error}
            for one in found.modules
        ],
        "left_out": list(found.left_out),
    }


def _lines(found: Extracted) -> list[str]:
    worst = max(found.modules, key=lambda one: one.relative_error)
    facts = [
        ("modules", f"{len(found.modules):,}"),
        ("error", f"{worst.relative_error:.2%} at most, in {worst.name}"),
        ("size", count_bytes(found.out.size_bytes)),
        ("sha256", found.out.sha256),
    ]
    return [strong(plain(found.out.path)), *pairs(facts)]


COMMANDS = {
    "extract": Command(
        "Write an adapter with what changed between two checkpoints, as closely as the given rank\n"
        "allows. One weight is read at a time. The error of each module is the norm of what is\n"
        "missing, divided by the norm of the change. Needs pip install 'lorary[algebra]'.",
        "  lorary extract base.safetensors tuned.safetensors --rank 64 --out lora.safetensors",
        _configure,
        _extract,
    ),
}
