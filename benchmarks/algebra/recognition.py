"""Recognition: which of 300 generated files are found as copies, and look-ups among 100,000."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from benchmarks.results import Result
from benchmarks.setup.sketches import SKETCHES
from lorary.algebra.recognition.relating import Facts, Relation, relation
from lorary.algebra.recognition.sketch import WeightSketches, sketch_file
from lorary.anatomy import inspect_file
from tests.builders.relatives import FAMILIES, copies, write_original

if TYPE_CHECKING:
    from collections.abc import Iterator

LIMIT_MS, LIMIT_MIB = 50.0, 100.0
#: Least cosine of vectors from which sketches are compared (``registry.blobs.sketch_index``).
LEAST = 0.375

EXPECTED = {
    "fp16": "number_format", "bf16": "number_format", "renamed": "renamed", "resized": "resized",
    "strength": "strength",
}  # fmt: skip


def run() -> list[Result]:
    """Compare all pairs of 300 files, then look up among 100,000 sketches."""
    with TemporaryDirectory(prefix="lorary-bench-") as place:
        results = _pairs(list(_files(Path(place))))
        command = [sys.executable, "-m", "benchmarks.setup.sketches"]
        environment = {**os.environ, "LORARY_DATA": place, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        measured = json.loads(done.stdout.splitlines()[-1])
    case = f"{SKETCHES:,} sketches: "
    return [
        *results,
        _of(case + "look-up", measured["lookup_ms"], LIMIT_MS, "what it may take", "CPU ms", 1.0),
        _of(case + "first look-up", measured["first_ms"], LIMIT_MS, "a later one", "CPU ms"),
        _of(case + "memory", measured["memory_mib"], LIMIT_MIB, "what it may take", "MiB", 1.0),
    ]


def _of(
    case: str, value: float, reference: float, against: str, unit: str, limit: float | None = None
) -> Result:
    return Result("recognition", case, value, reference, against, unit, limit)


class _File(NamedTuple):
    """A generated file; those of a group are copies of one original."""

    group: int
    form: str
    sketch: WeightSketches
    facts: Facts


def _files(folder: Path) -> Iterator[_File]:
    """Yield two originals of each family with five copies of each."""
    for group, (family, target) in enumerate(itertools.product(FAMILIES, ("kohya", "comfyui"))):
        path = folder / f"{group}.safetensors"
        write_original(path, family, target, seed=group)
        for form, copy in {"original": path, **copies(path, family, target, folder)}.items():
            sketch, anatomy = sketch_file(copy), inspect_file(copy).anatomy
            assert sketch is not None
            assert anatomy is not None
            yield _File(group, form, sketch, Facts.of(anatomy.to_dict()))
            copy.unlink()


def _pairs(files: list[_File]) -> list[Result]:
    vectors = np.array([file.sketch.vector() for file in files])
    cosines = np.abs(vectors @ vectors.T)
    missed = wrong = false = pairs = 0
    furthest, screened = 1.0, 0
    for one, two in itertools.combinations(range(len(files)), 2):
        first, second = files[one], files[two]
        found: Relation | None = None
        if cosines[one, two] >= LEAST:
            found = relation(first.sketch, second.sketch, first.facts, second.facts)
        if first.group != second.group:
            false += found is not None
            screened += bool(cosines[one, two] >= LEAST)
            continue
        pairs += 1
        missed += found is None
        if found is not None:
            furthest = min(furthest, found.cosine)
            wrong += first.form == "original" and found.kind != EXPECTED[second.form]
    print(
        f"{len(files)} files: cosines of copies from {furthest:.3f}; of other pairs, {screened} "
        "passed the vectors",
        file=sys.stderr,
    )
    others = len(files) * (len(files) - 1) // 2 - pairs
    return [
        _of(f"{len(files)} files: copies not found", missed, pairs, "all copies", "pairs", 0.0),
        _of(f"{len(files)} files: copies misnamed", wrong, pairs, "all copies", "pairs", 0.0),
        _of(f"{len(files)} files: false relatives", false, others, "other pairs", "pairs", 0.0),
    ]
