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
    from lorary.client.find_by_hash import Found, Match
    from lorary.client.find_by_sketch import Relative
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
    from lorary.client.transfers.pack_pulling import PulledPack
    from lorary.client.transfers.publishing import Details, Pushed
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

_HOMES = {
    "Account": "lorary.client.models",
    "Adapter": "lorary.client.models",
    "Alias": "lorary.client.curation",
    "Answer": "lorary.client.resolving.resolve",
    "AsyncHub": "lorary.client.aio.async_hub",
    "DerivedFile": "lorary.client.transfers.derived",
    "Details": "lorary.client.transfers.publishing",
    "Figure": "lorary.client.reports",
    "File": "lorary.client.models",
    "Found": "lorary.client.find_by_hash",
    "Holder": "lorary.client.models",
    "Hub": "lorary.client.hub",
    "InsecureTransport": "lorary.client.config",
    "Layer": "lorary.client.tryouts",
    "Look": "lorary.client.models",
    "LoraReference": "lorary.client.resolving.references",
    "LoraryError": "lorary.client.errors",
    "Match": "lorary.client.find_by_hash",
    "Move": "lorary.client.curation",
    "OnProgress": "lorary.client.progress",
    "Outcome": "lorary.client.transfers.several",
    "Pack": "lorary.client.packs",
    "PackPart": "lorary.client.packs",
    "PackVariant": "lorary.client.packs",
    "PackVersion": "lorary.client.packs",
    "Previews": "lorary.client.models",
    "Progress": "lorary.client.progress",
    "Pulled": "lorary.client.transfers.pulling",
    "PulledFile": "lorary.client.transfers.pulling",
    "PulledPack": "lorary.client.transfers.pack_pulling",
    "Pushed": "lorary.client.transfers.publishing",
    "Reference": "lorary.client.names",
    "Relative": "lorary.client.find_by_sketch",
    "Report": "lorary.client.reports",
    "Resolved": "lorary.client.resolving.references",
    "Results": "lorary.client.notebooks.results",
    "Token": "lorary.client.models",
    "Tryout": "lorary.client.tryouts",
    "Upload": "lorary.client.models",
    "Version": "lorary.client.models",
    "inspect": "lorary.client.shortcuts",
    "pull": "lorary.client.shortcuts",
    "push": "lorary.client.shortcuts",
    "resolve": "lorary.client.shortcuts",
    "search": "lorary.client.shortcuts",
}

__getattr__, __dir__ = names_of(__name__, _HOMES)
