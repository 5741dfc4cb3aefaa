"""Why the parts of a file cannot be read."""

from __future__ import annotations

from enum import Enum


class Fault(Enum):
    """The file is incomplete, damaged, or outside a limit."""

    CUT = "cut"  # incomplete
    CHANGED = "changed"  # damaged, such as a checksum that differs
    ENDLESS = "endless"  # too many parts
    TEXTS = "texts"  # compressed text that is too large


class Broken(ValueError):
    """The parts cannot be read; ``name`` is the PNG chunk with a wrong checksum."""

    def __init__(self, why: Fault, name: bytes = b"") -> None:
        super().__init__(why.value)
        self.why, self.name = why, name
