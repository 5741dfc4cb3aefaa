"""Sizes for people."""

from __future__ import annotations


def count_bytes(size: int) -> str:
    """Return a human-readable size in powers of 1000, as in file managers."""
    amount = float(size)
    for unit in ("bytes", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{size} {unit}" if unit == "bytes" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} TB"
