"""Hashes by which users search weights.

```
 │ length │ header │ tensor │ tensor │ … │
 └──────── sha256, blake3, crc32 ────────┘   autov1: 64 KiB of it, 1 MiB from its start
                   └──── data_sha256 ────┘   same after a change of metadata
                   └─ one ─┘└─ one ─┘        tensors: same in another order or with other names
                   └ values ─────────┘       weights_f16, weights_bf16: same in such a copy
```

Sources: AUTOMATIC1111's web UI and kohya's networks for AutoV1 and AutoV3 (`sshs_legacy_hash`,
`sshs_model_hash`); Civitai's scanner for their short forms and for a CRC-32 whose bytes are written
in the reverse order of zlib's; https://github.com/BLAKE3-team/BLAKE3-specs.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from pathlib import Path
from typing import NamedTuple

from blake3 import blake3

from lorary.client.finding.by_hash import (
    AUTOV1_BEGIN,
    AUTOV1_DIGITS,
    AUTOV1_END,
    AUTOV2_DIGITS,
    AUTOV3_DIGITS,
)
from lorary.safetensors import read_header

_BLOCK_BYTES = 1024 * 1024
_BEGINNING = re.compile(r"[0-9a-f]{8,63}\Z")
_HEX = re.compile(r"[0-9a-f]{1,1024}\Z")
_PREFIX = re.compile(r"(?:0x|(?:sha256|blake3|crc32|autov[123]):)")


class WholeHashes:
    """Computes sha256, AutoV1 and CRC-32 of a stream of blocks."""

    def __init__(self) -> None:
        self.sha256 = hashlib.sha256()
        self._v1 = hashlib.sha256()
        self._has_v1 = False
        self._crc = 0

    def update(self, begin: int, block: memoryview) -> None:
        """Add the block that begins at this byte of the file."""
        self.sha256.update(block)
        self._crc = zlib.crc32(block, self._crc)
        window = block[max(0, AUTOV1_BEGIN - begin) : max(0, AUTOV1_END - begin)]
        if window:
            self._has_v1 = True
            self._v1.update(window)

    def results(self) -> dict[str, str]:
        """Return kind → hash; files that end before AutoV1's window have no AutoV1."""
        sha256, crc = self.sha256.hexdigest(), f"{self._crc:08x}"
        found = {"sha256": sha256, "autov2": sha256[:AUTOV2_DIGITS], "crc32": crc}
        return found | ({"autov1": self._v1.hexdigest()[:AUTOV1_DIGITS]} if self._has_v1 else {})


class DataHashes:
    """Computes BLAKE3 of a stream of blocks, and SHA-256 of its data section."""

    def __init__(self, data_start: int | None) -> None:
        """Begin.

        Args:
            data_start: Byte of the file where the data section begins; None where it has none.
        """
        self._start = data_start
        self._data = hashlib.sha256()
        self._all = blake3()

    def update(self, begin: int, block: memoryview) -> None:
        """Add the block that begins at this byte of the file."""
        self._all.update(block)
        if self._start is not None:
            self._data.update(block[max(0, self._start - begin) :])

    def results(self) -> dict[str, str]:
        """Return kind → hash."""
        found = {"blake3": self._all.hexdigest()}
        if self._start is not None:
            data = self._data.hexdigest()
            found |= {"data_sha256": data, "autov3": data[:AUTOV3_DIGITS]}
        return found


def hashes_of_file(path: Path) -> dict[str, str]:
    """Return kind → hash of a local file with weights; it is read once.

    Raises:
        HeaderError: it has no valid header.
        OSError: it cannot be read.
    """
    whole, data = WholeHashes(), DataHashes(read_header(path).data_start)
    view, begin = memoryview(bytearray(_BLOCK_BYTES)), 0
    with path.open("rb") as file:
        while count := file.readinto(view):
            for hashing in (whole, data):
                hashing.update(begin, view[:count])
            begin += count
    return whole.results() | data.results()


def swapped(crc: str) -> str:
    """Return eight hex digits with their four bytes in reverse order."""
    return bytes.fromhex(crc)[::-1].hex()


class Form(NamedTuple):
    """A kind and a value of a hash, as stored."""

    kind: str
    value: str


def forms_of(text: str) -> list[Form]:
    """Return the stored forms that a user's hash may match; [] for an invalid one.

    Accepts upper case, ``0x`` and a prefix such as ``blake3:``. The bytes of a CRC-32 may be in
    either order.
    """
    value = _PREFIX.sub("", text.strip().lower(), count=1)
    if not _HEX.match(value):
        return []
    if len(value) == AUTOV1_DIGITS:
        crcs = dict.fromkeys((value, swapped(value)))
        return [Form("autov1", value), *(Form("crc32", crc) for crc in crcs)]
    kinds = {
        AUTOV2_DIGITS: ("autov2",),
        AUTOV3_DIGITS: ("autov3",),
        64: ("sha256", "data_sha256", "blake3", "tensors", "weights_f16", "weights_bf16"),
    }.get(len(value), ())
    return [Form(kind, value) for kind in kinds]


def beginning_of(text: str) -> str:
    """Return the first digits of a sha256 that a text may be, at least 8; "" for none.

    Accepts what ``forms_of`` does, and the short form of pages: ``1998e5cd…bde2``.
    """
    value = _PREFIX.sub("", text.strip().lower(), count=1).partition("…")[0]
    return value if _BEGINNING.match(value) else ""
