"""Lorary: read, check, push and pull LoRA adapters.

Importing this package is cheap: everything below is loaded at its first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lorary.anatomy import Anatomy, Finding, Inspection
    from lorary.client import Hub, LoraryError, inspect, pull, push, search

__version__ = "0.1.0"

__all__ = [
    "Anatomy",
    "Finding",
    "Hub",
    "Inspection",
    "LoraryError",
    "__version__",
    "inspect",
    "pull",
    "push",
    "search",
]

_HOMES = {
    "Anatomy": "lorary.anatomy",
    "Finding": "lorary.anatomy",
    "Hub": "lorary.client",
    "Inspection": "lorary.anatomy",
    "LoraryError": "lorary.client",
    "inspect": "lorary.client",
    "pull": "lorary.client",
    "push": "lorary.client",
    "search": "lorary.client",
}


def __getattr__(name: str) -> object:
    """Load a public name from where it lives (PEP 562)."""
    home = _HOMES.get(name)
    if home is None:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Show the public names before they are loaded."""
    return sorted({*globals(), *__all__})
