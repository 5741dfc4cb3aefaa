"""The client of a Lorary hub: `Hub`, and shortcuts that take the hub from the environment.

Importing this package is cheap: everything below is loaded at its first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lorary.lazy import names_of

if TYPE_CHECKING:
    from lorary.client.aio.async_hub import AsyncHub
    from lorary.client.config import InsecureTransport
    from lorary.client.curation import Alias, Move
    from lorary.client.errors import LoraryError
    from lorary.client.finding.by_hash import Found, Match
    from lorary.client.finding.by_sketch import Relative
    from lorary.client.hub import Hub
    from lorary.client.models import (
        Account,
        Adapter,
        File,
        Holder,
        Look,
        Previews,
        Token,
        Upload,
        Version,
    )
    from lorary.client.names import Reference
    from lorary.client.notebooks.results import Results
    from lorary.client.packs import Pack, PackPart, PackVariant, PackVersion
    from lorary.client.progress import OnProgress, Progress
    from lorary.client.reports import Figure, Report
    from lorary.client.resolving.references import LoraReference, Resolved
    from lorary.client.resolving.resolve import Answer
    from lorary.client.shortcuts import inspect, pull, push, resolve, search
    from lorary.client.transfers.derived import DerivedFile
    from lorary.client.transfers.details import Details
    from lorary.client.transfers.pack_pulling import PulledPack
    from lorary.client.transfers.publishing import Pushed
    from lorary.client.transfers.pulling import Pulled, PulledFile
    from lorary.client.transfers.several import Outcome
    from lorary.client.tryouts import Layer, Tryout

__all__ = [
    "Account",
    "Adapter",
    "Alias",
    "Answer",
    "AsyncHub",
    "DerivedFile",
    "Details",
    "Figure",
    "File",
    "Found",
    "Holder",
    "Hub",
    "InsecureTransport",
    "Layer",
    "Look",
    "LoraReference",
    "LoraryError",
    "Match",
    "Move",
    "OnProgress",
    "Outcome",
    "Pack",
    "PackPart",
    "PackVariant",
    "PackVersion",
    "Previews",
    "Progress",
    "Pulled",
    "PulledFile",
    "PulledPack",
    "Pushed",
    "Reference",
    "Relative",
    "Report",
    "Resolved",
    "Results",
    "Token",
    "Tryout",
    "Upload",
    "Version",
    "inspect",
    "pull",
    "push",
    "resolve",
    "search",
]

_NAMES = {
    "lorary.client.aio.async_hub": ["AsyncHub"],
    "lorary.client.config": ["InsecureTransport"],
    "lorary.client.curation": ["Alias", "Move"],
    "lorary.client.errors": ["LoraryError"],
    "lorary.client.finding.by_hash": ["Found", "Match"],
    "lorary.client.finding.by_sketch": ["Relative"],
    "lorary.client.hub": ["Hub"],
    "lorary.client.models": [
        "Account",
        "Adapter",
        "File",
        "Holder",
        "Look",
        "Previews",
        "Token",
        "Upload",
        "Version",
    ],
    "lorary.client.names": ["Reference"],
    "lorary.client.notebooks.results": ["Results"],
    "lorary.client.packs": ["Pack", "PackPart", "PackVariant", "PackVersion"],
    "lorary.client.progress": ["OnProgress", "Progress"],
    "lorary.client.reports": ["Figure", "Report"],
    "lorary.client.resolving.references": ["LoraReference", "Resolved"],
    "lorary.client.resolving.resolve": ["Answer"],
    "lorary.client.shortcuts": ["inspect", "pull", "push", "resolve", "search"],
    "lorary.client.transfers.derived": ["DerivedFile"],
    "lorary.client.transfers.pack_pulling": ["PulledPack"],
    "lorary.client.transfers.details": ["Details"],
    "lorary.client.transfers.publishing": ["Pushed"],
    "lorary.client.transfers.pulling": ["Pulled", "PulledFile"],
    "lorary.client.transfers.several": ["Outcome"],
    "lorary.client.tryouts": ["Layer", "Tryout"],
}

__getattr__, __dir__ = names_of(__name__, _NAMES)
