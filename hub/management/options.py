"""Types of options of management commands; argparse prints their messages."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def whole_number(least: int, most: int = 10**9) -> Callable[[str], int]:
    """Return a type for whole numbers in a range."""

    def parse(text: str) -> int:
        if text.isascii() and text.isdigit() and least <= int(text[:10]) <= most:
            return int(text)
        at_most = f" and at most {most}" if most < 10**9 else ""
        message = f"{text!r} is not a whole number of at least {least}{at_most}"
        raise argparse.ArgumentTypeError(message)

    return parse
