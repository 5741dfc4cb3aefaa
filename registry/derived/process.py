"""``python -m registry.derived.process FOLDER``: make one derived file in a process of its own.

The folder has the order and the source (``SOURCE``), with its configuration if it has one. The
process writes the file into ``out/``, then the outcome (``registry.confined.inside``).
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from lorary import __version__
from lorary.algebra.conversion.converting import PEFT_NAME, convert
from lorary.algebra.files import WeightFile
from lorary.algebra.merging.merge import MergeSettings, merge
from lorary.algebra.metadata.rewrite import rewrite
from lorary.algebra.modules import open_adapter
from lorary.algebra.resize import resize_to_rank
from lorary.anatomy.claims.config import CONFIG_NAME
from lorary.anatomy.inspection import inspect_file
from registry.confined import inside

#: The source, under PEFT's name, so that a configuration beside it is read.
SOURCE = f"in/{PEFT_NAME}"
#: Algorithms that are approximated by a LoRA where a rank is wanted.
APPROXIMATED = frozenset({"loha", "lokr"})


class Made(NamedTuple):
    """A file between two steps, and what was certified so far."""

    path: Path
    certificate: dict[str, Any]


Step: TypeAlias = "Callable[[Path, Path], Made]"


def make(folder: Path, order: dict[str, Any]) -> dict[str, Any]:
    """Write the file and return the outcome: its path, certificate and configuration.

    A file that has the wanted names already is its own result, so that the path is that of the
    source.
    """
    source = folder / SOURCE
    naming, family, rank = order["naming"], order["family"] or None, order["max_rank"]
    anatomy = inspect_file(source).anatomy
    convention = None if anatomy is None else anatomy.convention
    is_peft = naming == "peft" or (not naming and convention == "peft")
    steps: list[Step] = []
    algorithms = (
        {one for name in anatomy.algorithms for one in name.split("+")} if anatomy else set()
    )
    if rank and algorithms & APPROXIMATED:
        steps.append(partial(_approximated, max_rank=rank, family=family))
    if naming:
        steps.append(partial(_converted, naming=naming, family=family))
    if rank:
        steps.append(partial(_resized, max_rank=rank))
    if rank and is_peft:
        steps.append(partial(_described, family=family))
    if order["strip"]:
        steps.append(_stripped)
    path, certificate = source, {"schema": 1, "lorary": __version__}
    for number, step in enumerate(steps):
        (folder / inside.STEP).write_text(f"{number} {len(steps)}", "utf-8")
        place = folder / "out" / str(number)
        place.mkdir(parents=True)
        made = step(path, place / PEFT_NAME)
        if path not in {made.path, source}:
            shutil.rmtree(path.parent)
        path, certificate = made.path, {**certificate, **made.certificate}
    config = path.with_name(CONFIG_NAME)
    has_config = is_peft and path != source and config.is_file()
    return {
        "path": str(path.relative_to(folder)),
        "certificate": certificate,
        "config": config.read_text("utf-8") if has_config else "",
    }


def _approximated(path: Path, out: Path, *, max_rank: int, family: str | None) -> Made:
    """Make a LoRA of LoHa and LoKr; the certificate has what it loses."""
    settings = MergeSettings(max_rank=max_rank, family=family)
    done = merge([path], out, strengths=(1.0,), settings=settings)
    total = sum(module.energy for module in done.modules)
    kept = sum(module.kept for module in done.modules)
    facts = {
        "max_rank": max_rank,
        "modules": len(done.modules),
        "energy_kept": kept / total if total > 0 else 1.0,
        "max_relative_error": done.max_relative_error,
    }
    return Made(out, {"approximation": facts})


def _converted(path: Path, out: Path, *, naming: str, family: str | None) -> Made:
    done = convert(path, to=naming, out=out, family=family)
    with WeightFile(path) as old, WeightFile(out) as new:
        is_same = set(old.tensors.names) == set(new.tensors.names)
    facts = {
        "from": done.converted_from,
        "to": done.target,
        "family": done.family,
        **done.certificate.to_dict(),
        "left_out": list(done.left_out),
    }
    return Made(path if is_same else out, {"conversion": facts})


def _resized(path: Path, out: Path, *, max_rank: int) -> Made:
    with open_adapter(path) as adapter:
        ranks = [module.rank for module in adapter.modules.values()]
    if max(ranks) <= max_rank:
        return Made(path, {})
    done = resize_to_rank(path, out, rank=max_rank)
    facts = {
        "max_rank": max_rank,
        "modules": len(ranks),
        "resized": sum(rank > max_rank for rank in ranks),
        "energy_kept": done.kept,
    }
    return Made(done.out.path, {"resize": facts})


def _described(path: Path, out: Path, *, family: str | None) -> Made:
    """Write PEFT's configuration for the new ranks; the tensors keep their bytes."""
    if path.with_name(CONFIG_NAME).exists():
        return Made(path, {})
    convert(path, to="peft", out=out, family=family)
    return Made(out, {})


def _stripped(path: Path, out: Path) -> Made:
    done = rewrite(path, out, strips_training=True)
    config = path.with_name(CONFIG_NAME)
    if config.is_file():
        shutil.copy(config, out.with_name(CONFIG_NAME))
    return Made(out, {"strip": {"removed": list(done.removed)}})


if __name__ == "__main__":
    inside.main(Path(sys.argv[1]), [Path(sys.argv[1], SOURCE)], make)
