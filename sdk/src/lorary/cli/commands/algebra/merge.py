"""merge."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from lorary.algebra.naming.targets import ALIASES, TARGETS
from lorary.cli.command import Command, Parser, UsageError
from lorary.cli.commands.algebra.arguments import (
    add_family,
    add_out,
    out_path,
    require_algebra,
    require_family,
    share,
    steps,
    strengths,
    whole,
    written,
)
from lorary.cli.output.text import emit, pairs, plain, show, strong
from lorary.sizes import count_bytes

if TYPE_CHECKING:
    from lorary.algebra.merging.merge import Merged

_SHOWN = 5e-5  # relative error
MODES = ("concat", "linear", "svd", "ties", "dare")


def _configure(parser: Parser) -> None:
    parser.add_argument("files", nargs="+", metavar="FILE", help="adapters for one base model")
    parser.add_argument(
        "--strengths",
        metavar="LIST",
        help="a number for each file, such as 0.8,0.5; if the first is negative, write "
        "--strengths=-0.5,1; by default 1 for each",
    )
    parser.add_argument(
        "--mode", choices=MODES, default=MODES[0], help="how to merge; by default the exact sum"
    )
    parser.add_argument("--max-rank", type=whole, metavar="N", help="the largest rank of a module")
    parser.add_argument(
        "--to",
        choices=(*TARGETS, *ALIASES),
        help="the naming of OUT; by default that of the first file",
    )
    parser.add_argument(
        "--base",
        metavar="CHECKPOINT",
        help="a file of the base model, for DoRA and (IA)³; needs --max-rank",
    )
    add_family(parser, "if the files have different namings and do not show the family")
    parser.add_argument(
        "--density",
        type=share,
        metavar="SHARE",
        help="ties, dare: the share of elements that stay; by default 0.2 (ties) and 0.5 (dare)",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="dare: the seed")
    add_out(parser)


def _merge(args: Namespace) -> int:
    paths = [Path(place) for place in args.files]
    weights = strengths(args.strengths, len(paths))
    args.family = require_family(args.family)
    base = None if args.base is None else Path(args.base)
    if base is not None and args.max_rank is None:
        message = "--base needs --max-rank: a merge against a base model is an approximation"
        raise UsageError(message)
    out = out_path(args, paths if base is None else [*paths, base])
    require_algebra()
    with steps("Merging tensor") as on_step:
        from lorary.algebra.merging.merge import MergeSettings, merge  # noqa: PLC0415 - needs numpy

        settings = MergeSettings(
            mode=args.mode,
            max_rank=args.max_rank,
            density=args.density,
            seed=abs(args.seed),
            dtype=args.dtype,
            to=args.to,
            family=args.family,
            base=base,
        )
        found = merge(paths, out, strengths=weights, settings=settings, on_step=on_step)
    if args.json:
        emit(_document(found, args.mode))
    else:
        show(_lines(found, args.mode))
    return 0


def _document(found: Merged, mode: str) -> dict[str, object]:
    return {
        "schema": 1,
        "out": written(found.out),
        "mode": mode,
        "max_relative_error": found.max_relative_error,
        "modules": [
            {
                "module": one.name,
                "block": one.block,
                "rank": one.rank,
                "relative_error": one.relative_error,
            }
            for one in found.modules
        ],
    }


def _lines(found: Merged, mode: str) -> list[str]:
    ranks = [one.rank for one in found.modules]
    worst = max(found.modules, key=lambda one: one.relative_error)
    error = f"{worst.relative_error:.2%} at most, in {worst.name}"
    if worst.relative_error < _SHOWN:
        error = "less than 0.01%" if worst.relative_error else "0"
    return [
        strong(plain(found.out.path)),
        *pairs(
            [
                ("mode", mode),
                ("modules", f"{len(ranks):,}, ranks {min(ranks)} to {max(ranks)}"),
                ("error", error),
                ("size", count_bytes(found.out.size_bytes)),
                ("sha256", found.out.sha256),
            ]
        ),
    ]


COMMANDS = {
    "merge": Command(
        "Write one adapter that does what several do together. By default the sum is exact: the\n"
        "factors stand side by side, and the rank grows; --max-rank approximates it. Files that\n"
        "name modules differently are converted to the naming of the first one, or --to.\n\n"
        "LoHa, LoKr and full differences have no exact factors: with --max-rank they are\n"
        "approximated. DoRA and (IA)³ also need a file of the base model as --base. --json has\n"
        "the error of each module.\n\n"
        "modes:\n"
        "  concat   the exact sum of the updates (default)\n"
        "  linear   the same, in the smallest rank that holds it\n"
        "  svd      the sum, approximated in the largest rank of the files\n"
        "  ties     TIES-Merging (arXiv:2306.01708), approximated by factors\n"
        "  dare     DARE (arXiv:2311.03099) with --seed, approximated by factors\n\n"
        "Needs pip install 'lorary[algebra]'.",
        "  lorary merge noir.safetensors rain.safetensors --strengths 1,0.5 --out ab.safetensors\n"
        "  lorary merge a.safetensors b.safetensors --max-rank 32 --out ab.safetensors\n"
        "  lorary merge a.safetensors b.safetensors --mode ties --out ab.safetensors\n"
        "  lorary merge a.safetensors dora.safetensors --base model.safetensors --max-rank 64 \\\n"
        "    --out ab.safetensors",
        _configure,
        _merge,
    ),
}
