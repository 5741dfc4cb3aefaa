"""What a Xet client does, by hand."""

from __future__ import annotations

import dataclasses
import hashlib
import random
from typing import Any

from django.test import Client

from registry import storage
from registry.models import XetXorb
from tests.builders.xet import file_records, name_of, shard, xorb, xorb_records

WRITE_TOKEN = "/api/models/ada/noir/xet-write-token/main"


@dataclasses.dataclass
class Sender:
    """What a Xet client does once it has a token."""

    place: str
    secret: str
    client: Client = dataclasses.field(default_factory=lambda: Client(enforce_csrf_checks=True))

    def post(self, path: str, data: bytes = b"", **headers: str) -> Any:
        asked = {"Authorization": f"Bearer {self.secret}", **headers}
        kind = "application/octet-stream"
        return self.client.post(self.place + path, data, content_type=kind, headers=asked)

    def xorb(self, data: bytes) -> str:
        """Send a xorb and return its name."""
        name = name_of(data)
        answer = self.post(f"/v1/xorbs/default/{name}", data)
        assert answer.status_code == 200, answer.content
        return name

    def files(self, *contents: bytes, **options: Any) -> Any:
        """Send files, each in two xorbs, and then their shard."""
        return self.post("/v1/shards", self.shard(*contents, **options))

    def shard(self, *contents: bytes, sha256: str = "") -> bytes:
        records, xorbs = [], []
        for content in contents:
            middle = len(content) // 2
            segments = []
            for half, scheme in ((content[:middle], 1), (content[middle:], 2)):
                chunks = [half[i : i + 60_000] for i in range(0, len(half), 60_000)]
                name = self.xorb(xorb(*chunks, scheme=scheme))
                segments.append((name, len(half), 0, len(chunks)))
                xorbs.append(xorb_records(name, [len(chunk) for chunk in chunks]))
            records.append(file_records(sha256 or digest(content), segments))
        return shard(*records, xorbs=xorbs)


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def content(seed: int, size: int = 500_000) -> bytes:
    return random.Random(seed).randbytes(size)


def waiting() -> list[str]:
    """Return the keys of the xorbs that wait, all of which have their bytes."""
    keys = list(XetXorb.objects.values_list("key", flat=True))
    for key in keys:
        storage.store().open(key).close()
    return keys


def sender_of(client: Client, address: str = WRITE_TOKEN) -> Sender:
    said = client.get(address).json()
    return Sender(said["casUrl"].removeprefix("http://testserver"), said["accessToken"])
