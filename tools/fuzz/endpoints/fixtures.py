"""Users and adapters of the hub: ada's public, unlisted and private ones, and other users.

Needs the hub's Django settings.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from django.db import connections

from registry.accounts import users
from registry.adapters import services as adapters
from registry.aliases import services as aliases
from registry.tokens import services as tokens
from registry.versions.details import Details
from tests import catalogue
from tests.builders.adapters import DENOISERS, kohya
from tools.fuzz.endpoints.requests import BOB, OWNER, READER
from tools.fuzz.endpoints.wire import Answer, sent
from tools.fuzz.endpoints.words import BOBS, MARK, Known, Private

if TYPE_CHECKING:
    from registry.models import Adapter, User, Version

#: Files that bob has announced and may send.
LINKS = 6


def fill() -> Known:
    """Create users, tokens and adapters, and return their names, ids and secrets."""
    ada, bob, carol = (users.create_user(name=name) for name in ("ada", "bob", "carol"))
    noir = adapters.create(actor=ada, name="noir", title="Noir", kind="style", tags=["film"])
    versions = [_released(noir, rank) for rank in (1, 2)]
    aliases.point(actor=ada, adapter=noir, name="feat/rain", to=versions[0].revision,
                  is_branch=True)  # fmt: skip
    quiet = adapters.create(actor=ada, name="quiet", kind="style", visibility="unlisted")
    versions.append(_released(quiet, 3))
    private = _private(ada)
    for name in BOBS:
        own = adapters.create(actor=bob, name=name, kind="style")
        if name == BOBS[0]:
            _released(own, 5)
    files = [version.files.get(is_primary=True) for version in versions]
    numbers = {noir.pk, quiet.pk, *(one.pk for one in versions), *(one.pk for one in files)}
    known = Known(
        tokens={
            READER: _token(carol, "read"),
            OWNER: _token(ada, "read"),
            BOB: _token(bob, "read", "write"),
        },
        private=private,
        numbers=tuple(str(one) for one in sorted(numbers)),
        digests=tuple(one.sha256 for one in files),
        commits=tuple(one.revision.commit for one in versions),
    )
    connections.close_all()
    return known


def _released(adapter: Adapter, rank: int, details: Details | None = None) -> Version:
    return catalogue.release(adapter, kohya(DENOISERS["sd1", "diffusers"], rank=rank), details)


def _private(ada: User) -> Private:
    adapter = adapters.create(
        actor=ada, name="hidden", title=MARK, summary=MARK, card=MARK, tags=[MARK],
        visibility="private",
    )  # fmt: skip
    details = Details(label=MARK, notes=MARK, trigger_words=(MARK,))
    version = _released(adapter, 4, details)
    file = version.files.get(is_primary=True)
    return Private(
        name=adapter.name,
        adapter=f"{adapter.pk:010}",
        version=f"{version.pk:010}",
        file=f"{file.pk:010}",
        digest=file.sha256,
        commit=version.revision.commit,
    )


def _token(user: User, *scopes: str) -> str:
    _row, secret = tokens.issue(actor=user, name="fuzz", scopes=scopes)
    return secret


def with_permissions(known: Known, port: int) -> Known:
    """Return ``known`` with bob's upload links and grant, and an anonymous download pass."""
    contents = [b"%d fuzz" % number for number in range(LINKS)]
    objects = [{"oid": hashlib.sha256(one).hexdigest(), "size": len(one)} for one in contents]
    batch = _call(
        port, known.tokens[BOB], "POST", f"/bob/{BOBS[0]}.git/info/lfs/objects/batch",
        {"operation": "upload", "transfers": ["basic"], "objects": objects},
    )  # fmt: skip
    places = [one["actions"]["upload"]["href"] for one in batch.document["objects"]]
    links = [place.rpartition("/")[2] for place in places]
    ways = f"/api/models/bob/{BOBS[0]}/xet-write-token/main"
    grant = _call(port, known.tokens[BOB], "GET", ways).document
    download = _call(port, "", "GET", f"/api/download/models/{known.numbers[0]}")
    signed = download.headers["location"].split("/")[-2]
    return replace(
        known,
        passes=("x:y:z", signed, signed, signed[:-1]),
        links=tuple(zip(links, contents, strict=True)),
        session=grant["casUrl"].rpartition("/")[2],
        grant=grant["accessToken"],
    )


def _call(port: int, token: str, method: str, path: str, document: Any = None) -> Answer:
    body = b"" if document is None else json.dumps(document).encode()
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(body)}",
             "Content-Type: application/json"]  # fmt: skip
    if token:
        lines.append(f"Authorization: Bearer {token}")
    answer = sent(port, "\r\n".join([*lines, "", ""]).encode() + body, method)
    assert answer.status in {200, 302}, (path, answer)
    return answer
