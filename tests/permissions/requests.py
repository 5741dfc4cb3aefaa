"""What is sent to each route: bodies that would be accepted, so that only the caller decides."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from django.urls import URLPattern, URLResolver, get_resolver

from hub.pages.help.client import wheel
from tests.builders.adapters import DENOISERS, kohya
from tests.packs import manifest, part, variant

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from django.test import Client

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


@dataclass(frozen=True)
class Asked:
    """A request's body, kind and query; ``params`` replace what stands in the address."""

    body: bytes = b""
    kind: str = "application/json"
    query: str = ""
    params: dict[str, Any] = field(default_factory=dict)


def routes() -> list[str]:
    """Return the pattern of every address, without those of Django's admin, which has hundreds.

    ``tests/pages/test_admin.py`` asks them as those who may not open it.
    """
    return [pattern for pattern in every_route() if not pattern.startswith("admin/")]


def every_route() -> Iterator[str]:
    """Yield the pattern of every address of the URL configuration."""
    return _walk(get_resolver(), "")


def _walk(resolver: URLResolver, prefix: str) -> Iterator[str]:
    for entry in resolver.url_patterns:
        place = f"{prefix}{entry.pattern}"
        if isinstance(entry, URLPattern):
            yield place
        else:
            yield from _walk(entry, place)


def address_of(pattern: str, params: Mapping[str, Any]) -> str:
    """Return an address that fits a pattern."""
    if pattern.endswith(r"\A.*\Z"):
        return "/api/nothing-here"
    return "/" + re.sub(r"<(?:[^:>]+:)?([^>]+)>", lambda found: str(params[found[1]]), pattern)


def send(client: Client, method: str, pattern: str, params: Mapping[str, Any]) -> Any:
    """Send what a route takes, and return the answer."""
    asked = asked_of(f"{method} {pattern}", params)
    place = address_of(pattern, {**DEFAULTS, **params, **asked.params})
    return client.generic(
        method, place, asked.body, content_type=asked.kind, QUERY_STRING=asked.query
    )


def asked_of(route: str, params: Mapping[str, Any]) -> Asked:
    """Return what is sent to a route, ``GET api/v1/me`` for example."""
    return ASKED[route](params) if route in ASKED else Asked()


def _json(make: Callable[[Mapping[str, Any]], Any]) -> Callable[[Mapping[str, Any]], Asked]:
    return lambda params: Asked(json.dumps(make(params)).encode())


def _form(make: Callable[[Mapping[str, Any]], dict[str, Any]]) -> Any:
    kind = "application/x-www-form-urlencoded"
    return lambda params: Asked(urlencode(make(params)).encode(), kind=kind)


def _with(**fixed: Any) -> Callable[[Mapping[str, Any]], Asked]:
    """Have some names of an address stand for something else."""
    return lambda params: Asked(params={name: params[source] for name, source in fixed.items()})


def _pair(params: Mapping[str, Any]) -> Asked:
    """Compare a version with itself: whoever sees it is told that they are the same."""
    name = f"{params['owner']}/{params['name']}@{params['version']}"
    return Asked(query=urlencode({"a": name, "b": name}))


def _bytes(_params: Mapping[str, Any]) -> Asked:
    return Asked(b"\0" * 16, kind="application/octet-stream")


def _head(_params: Mapping[str, Any]) -> Asked:
    data = kohya(DENOISERS["sd1", "diffusers"])
    return Asked(data, "application/octet-stream", f"name=a.safetensors&size={len(data)}")


def _picture(_params: Mapping[str, Any]) -> Asked:
    head = 'Content-Disposition: form-data; name="files"; filename="a.txt"'
    body = f"--x\r\n{head}\r\n\r\n<lora:noir:1>\r\n--x--\r\n"
    return Asked(body.encode(), kind="multipart/form-data; boundary=x")


def _commit(_params: Mapping[str, Any]) -> Asked:
    lines = [
        {"key": "header", "value": {"summary": "Notes"}},
        {"key": "file", "value": {"path": "notes.txt", "content": "aGk=", "encoding": "base64"}},
    ]
    return Asked("\n".join(map(json.dumps, lines)).encode(), kind="application/x-ndjson")


#: What stands in addresses where a route's own thing is not needed.
DEFAULTS: dict[str, Any] = {
    "number": 1, "kind": "webp", "suffix": "webp", "verb": "share", "file": wheel().name,
    "value": "0" * 64, "number_text": "1", "link": "x", "session": "a" * 32,
    "xorb_hash": "b" * 64, "signed": "x", "variant": "kohya", "extension": "csv",
    "action": "enable",
}  # fmt: skip

ADAPTER = "api/v1/adapters/<str:owner>/<str:name>"
VERSION = f"{ADAPTER}/versions/<str:version>"
PACK = "api/v1/packs/<str:owner>/<str:name>"
PACK_VERSION = f"{PACK}/versions/<str:version>"
MODEL = "api/models/<str:owner>/<str:name>"
PAGE = "<str:owner>/<str:name>"
REASON: Any = _json(lambda _: {"reason": "Copied"})

ASKED: dict[str, Callable[[Mapping[str, Any]], Asked]] = {
    "GET compare": _pair,
    "GET api/v1/compare": _pair,
    "POST api/v1/inspect": _head,
    "POST api/v1/tokens": _json(lambda _: {"name": "spare"}),
    "POST api/v1/uploads": _json(lambda _: {"path": "a.safetensors", "size_bytes": 1000}),
    "PUT api/v1/uploads/<uuid:upload_id>/content": _bytes,
    "PUT api/v1/uploads/<uuid:upload_id>/parts/<int:number>": _bytes,
    "POST api/v1/uploads/<uuid:upload_id>/links": _json(lambda _: {"numbers": [1]}),
    "POST api/v1/adapters": _json(lambda _: {"name": "fresh"}),
    f"PATCH {ADAPTER}": _json(lambda _: {"title": "Other"}),
    f"PUT {ADAPTER}/recipe": _json(lambda _: {"prompts": ["a red house"]}),
    f"PUT {ADAPTER}/cover": _json(lambda at: {"sample": at["sample_id"]}),
    f"POST {ADAPTER}/withdraw": REASON,
    f"PUT {ADAPTER}/aliases/<path:alias>": _json(lambda at: {"to": at["version"]}),
    f"POST {ADAPTER}/versions": _json(lambda at: {"uploads": [str(at["accepted_id"])]}),
    f"POST {VERSION}/derived": _json(lambda _: {}),
    f"PATCH {VERSION}": _json(lambda _: {"notes": "Less grain."}),
    f"POST {VERSION}/yank": REASON,
    f"POST {VERSION}/withdraw": REASON,
    f"POST {VERSION}/samples": _bytes,
    "POST api/v1/packs": _json(lambda _: {"name": "fresh"}),
    f"PATCH {PACK}": _json(lambda _: {"title": "Other"}),
    f"POST {PACK}/withdraw": REASON,
    f"POST {PACK}/try": _json(lambda _: {"prompt": "a cat"}),
    "GET api/v1/packs/try/<uuid:key>": _with(key="pack_key"),
    "DELETE api/v1/packs/try/<uuid:key>": _with(key="pack_key"),
    "POST packs/try": _form(
        lambda at: {"pack": f"{at['owner']}/{at['name']}", "prompt": "a cat"}
    ),
    "GET packs/try/<uuid:key>": _with(key="pack_key"),
    "GET packs/try/<uuid:key>/state": _with(key="pack_key"),
    "POST packs/try/<uuid:key>/<str:verb>": _with(key="pack_key"),
    f"GET {PACK_VERSION}/export": lambda _: Asked(query="for=diffusers"),
    f"PUT {PACK}/aliases/<path:alias>": _json(lambda at: {"to": at["version"]}),
    f"POST {PACK}/versions": _json(
        lambda _: {"manifest": manifest(variant(part("studio/public", strength=0.5)))}
    ),
    f"POST {PACK_VERSION}/yank": REASON,
    f"POST {PACK_VERSION}/withdraw": REASON,
    "POST api/v1/hashes": _json(lambda at: {"hashes": [at["sha256"]]}),
    "POST api/v1/references": _json(lambda _: {"references": ["ada/noir"]}),
    "POST api/v1/file-names": _json(lambda _: {"names": ["noir.safetensors"]}),
    "GET api/v1/hashes/<str:value>": _with(value="sha256"),
    "POST api/v1/tryouts": _json(
        lambda at: {"layers": [{"adapter": f"{at['owner']}/{at['name']}"}], "prompt": "a cat"}
    ),
    "PATCH api/v1/pictures/<int:image_id>": _json(lambda _: {"maturity": "mature"}),
    "PATCH api/v1/samples/<int:sample_id>": _json(lambda _: {"caption": "A cat"}),
    "POST api/v1/workers/<int:worker_id>": _json(lambda _: {"wish": "pause"}),
    "POST api/repos/create": _json(lambda _: {"name": "fresh", "organization": "studio"}),
    "DELETE api/repos/delete": _json(
        lambda at: {"name": at["name"], "organization": at["owner"]}
    ),
    "POST api/repos/move": _json(
        lambda at: {"fromRepo": f"{at['owner']}/{at['name']}", "toRepo": f"{at['owner']}/fresh"}
    ),
    "POST api/validate-yaml": _json(lambda _: {"content": "---\n---\n", "repoType": "model"}),
    f"PUT {MODEL}/settings": _json(lambda _: {"private": True}),
    f"GET {MODEL}/tree/<path:rest>": _with(rest="ref"),
    f"POST {MODEL}/paths-info/<path:ref>": _json(lambda _: {"paths": ["noir.safetensors"]}),
    f"POST {MODEL}/tag/<path:ref>": _json(lambda _: {"tag": "fresh"}),
    f"DELETE {MODEL}/tag/<path:ref>": _with(ref="alias"),
    f"POST {MODEL}/branch/<path:ref>": lambda _: Asked(b"{}", params={"ref": "fresh"}),
    f"POST {MODEL}/preupload/<path:ref>": _json(
        lambda _: {"files": [{"path": "notes.txt", "size": 2, "sample": "aGk="}]}
    ),
    f"POST {MODEL}/commit/<path:ref>": _commit,
    f"POST {PAGE}.git/info/lfs/objects/batch": _json(
        lambda at: {
            "operation": "upload", "transfers": ["basic"], "hash_algo": "sha256",
            "objects": [{"oid": at["sha256"], "size": 10}],
        }
    ),
    "GET api/v1/models/<str:number_text>": _with(number_text="adapter_id"),
    "GET api/v1/model-versions/mini/<str:number_text>": _with(number_text="version_id"),
    "GET api/v1/model-versions/<str:number_text>": _with(number_text="version_id"),
    "GET api/v1/model-versions/by-hash/<str:value>": _with(value="sha256"),
    "GET api/download/models/<str:number_text>": _with(number_text="version_id"),
    "POST api/v1/model-versions/by-id": _json(lambda at: [at["version_id"]]),
    "POST api/v1/model-versions/by-hash": _json(lambda at: [at["sha256"]]),
    "POST api/v1/model-versions/by-hash/ids": _json(lambda at: [at["sha256"]]),
    "GET help/<str:name>": lambda _: Asked(params={"name": "findings"}),
    "POST browse/checkpoint": _form(lambda _: {"choice": "sdxl"}),
    "POST browse/checkpoint/read": _head,
    "POST resolve": _picture,
    "GET browse/values": lambda _: Asked(query="filter=tag"),
    "GET publish/checked": lambda at: Asked(query=f"upload={at['accepted_id']}"),
    "POST settings/tokens": _form(lambda _: {"name": "spare", "scopes": "read"}),
    "POST settings/content": _form(lambda _: {"level": "mature"}),
    "POST settings/organisations/<str:owner>": _form(lambda _: {"user": "bob", "role": "read"}),
    "POST operator/organisations": _form(lambda _: {"name": "house", "admin": "ada"}),
    "POST operator/workers/<int:worker_id>": _form(lambda _: {"wish": "pause"}),
    "POST operator/accounts/<int:user_id>/<str:action>": _form(lambda _: {}),
    f"POST packs/{PAGE}/edit": _form(
        lambda _: {"kind": "style", "maturity": "general", "visibility": "unlisted"}
    ),
    "POST packs/new": _form(
        lambda _: {
            "name": "fresh", "kind": "style", "maturity": "general", "visibility": "public",
        }
    ),
    f"POST packs/{PAGE}/publish": _form(
        lambda _: {
            "publish": "1", "count": "1", "0-name": "sd1", "0-family": "sd1", "0-output": "image",
            "0-prompt": "{prompt}", "0-part0_adapter": "studio/public", "0-part0_role": "style",
            **{f"0-part{n}_role": "style" for n in range(5)},
        }
    ),
    f"POST packs/{PAGE}/aliases": _form(lambda at: {"name": "other", "to": at["version"]}),
    f"POST packs/{PAGE}/sheets": lambda at: Asked(query=f"v={at['version']}&variant=sd1"),
    f"POST packs/{PAGE}/withdraw": _form(
        lambda at: {"reason": "Copied", "name": f"{at['owner']}/{at['name']}"}
    ),
    f"POST packs/{PAGE}/versions/<str:version>/withdraw": _form(
        lambda at: {"reason": "Copied", "name": at["version"]}
    ),
    f"POST packs/{PAGE}/versions/<str:version>/yank": _form(lambda _: {"reason": "Blurred"}),
    f"POST {PAGE}/edit": _form(lambda _: {"kind": "style", "maturity": "general"}),
    f"POST {PAGE}/recipe": _form(lambda _: {"prompts": "a red house"}),
    f"POST {PAGE}/aliases": _form(lambda at: {"name": "other", "to": at["version"]}),
    f"POST {PAGE}/cover": _form(lambda at: {"sample": at["sample_id"]}),
    f"POST {PAGE}/rating": _form(lambda at: {"image": at["image_id"], "maturity": "mature"}),
    f"POST {PAGE}/gallery/<int:sample_id>": _form(lambda _: {"do": "remove"}),
    f"POST {PAGE}/withdraw": _form(
        lambda at: {"reason": "Copied", "name": f"{at['owner']}/{at['name']}"}
    ),
    f"POST {PAGE}/versions/<str:version>/withdraw": _form(
        lambda at: {"reason": "Copied", "name": at["version"]}
    ),
    f"POST {PAGE}/versions/<str:version>/publish": _form(lambda _: {"publish": "1"}),
    f"POST {PAGE}/versions/<str:version>/yank": _form(lambda _: {"reason": "Blurred"}),
}  # fmt: skip
