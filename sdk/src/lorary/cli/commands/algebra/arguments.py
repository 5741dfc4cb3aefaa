"""What the commands of the algebra share: options, checks of paths, and refusals."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import math
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lorary.algebra.formats import DTYPES, word_of
from lorary.cli.command import Parser, UsageError
from lorary.cli.output.progress import Counting
from lorary.client import errors

if TYPE_CHECKING:
    from lorary.algebra.files import WrittenFile

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def add_out(parser: Parser, *, has_dtype: bool = True) -> None:
    """Add ``--out``, ``--force`` and ``--dtype``."""
    parser.add_argument("--out", required=True, metavar="OUT", help="the file to write")
    parser.add_argument("--force", action="store_true", help="replace OUT if it exists")
    if has_dtype:
        parser.add_argument(
            "--dtype",
            type=word_of,
            choices=[*DTYPES],
            help="number format of the weights; by default that of the input",
        )


def add_family(parser: Parser, when: str) -> None:
    """Add ``--family``.

    Args:
        when: When it is needed, for the help.
    """
    parser.add_argument("--family", metavar="ID", help=f"family of the base model, {when}")


def require_family(family: str | None) -> str | None:
    """Return the id of a family, which may be given by its display name.

    Raises:
        UsageError: there is no such family.
    """
    from lorary.cli.filters import known_family  # noqa: PLC0415 - --help does not need it

    return None if family is None else known_family(family)


def out_path(args: argparse.Namespace, inputs: Sequence[Path]) -> Path:
    """Return the path to write to.

    Raises:
        FileMissing: an input is missing.
        AlgebraError: `same_file`; the path is an input.
        TargetTaken: the path exists.
        TargetUnusable: the path is a folder.
    """
    from lorary.algebra.files import output_path  # noqa: PLC0415 - --help does not need it

    for path in inputs:
        require_file(path)
    out = Path(args.out)
    facts = {"path": str(out)}
    if out.is_dir():
        message = f"{out} is a folder. Name the file to write, such as {out / 'out.safetensors'}."
        raise errors.TargetUnusable(message, facts=facts)
    output_path(out, inputs)  # --force cannot replace an input
    if out.exists() and not args.force:
        message = f"{out} exists. Choose another file, or replace it with --force."
        raise errors.TargetTaken(message, facts=facts)
    return out


def require_file(path: Path) -> None:
    """Refuse a missing input.

    Raises:
        FileMissing: it does not exist.
    """
    if not path.exists():
        message = f"{path} does not exist."
        raise errors.FileMissing(message, facts={"path": str(path)})


def require_algebra() -> None:
    """Import what computes, with one thread.

    Raises:
        LoraryError: numpy or ml_dtypes is missing.
    """
    for name in _THREADS:  # read when numpy is imported
        os.environ.setdefault(name, "1")
    try:
        importlib.import_module("lorary.algebra.files")
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.startswith("lorary"):
            raise
        message = "this needs numpy and ml_dtypes: pip install 'lorary[algebra]'"
        raise errors.LoraryError(message, code="extra_missing") from error


@contextlib.contextmanager
def steps(verb: str) -> Iterator[Callable[[int, int], None]]:
    """Yield a function that counts on a terminal; it takes what is done, and the total."""
    counts: list[Counting] = []

    def step(done: int, total: int) -> None:
        if not counts:
            counts.append(Counting(verb, total, is_drawn=sys.stderr.isatty()))
        counts[0].step(done)

    try:
        yield step
    finally:
        for count in counts:
            count.clear()


def written(out: WrittenFile) -> dict[str, object]:
    """Return the JSON result for a file that was written."""
    return {"path": str(out.path), "sha256": out.sha256}


def whole(text: str) -> int:
    """Return a whole number of at least 1."""
    if not text.isdecimal() or not 1 <= int(text) < 2**31:
        message = f"“{text}” is not a whole number of at least 1"
        raise argparse.ArgumentTypeError(message)
    return int(text)


def share(text: str) -> float:
    """Return a number above 0 and at most 1."""
    return _number(text, lambda value: 0 < value <= 1, "a number above 0 and at most 1")


def strengths(text: str | None, files: int) -> list[float]:
    """Return the strength of each file.

    Raises:
        UsageError: they are not as many numbers as files.
    """
    if text is None:
        return [1.0] * files
    try:
        found = [float(word) for word in text.split(",")]
    except ValueError:
        found = []
    if len(found) != files or not all(map(math.isfinite, found)) or not any(found):
        message = f"--strengths needs {files} numbers, separated by commas, not all of them 0"
        raise UsageError(message)
    return found


def _number(text: str, is_valid: Callable[[float], bool], what: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not is_valid(value):
        message = f"“{text}” is not {what}"
        raise argparse.ArgumentTypeError(message)
    return value
