"""Reads every number of a file once, in constant memory: is it finite, and what is its hash.

NaN and infinity are told from the bits, so that types numpy does not know (bf16, fp8) need no
conversion: a float is not finite when all bits of its exponent are set; E4M3FN has no infinity
and one NaN pattern. Source: IEEE 754; Micikevicius et al. 2022, "FP8 Formats for Deep Learning".
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

import numpy as np
from django.utils.translation import gettext as _

from lorary.anatomy import Finding

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lorary.safetensors import Header, TensorInfo

__all__ = ["Examined", "examine"]

#: Bytes read at a time; a multiple of every element size.
BLOCK = 4 * 1024 * 1024

#: At most this many names are listed in a finding.
MAX_NAMES = 20


class _Bits(NamedTuple):
    """Element type as unsigned integers, and the pattern that is not finite."""

    dtype: str
    mask: int
    pattern: int


_FLOATS = {
    "F64": _Bits("<u8", 0x7FF0_0000_0000_0000, 0x7FF0_0000_0000_0000),
    "F32": _Bits("<u4", 0x7F80_0000, 0x7F80_0000),
    "F16": _Bits("<u2", 0x7C00, 0x7C00),
    "BF16": _Bits("<u2", 0x7F80, 0x7F80),
    "F8_E5M2": _Bits("<u1", 0x7C, 0x7C),
    "F8_E4M3": _Bits("<u1", 0x7F, 0x7F),
}


class Examined(NamedTuple):
    """What the numbers of a file say.

    Attributes:
        findings: About numbers that are not finite and pairs that do nothing.
        data_sha256: Digest of everything after the header, 64 hex digits (AutoV3 in full).
    """

    findings: tuple[Finding, ...]
    data_sha256: str


def examine(
    header: Header, handle: BinaryIO, progress: Callable[[int, int], None] | None = None
) -> Examined:
    """Read every number once.

    The strict header leaves neither holes nor overlaps, so the tensors in their order are the
    whole data section.

    Args:
        header: Of the file in ``handle``.
        handle: Open for reading; its position is changed.
        progress: Gets bytes read and bytes in all, about once per 4 MiB.
    """
    sha = hashlib.sha256()
    broken: list[str] = []
    silent: list[str] = []
    total = sum(info.size_bytes for info in header.tensors.values())
    done = told = 0
    for name, info in sorted(header.tensors.items(), key=lambda item: item[1].begin):
        is_finite, is_zero = True, True
        for block in _blocks(header, info, handle):
            sha.update(block)
            is_zero = is_zero and block.count(0) == len(block)
            is_finite = is_finite and _is_finite(block, info.dtype)
            done += len(block)
            if progress is not None and (done - told >= BLOCK or done == total):
                told = done
                progress(done, total)
        if not is_finite:
            broken.append(name)
        if is_zero and _is_up_matrix(name) and info.size_bytes:
            silent.append(name)
    return Examined(tuple(_findings(broken, silent)), sha.hexdigest())


def _findings(broken: list[str], silent: list[str]) -> Iterator[Finding]:
    if broken:
        yield Finding(
            "numbers_not_finite",
            "error",
            _("%(n)d tensors hold NaN or infinity; pictures made with them are black. Export an "
              "earlier checkpoint.") % {"n": len(broken)},
            {"count": len(broken), "tensors": broken[:MAX_NAMES]},
        )  # fmt: skip
    if silent:
        yield Finding(
            "modules_silent",
            "warning",
            _("%(n)d modules are all zero and change nothing.") % {"n": len(silent)},
            {"count": len(silent), "tensors": silent[:MAX_NAMES]},
        )


def _blocks(header: Header, info: TensorInfo, handle: BinaryIO) -> Iterator[bytes]:
    handle.seek(header.data_start + info.begin)
    left = info.size_bytes
    while left:
        block = handle.read(min(BLOCK, left))
        if not block:
            return
        left -= len(block)
        yield block


def _is_finite(block: bytes, dtype: str) -> bool:
    bits = _FLOATS.get(dtype)
    if bits is None:
        return True
    values = np.frombuffer(block, dtype=bits.dtype)
    return not bool(((values & bits.mask) == bits.pattern).any())


def _is_up_matrix(name: str) -> bool:
    return name.endswith((".lora_up.weight", ".lora_B.weight", ".lora.up.weight"))
