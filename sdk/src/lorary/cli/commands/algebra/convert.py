"""The command convert."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from lorary.algebra.naming.targets import ALIASES, TARGETS
from lorary.cli.command import Command, Parser
from lorary.cli.commands.algebra.arguments import (
    add_family,
    add_out,
    out_path,
    require_algebra,
    require_family,
    written,
)
from lorary.cli.output.text import emit, note, pairs, plain, show, strong
from lorary.sizes import count_bytes

if TYPE_CHECKING:
    from lorary.algebra.conversion.converting import Conversion

_TITLES = {"kohya": "kohya", "peft": "PEFT", "diffusers": "diffusers", "comfyui": "ComfyUI"}


def _configure(parser: Parser) -> None:
    parser.add_argument("file", metavar="FILE", help="an adapter")
    parser.add_argument(
        "--to",
        required=True,
        choices=(*TARGETS, *ALIASES),
        help="the naming of the new file; original is the same as comfyui",
    )
    add_out(parser, has_dtype=False)
    add_family(parser, "if the file does not show it")


def _convert(args: Namespace) -> int:
    args.family = require_family(args.family)
    path = Path(args.file)
    out = out_path(args, [path])
    require_algebra()
    from lorary.algebra.conversion.converting import convert  # noqa: PLC0415 - needs numpy

    found = convert(path, to=args.to, out=out, family=args.family, replaces_config=args.force)
    if args.json:
        emit(_document(found))
    else:
        show([strong(plain(found.out.path)), *pairs(list(_facts(found)))])
    if found.lacks_config:
        note(
            "lorary: no adapter_config.json was written: the file adapts several models, such as "
            "UNet and text encoder, but PEFT loads an adapter for only one"
        )
    return 0


def _document(found: Conversion) -> dict[str, object]:
    return {
        "schema": 1,
        "out": written(found.out),
        "certificate": found.certificate.to_dict(),
    }


def _facts(found: Conversion) -> Iterator[tuple[str, str]]:
    from lorary.anatomy.families import family_title  # noqa: PLC0415 - --help does not need it

    counts = found.certificate
    base = "" if found.family is None else f" of {family_title(found.family)}"
    yield "names", f"{_TITLES[found.target]}{base}"
    yield "size", count_bytes(found.out.size_bytes)
    yield "modules", f"{len(counts.relations):,}"
    yield "renamed", f"{counts.count('renamed'):,} with equal bytes"
    if counts.count("split"):
        yield "split", f"{counts.count('split'):,} from fused modules"
    if counts.count("fused"):
        yield "fused", f"{counts.count('fused'):,} from split modules"
    yield "error", f"{counts.max_relative_error:.1e} of the update at most"
    if found.left_out:
        yield "left out", f"{', '.join(found.left_out)}: hashes of the old tensors"
    if found.config is not None:
        yield "beside it", str(found.config)
    yield "sha256", found.out.sha256


COMMANDS = {
    "convert": Command(
        "Write an adapter under the names that another tool reads: kohya (AUTOMATIC1111, Forge),\n"
        "comfyui, diffusers or peft. Renamed tensors keep their bytes. Projections that the other\n"
        "naming splits or fuses are rebuilt exactly; this is measured on the written file. If the\n"
        "naming cannot hold a module, the command fails and names it.\n"
        "Needs pip install 'lorary[algebra]'.",
        "  lorary convert noir.safetensors --to peft --out noir.peft.safetensors\n"
        "  lorary convert noir.safetensors --to diffusers --out noir.diffusers.safetensors --json",
        _configure,
        _convert,
    ),
}
