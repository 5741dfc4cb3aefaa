"""convert."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator
from typing import TYPE_CHECKING

from lorary.algebra.naming.targets import ALIASES, TARGETS
from lorary.anatomy.families import FAMILIES, family_title
from lorary.cli.command import Command, Parser, UsageError
from lorary.cli.output.text import count_bytes, emit, plain, show

if TYPE_CHECKING:
    from lorary.algebra.conversion.converting import Conversion

_TITLES = {"kohya": "kohya", "peft": "PEFT", "diffusers": "diffusers", "comfyui": "ComfyUI"}


def _configure(parser: Parser) -> None:
    parser.add_argument("file", metavar="FILE", help="a .safetensors file")
    parser.add_argument(
        "--to",
        required=True,
        choices=(*TARGETS, *ALIASES),
        help="the naming of the new file; original is the same as comfyui",
    )
    parser.add_argument("--out", required=True, metavar="FILE", help="the new file")
    parser.add_argument(
        "--family", metavar="ID", help="family of the base model, if the file does not show it"
    )


def _convert(args: Namespace) -> int:
    if args.family is not None and args.family not in FAMILIES:
        message = f"there is no family “{args.family}”; use {', '.join(FAMILIES)}"
        raise UsageError(message)
    try:
        from lorary.algebra.conversion.converting import convert  # noqa: PLC0415 - loads numpy
    except ModuleNotFoundError as error:
        message = f"{error.name} is missing; install it with: pip install 'lorary[algebra]'"
        raise UsageError(message) from error
    done = convert(args.file, to=args.to, out=args.out, family=args.family)
    if args.json:
        emit(done.to_dict())
    else:
        show(map(plain, _lines(done)))
    return 0


def _lines(done: Conversion) -> Iterator[str]:
    counts = done.certificate
    family = "" if done.family is None else f", {family_title(done.family)}"
    yield f"{done.out.path}  {_TITLES[done.target]}{family}, {count_bytes(done.out.size_bytes)}"
    yield f"sha256 {done.out.sha256}"
    yield f"{len(counts.relations):,} modules: {counts.count('renamed'):,} renamed with equal bytes"
    if counts.count("split"):
        yield f"{counts.count('split'):,} have rows of a module that this naming splits"
    if counts.count("fused"):
        yield f"{counts.count('fused'):,} are fused from modules that this naming has as one"
    yield f"largest relative error {counts.max_relative_error:.1e}"
    if done.left_out:
        yield f"left out, because they describe the old tensors: {', '.join(done.left_out)}"
    if done.config is not None:
        yield f"PEFT's configuration: {done.config}"


COMMANDS = {
    "convert": Command(
        "Write an adapter under the names that another tool reads: kohya (AUTOMATIC1111, Forge),\n"
        "comfyui, diffusers or peft. Renamed tensors keep their bytes. Projections that the other\n"
        "naming splits or fuses are rebuilt exactly, which is measured on the written file. What\n"
        "the naming can't hold is refused, with the module's name.",
        "  lorary convert noir.safetensors --to comfyui --out noir.comfyui.safetensors\n"
        "  lorary convert noir.safetensors --to diffusers --out noir.diffusers.safetensors --json",
        _configure,
        _convert,
    ),
}
