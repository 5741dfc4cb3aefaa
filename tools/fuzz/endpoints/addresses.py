"""Every address of both protocols, as their own lists of addresses say. Needs Django's settings."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

from django.core.handlers.wsgi import get_path_info
from django.urls import Resolver404, URLPattern, URLResolver, resolve

from hub.protocols.civitai import urls as civitai
from hub.protocols.huggingface import urls as huggingface

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

HUGGING_FACE, CIVITAI = "Hugging Face", "Civitai"

_PARAMETER = re.compile(r"<(?:[a-z-]+:)?([a-z_]+)>")


@dataclass(frozen=True, slots=True)
class Address:
    """A pattern: ``api/models/<str:owner>/<str:name>/refs`` of a protocol."""

    protocol: str
    route: str

    @property
    def parameters(self) -> list[str]:
        """Names of what is left open, in their order."""
        return _PARAMETER.findall(self.route)

    def filled(self, values: Sequence[str]) -> str:
        """Return a path with these values, which are quoted already."""
        left = iter(values)
        return "/" + _PARAMETER.sub(lambda _found: next(left), self.route)


def addresses() -> list[Address]:
    """Return all of them; none is written down a second time."""
    protocols = ((HUGGING_FACE, huggingface.urlpatterns), (CIVITAI, civitai.urlpatterns))
    return [
        Address(protocol, route) for protocol, patterns in protocols for route in _routes(patterns)
    ]


def _routes(patterns: Sequence[URLPattern | URLResolver], before: str = "") -> Iterator[str]:
    for one in patterns:
        route = f"{before}{one.pattern}"
        if isinstance(one, URLResolver):
            yield from _routes(one.url_patterns, route)
        else:
            yield route


def route_of(target: bytes) -> str:
    """Return the pattern that a hub finds for what a request line names; "" where it has none."""
    raw = unquote_to_bytes(re.split(rb"[?#]", target)[0])
    try:
        return resolve(get_path_info({"PATH_INFO": raw.decode("latin-1")})).route
    except Resolver404:
        return ""
