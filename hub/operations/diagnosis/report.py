"""What a probe reports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

FREE_SPACE = "Free space on that disk; until then uploads are refused, but nothing is lost."
MIGRATE = "Run `manage.py migrate`."
#: Maximum number of missing blobs and invalid names that are listed; others are only counted.
NAMED = 5


@dataclass(frozen=True, slots=True)
class Report:
    """One result; ``hint`` says what to do."""

    probe: str
    state: Literal["ok", "warning", "error"]
    message: str
    hint: str = ""
