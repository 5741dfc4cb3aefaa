"""resize."""

from __future__ import annotations

from argparse import ArgumentTypeError, Namespace
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from lorary.cli.command import Command, Parser, size
from lorary.cli.commands.algebra.arguments import (
    add_out,
    out_path,
    require_algebra,
    share,
    whole,
    written,
)
from lorary.cli.output.text import emit, pairs, plain, show, strong
from lorary.sizes import count_bytes

if TYPE_CHECKING:
    from lorary.algebra.resize import Resized


def _configure(parser: Parser) -> None:
    parser.add_argument("file", metavar="FILE", help="an adapter")
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument("--rank", type=whole, metavar="N", help="the largest rank of a module")
    target.add_argument(
        "--bytes", type=_file_size, metavar="N", help="the largest size of the file, such as 50MB"
    )
    target.add_argument(
        "--energy",
        type=share,
        metavar="SHARE",
        help="the share of its energy that each module keeps, such as 0.95",
    )
    add_out(parser)


def _file_size(text: str) -> int:
    """Return a number of bytes of at least 1."""
    found = size(text)
    if found < 1:
        message = f"“{text}” is less than one byte"
        raise ArgumentTypeError(message)
    return found


def _resize(args: Namespace) -> int:
    path = Path(args.file)
    out = out_path(args, [path])
    require_algebra()
    from lorary.algebra import resize  # noqa: PLC0415 - needs numpy

    if args.rank is not None:
        found = resize.resize_to_rank(path, out, rank=args.rank, dtype=args.dtype)
    elif args.bytes is not None:
        found = resize.resize_to_bytes(path, out, size_bytes=args.bytes, dtype=args.dtype)
    else:
        found = resize.resize_to_share(path, out, share=args.energy, dtype=args.dtype)
    if args.json:
        emit(_document(found))
    else:
        show(_lines(found, path.stat().st_size))
    return 0


def _document(found: Resized) -> dict[str, object]:
    return {
        "schema": 1,
        "out": written(found.out),
        "kept": found.kept,
        "modules": [
            {
                "module": one.name,
                "block": one.block,
                "rank_before": one.rank_before,
                "rank": one.rank,
                "kept": one.kept / one.energy if one.energy > 0 else 1.0,
            }
            for one in found.modules
        ],
    }


def _lines(found: Resized, size_before: int) -> list[str]:
    counts = Counter(one.rank for one in found.modules)
    ranks = ", ".join(f"{rank} ({count:,}×)" for rank, count in counts.most_common(8))
    return [
        strong(plain(found.out.path)),
        *pairs(
            [
                ("size", f"{count_bytes(found.out.size_bytes)}, was {count_bytes(size_before)}"),
                ("ranks", ranks),
                ("kept", f"{found.kept:.2%} of the energy"),
                ("sha256", found.out.sha256),
            ]
        ),
    ]


COMMANDS = {
    "resize": Command(
        "Write an adapter with a smaller rank: the best approximation of each module, with the\n"
        "same scale. Give a rank, a size, or the share of the energy that each module keeps.\n"
        "Needs pip install 'lorary[algebra]'.",
        "  lorary resize noir.safetensors --rank 16 --out noir-16.safetensors\n"
        "  lorary resize noir.safetensors --energy 0.95 --out small.safetensors\n"
        "  lorary resize noir.safetensors --bytes 50MB --out small.safetensors",
        _configure,
        _resize,
    ),
}
