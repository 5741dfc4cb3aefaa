"""rewrite."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from lorary.cli.command import Command, Parser, UsageError
from lorary.cli.commands.algebra.arguments import add_out, out_path, require_algebra, written
from lorary.cli.output.text import emit, note, pairs, plain, show, strong


def _configure(parser: Parser) -> None:
    parser.add_argument("file", metavar="FILE", help="a safetensors file")
    parser.add_argument(
        "--strip-training",
        action="store_true",
        help="remove what describes the training (ss_* and keys of other trainers); the base model "
        "is kept",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="set a value, such as modelspec.trigger_phrase=noir; repeat it for several",
    )
    parser.add_argument(
        "--unset", action="append", default=[], metavar="KEY", help="remove a value; repeatable"
    )
    add_out(parser, has_dtype=False)


def _rewrite(args: Namespace) -> int:
    path = Path(args.file)
    values = _values(args.set)
    if not (values or args.unset or args.strip_training):
        message = "say what to change: --strip-training, --set or --unset"
        raise UsageError(message)
    out = out_path(args, [path])
    require_algebra()
    from lorary.algebra.metadata.rewrite import rewrite  # noqa: PLC0415 - needs numpy

    found = rewrite(
        path, out, strips_training=args.strip_training, values=values, removes=args.unset
    )
    if args.json:
        emit(
            {
                "schema": 1,
                "out": written(found.out),
                "removed": list(found.removed),
                "changed": list(found.changed),
                "missing": list(found.missing),
            }
        )
    else:
        facts = [
            ("removed", ", ".join(found.removed)),
            ("set", ", ".join(found.changed)),
            ("sha256", found.out.sha256),
        ]
        show([strong(plain(found.out.path)), *pairs(facts)])
    if found.missing:
        note(f"lorary: ModelSpec also requires {', '.join(found.missing)}.")
    return 0


def _values(words: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not key or not equals:
            message = f"--set needs KEY=VALUE, not “{word}”"
            raise UsageError(message)
        if key in found:
            message = f"--set names {key} twice"
            raise UsageError(message)
        found[key] = value
    return found


COMMANDS = {
    "rewrite": Command(
        "Write a copy of a file with different metadata. The weights stay the same byte for byte,\n"
        "and so does their hash; modelspec.hash_sha256 is computed again. Values of modelspec.*\n"
        "are checked against ModelSpec 1.0.1. Needs pip install 'lorary[algebra]'.",
        "  lorary rewrite noir.safetensors --strip-training --out clean.safetensors\n"
        "  lorary rewrite noir.safetensors --set modelspec.trigger_phrase='film noir' \\\n"
        "    --set ss_base_model_version=sdxl_base_v1-0 --out noir-2.safetensors",
        _configure,
        _rewrite,
    ),
}
