"""Random signs that every machine draws alike: the directions on which sketches project.

The generator is Philox, keyed by a hash of the module's name and shape, so that a sign depends on
nothing else. Its stream is part of numpy's stable interface (NEP 19).
The signs that add weights into a vector are the bits of their mixed key (splitmix64), because
there are few for each of many keys. Sources: Salmon et al. 2011, "Parallel Random Numbers: As Easy
as 1, 2, 3"; Steele, Lea, Flood 2014, "Fast Splittable Pseudorandom Number Generators".
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

Signs = np.ndarray[Any, np.dtype[np.float32]]
Keys = np.ndarray[Any, np.dtype[np.uint64]]

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


def signs_of_keys(keys: Keys) -> Signs:
    """Return 64 signs of ±1 for each key, `(keys, 64)`."""
    mixed = keys.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    words = (mixed ^ (mixed >> np.uint64(31))).astype("<u8")
    bits = np.unpackbits(words.view(np.uint8), bitorder="little")
    return _PLUS_MINUS[bits].reshape(len(keys), _WORD_BITS)


_PLUS_MINUS: Signs = np.array([1.0, -1.0], dtype=np.float32)
