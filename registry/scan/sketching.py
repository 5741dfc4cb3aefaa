"""Sketches and measures weights while their file is read.

Sketches are those of ``lorary.algebra.recognition.sketch``, energies those of
``lorary.algebra.block_energies``. One tensor is in memory at a time, and what is kept of modules
that are not complete.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lorary.algebra.block_energies import BlockEnergies
from lorary.algebra.files import NUMPY_DTYPES
from lorary.algebra.recognition.sketch import Sketcher, WeightSketches

if TYPE_CHECKING:
    from lorary.safetensors import Header, TensorInfo


class SketchedTensors:
    """Collects the tensors that a sketch needs from the blocks of a data section, in order."""

    def __init__(self, header: Header) -> None:
        self._start = header.data_start
        self._energies = BlockEnergies(header)
        self._sketcher = Sketcher(header, self._energies)
        wanted = [
            (info, name)
            for name, info in header.tensors.items()
            if info.size_bytes and self._sketcher.wants(name)
        ]
        self._rows = sorted(wanted, key=lambda row: row[0].begin)
        self._at = 0
        self._bytes = bytearray()

    def update(self, begin: int, block: memoryview) -> None:
        """Add the block that begins at this byte of the file."""
        first = begin - self._start
        end = first + len(block)
        while self._at < len(self._rows):
            info, name = self._rows[self._at]
            place = max(first, info.begin)
            if place >= end:
                return
            stop = min(end, info.end)
            self._bytes += block[place - first : stop - first]
            if stop < info.end:
                return
            self._close(info, name)

    def _close(self, info: TensorInfo, name: str) -> None:
        dtype = NUMPY_DTYPES[info.dtype]
        array = np.frombuffer(self._bytes, dtype).reshape(info.shape)
        self._sketcher.add(name, array)
        self._at += 1
        self._bytes = bytearray()

    def result(self) -> WeightSketches | None:
        """Return the sketches; None if the file can't be sketched."""
        return self._sketcher.result()

    def energies(self) -> dict[str, float] | None:
        """Return block → energy; None if the file has no exact one."""
        return self._energies.result()
