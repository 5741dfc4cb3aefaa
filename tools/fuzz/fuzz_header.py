"""Coverage-guided fuzzing with atheris, which is installed by hand (`pip install atheris`).

    python tools/fuzz/fuzz_header.py [-runs=100000] [-max_len=4096] [corpus folder]

Three of four inputs are taken for the JSON of a header and get their length; the others are a
whole file. A broken rule ends the run; the input is written to the current folder.
"""

from __future__ import annotations

import struct
import sys
from pathlib import Path
from random import Random

import atheris

sys.path[:0] = [str(Path(__file__).resolve().parents[2])]

with atheris.instrument_imports(include=["lorary"]):
    import lorary.anatomy
    import lorary.safetensors  # noqa: F401 - instrumented

from tools.fuzz.checks import check  # noqa: E402 - needs the path
from tools.fuzz.mutations import mutated  # noqa: E402 - needs the path


def test_one_input(data: bytes) -> None:
    """Check one input; the first byte says how it is meant."""
    if data[:1] and data[0] % 4:
        raw = b"{" + data[1:]
        check(struct.pack("<Q", len(raw)) + raw)
    else:
        check(data[1:])


def change(data: bytes, most: int, seed: int) -> bytes:
    """Give libFuzzer a header of our own at times, else its own change of the last one."""
    random = Random(seed)
    if random.random() < 0.2:
        return (b"\x00" + mutated(random))[:most]
    changed: bytes = atheris.Mutate(data, most)
    return changed


def main() -> None:
    """Fuzz until something breaks or the runs are over."""
    atheris.Setup(sys.argv, test_one_input, custom_mutator=change)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
