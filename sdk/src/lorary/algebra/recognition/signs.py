"""Random signs that every machine draws alike: the directions on which sketches project.

The generator is Philox, keyed by a hash of the module's name and shape, so that a sign depends on
nothing else. Its stream is part of numpy's stable interface (NEP 19).
Source: Salmon et al. 2011, "Parallel Random Numbers: As Easy as 1, 2, 3".
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

Signs = np.ndarray[Any, np.dtype[np.float32]]

_WORD_BITS = 64


def key_of(text: str) -> int:
    """Return the key of a text, 64 bits."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def signs(key: int, stream: int, rows: int, columns: int) -> Signs:
    """Return a matrix of ±1, `(rows, columns)`.

    Args:
        key: Result of `key_of`.
        stream: Another number gives other signs for the same key.
    """
    count = rows * columns
    generator = np.random.Philox(key=np.array([key, stream], dtype=np.uint64))
    words = np.asarray(generator.random_raw(-(-count // _WORD_BITS)), dtype="<u8")
    bits = np.unpackbits(words.view(np.uint8), count=count, bitorder="little")
    # Faster than arithmetic on floats: a sign is an entry of a table of two.
    return _PLUS_MINUS[bits].reshape(rows, columns)


_PLUS_MINUS: Signs = np.array([1.0, -1.0], dtype=np.float32)
