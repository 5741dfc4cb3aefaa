"""The client of a Lorary hub: `Hub`, and shortcuts that take the hub from the environment."""

from lorary.client.config import InsecureTransport
from lorary.client.curating import Alias, Move
from lorary.client.errors import LoraryError
from lorary.client.finding import Found, Match
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
from lorary.client.progress import OnProgress, Progress
from lorary.client.publishing import Details, Pushed
from lorary.client.pulling import Pulled, PulledFile
from lorary.client.shortcuts import inspect, pull, push, search
from lorary.client.trying import Layer, Tryout

__all__ = [
    "Account",
    "Adapter",
    "Alias",
    "Details",
    "File",
    "Found",
    "Holder",
    "Hub",
    "InsecureTransport",
    "Layer",
    "Look",
    "LoraryError",
    "Match",
    "Move",
    "OnProgress",
    "Previews",
    "Progress",
    "Pulled",
    "PulledFile",
    "Pushed",
    "Reference",
    "Token",
    "Tryout",
    "Upload",
    "Version",
    "inspect",
    "pull",
    "push",
    "search",
]
