"""Lorary: read, check, push and pull LoRA adapters.

Importing this package is cheap: everything below is loaded at its first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lorary.lazy import names_of

if TYPE_CHECKING:
    from lorary.anatomy import Anatomy, Finding, Inspection
    from lorary.client import Hub, LoraryError, inspect, pull, push, resolve, search
    from lorary.library import lock, sync

__version__ = "0.1.0"

__all__ = [
    "Anatomy",
    "Finding",
    "Hub",
    "Inspection",
    "LoraryError",
    "__version__",
    "inspect",
    "lock",
    "pull",
    "push",
    "resolve",
    "search",
    "sync",
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
    "resolve": "lorary.client",
    "search": "lorary.client",
    "lock": "lorary.library",
    "sync": "lorary.library",
}

__getattr__, __dir__ = names_of(__name__, _HOMES)
