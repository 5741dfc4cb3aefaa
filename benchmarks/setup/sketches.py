"""The sketches of a large hub: ``python -m benchmarks.setup.sketches`` looks up among them.

It makes a hub's database in ``LORARY_DATA`` and prints what look-ups took, one line of JSON.
"""

from __future__ import annotations

import json
import os
import statistics
import time
from pathlib import Path

import numpy as np

from lorary.algebra.recognition.relating import Facts
from lorary.algebra.recognition.sketch import DEPTH, FORM, WIDTH, WeightSketches

SKETCHES, LOOKUPS, BATCH = 100_000, 20, 10_000
#: Weights of each sketch: those of an adapter of SDXL.
WEIGHTS = 722


def measure() -> dict[str, float]:
    """Make the sketches and return what look-ups among them take."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "hub.settings.base"
    import django  # noqa: PLC0415 - needs the settings above

    django.setup()
    from django.core.management import call_command  # noqa: PLC0415 - as above

    from registry.blobs import relatives  # noqa: PLC0415 - as above

    call_command("migrate", verbosity=0, interactive=False)
    sketches = _store()
    before = _anonymous_mib()
    spent = []
    for sketch in sketches:
        began = time.process_time()
        assert not relatives.of_sketch(None, sketch, Facts())  # nothing is published
        spent.append(1000 * (time.process_time() - began))
    return {
        "first_ms": spent[0],
        "lookup_ms": statistics.median(spent[1:]),
        "memory_mib": _anonymous_mib() - before,
    }


def _store() -> list[WeightSketches]:
    """Write the sketches, and the weights of those that look-ups read."""
    from registry.blobs.sketch_index import SketchIndex  # noqa: PLC0415 - as above
    from registry.blobs.sketches import MAX_CANDIDATES  # noqa: PLC0415 - as above
    from registry.models import Blob, BlobSketch, WeightSketch  # noqa: PLC0415 - as above

    random = np.random.default_rng(1)
    for begin in range(0, SKETCHES, BATCH):
        numbers = range(begin, begin + BATCH)
        blobs = Blob.objects.bulk_create(Blob(sha256=f"{n:064x}", size_bytes=1) for n in numbers)
        vectors = random.standard_normal((BATCH, WIDTH))
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        BlobSketch.objects.bulk_create(
            BlobSketch(blob=blob, form=FORM, vector=vector.astype("<f2").tobytes())
            for blob, vector in zip(blobs, vectors, strict=True)
        )
    wanted = [_random_sketch(random) for _ in range(LOOKUPS + 1)]
    index = SketchIndex()
    read = {
        one.sketch_id
        for sketch in wanted
        for one in index.nearest(sketch.vector())[:MAX_CANDIDATES]
    }
    data = _random_sketch(random).to_bytes()
    WeightSketch.objects.bulk_create(WeightSketch(sketch_id=pk, data=data) for pk in read)
    return wanted


def _random_sketch(random: np.random.Generator) -> WeightSketches:
    keys = np.arange(1, WEIGHTS + 1, dtype=np.uint64)
    numbers = random.standard_normal((WEIGHTS, DEPTH)).astype(np.float32) / WEIGHTS**0.5
    return WeightSketches(keys, np.full(WEIGHTS, 8, dtype=np.uint16), numbers, 1.0)


def _anonymous_mib() -> float:
    status = Path("/proc/self/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("RssAnon"))
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    print(json.dumps(measure()))
