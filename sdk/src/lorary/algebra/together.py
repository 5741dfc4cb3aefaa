"""Opens several adapters under the same names of modules.

Files that spell the names alike are opened as they are. Of others, temporary copies are made in one
naming, by the tables of `naming` and with a certificate for each (`conversion`): the naming that
the caller wants, or else that of the first file.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory

from lorary.algebra.aligning import common_families, have_one_naming
from lorary.algebra.conversion.converting import convert
from lorary.algebra.errors import AlgebraError, about
from lorary.algebra.modules import Adapter, ReadWhole, open_adapter
from lorary.algebra.naming.targets import target_of
from lorary.anatomy import inspect_file


@contextmanager
def open_together(
    paths: Sequence[Path],
    *,
    to: str | None = None,
    family: str | None = None,
    common: frozenset[str] | None = None,
    folder: Path | None = None,
    read_whole: ReadWhole | None = None,
) -> Iterator[list[Adapter]]:
    """Open adapters so that a module of the base model has one name in all of them.

    Args:
        to: One of `TARGETS` or `ALIASES`, see also `needs_kohya`; None for the names of the files,
            or if they differ, the target that the first file's names belong to.
        family: Id of the base model's family, where the files do not show it.
        common: Result of `common_families`, if it is known.
        folder: Where copies in another naming are made; None for the system's temporary folder.
        read_whole: Reads modules without an exact form of two factors, which are refused otherwise.

    Raises:
        AlgebraError: A file can't be read or converted exactly, or the files don't fit together.
        HeaderError: A header breaks a rule.
        OSError: A file can't be read or written.
    """
    with ExitStack() as stack:
        adapters = []
        for path in paths:
            with about(path) if len(paths) > 1 else nullcontext():
                adapters.append(stack.enter_context(open_adapter(path, read_whole)))
        if to is None and have_one_naming([adapter.all_modules for adapter in adapters]):
            yield adapters
            return
        families = common_families(paths) if common is None else common
        if family:
            families = frozenset({family})
        target = "kohya" if needs_kohya(to, adapters) else to or target_of(_convention(paths[0]))
        place = Path(stack.enter_context(TemporaryDirectory(prefix=".lorary-", dir=folder)))
        # ComfyUI and kohya's scripts read some projections split or fused. diffusers splits them.
        for ways in ((target,), ("diffusers", target)):
            copies = [
                _converted(path, ways, families, place / str(number))
                for number, path in enumerate(paths)
            ]
            opened = [stack.enter_context(open_adapter(path, read_whole)) for path in copies]
            if have_one_naming([adapter.all_modules for adapter in opened]):
                break
        yield opened


def needs_kohya(to: str | None, adapters: Sequence[Adapter]) -> bool:
    """Return whether files are opened in kohya's naming instead of a target.

    PEFT's and diffusers' namings have no names for the algorithm of some modules.
    """
    wholes = [one for adapter in adapters for one in adapter.wholes.values()]
    return to in {"peft", "diffusers"} and any("up" not in one.tensors for one in wholes)


def _convention(path: Path) -> str | None:
    anatomy = inspect_file(path).anatomy
    return None if anatomy is None else anatomy.convention


def _converted(path: Path, ways: Sequence[str], families: frozenset[str], folder: Path) -> Path:
    """Return a copy of a file, converted to some namings one after the other."""
    for number, target in enumerate(ways):
        place = folder / str(number)
        place.mkdir(parents=True, exist_ok=True)
        out = place / path.name
        try:
            convert(path, to=target, out=out, among=families)
        except AlgebraError as error:
            message = f"{path.name} can't be converted to the naming {target}: {error.detail}"
            raise AlgebraError(message, code=error.code, **error.facts) from error
        path = out
    return path
