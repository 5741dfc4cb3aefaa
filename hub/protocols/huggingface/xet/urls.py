"""Addresses of Xet; ``/xet/{session}`` stands for the content store that clients are told of."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, path, register_converter
from django.urls.converters import StringConverter

from hub.protocols.huggingface.xet import endpoints

__all__ = ["urlpatterns"]


class _Digits(StringConverter):
    """Hex digits that stand for 32 bytes."""

    regex = "[0-9a-f]{64}"


class _Session(StringConverter):
    """Hex digits that stand for 16 bytes."""

    regex = "[0-9a-f]{32}"


register_converter(_Digits, "xet-hash")
register_converter(_Session, "xet-session")

PLACE = "xet/<xet-session:session>"

urlpatterns: list[URLPattern | URLResolver] = [
    path(
        "api/models/<str:owner>/<str:name>/xet-write-token/<path:ref>",
        endpoints.write_token,
        name="hf-xet-write-token",
    ),
    path(f"{PLACE}/v1/xorbs/default/<xet-hash:xorb_hash>", endpoints.xorb),
    path(f"{PLACE}/v1/shards", endpoints.shard),
    path(f"{PLACE}/v1/telemetry", endpoints.telemetry),
    path("v1/telemetry", endpoints.telemetry),  # hf_xet 1.8 forgets the path of the address
    path(PLACE, endpoints.nothing, name="hf-xet"),
    path("xet/<path:rest>", endpoints.nothing),
]
