"""A small hub that speaks the API over real sockets, and misbehaves on request."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import threading
from dataclasses import dataclass, field
from http.server import ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from tests.client.fakehandler import TOKEN, Handler, Seen

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator

__all__ = ["TOKEN", "FakeHub", "Seen", "serving"]


@dataclass
class FakeHub:
    """State of the hub, and the faults it was told to have; each fault is used up in order."""

    part_bytes: int = 256 * 1024
    adapters: dict[str, dict[str, Any]] = field(default_factory=dict)
    versions: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    uploads: dict[str, dict[str, Any]] = field(default_factory=dict)
    #: Adapter and alias → the versions it named, "" for none, the newest last.
    aliases: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    seen: list[Seen] = field(default_factory=list)
    url: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)
    #: Answers given instead of the real one: (path pattern, status, headers, body).
    answers: list[tuple[str, int, dict[str, str], bytes]] = field(default_factory=list)
    #: File bodies end after so many bytes.
    cuts: list[int] = field(default_factory=list)
    flip_at: int | None = None
    replacement: bytes | None = None  # what a file becomes after the first transfer of it
    ignores_range: bool = False
    sends_etag: bool = True
    #: Pictures of every version by name; requested at ``/media/pictures/<name>``.
    pictures: dict[str, bytes] = field(default_factory=dict)
    slow_s: float = 0.0  # pause after each block of a file
    checks: int = 1  # polls until an upload is accepted
    damaged_parts: list[int] = field(default_factory=list)
    page_size: int = 2
    max_hashes: int = 2000
    file_bytes_sent: int = 0
    put_pause_s: float = 0.0
    verdict: list[dict[str, Any]] = field(default_factory=list)  # findings of the next uploads
    preview_reason: str = ""
    preview_states: list[str] = field(default_factory=list)  # of the next version; the last stays
    refused_parameters: set[str] = field(default_factory=set)  # those of a later release
    bound_to: str = ""  # adapter that the token is limited to
    on_answer: Callable[[], None] = lambda: None  # called before a prepared answer is given

    def publish(self, full_name: str, files: dict[str, bytes], **more: Any) -> dict[str, Any]:
        """Add a version as if it had been pushed."""
        self.adapters.setdefault(full_name, self.adapter(full_name))
        rows = []
        for path, data in files.items():
            sha256 = hashlib.sha256(data).hexdigest()
            self.blobs[sha256] = data
            rows.append({"path": path, "size": len(data), "sha256": sha256})
        return self.commit(full_name, rows, **more)

    def adapter(self, full_name: str, **said: Any) -> dict[str, Any]:
        """Return an ADAPTER."""
        owner, name = full_name.split("/")
        return {
            "id": 1, "owner": owner, "name": name, "full_name": full_name, "title": "", "tags": [],
            "kind": "style", "summary": "", "licence": "", "visibility": "public", "family": "sd1",
            "downloads": 3, "latest_version": None, "trigger_words": [], "cover": None,
            "url": f"{self.url}/{full_name}", "card": "", "aliases": {}, **said,
        }  # fmt: skip

    def commit(self, full_name: str, rows: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
        """Add a version, or return the one with this manifest."""
        manifest = json.dumps(sorted((row["path"], row["sha256"]) for row in rows))
        revision = hashlib.sha1(f"{full_name}{manifest}".encode()).hexdigest()
        versions = self.versions.setdefault(full_name, [])
        for old in versions:
            if old["revision"] == revision:
                return old
        name = f"v{len(versions) + 1}"
        root = f"{self.url}/api/v1/adapters/{full_name}/versions/{name}"
        version = {
            "id": len(versions) + 1, "adapter": full_name, "version": name, "label": "",
            "state": "published", "revision": revision, "notes": "", "family": "sd1", "rank": 4,
            "algorithm": "lora", "trigger_words": [], "findings": [], "lineage": "", "reason": "",
            "files": [
                {
                    "id": number, "variant": "", "primary": number == 0,
                    "role": "weights" if row["path"].endswith(".safetensors") else "other",
                    "download_url": f"{root}/files/{row['path']}", **row,
                }
                for number, row in enumerate(rows)
            ],
            "previews": {"state": "ready", "progress": {"done": 1, "total": 1}, "images": []},
            "url": f"{self.url}/{full_name}?v={name}", "published_at": "2026-01-02T03:04:05Z",
            **more,
        }  # fmt: skip
        versions.append(version)
        self.adapters[full_name]["latest_version"] = name
        return version

    def requests(self, pattern: str) -> list[Seen]:
        """Return the requests whose method and path match."""
        return [seen for seen in self.seen if re.search(pattern, f"{seen.method} {seen.path}")]

    @property
    def body_bytes(self) -> int:
        """Bytes of weights that clients have sent."""
        return sum(seen.body_bytes for seen in self.requests("^PUT "))


@contextlib.contextmanager
def serving(hub: FakeHub, tls: ssl.SSLContext | None = None) -> Iterator[FakeHub]:
    """Answer at a free port of this computer."""

    class Bound(Handler):
        state = hub

    with ThreadingHTTPServer(("127.0.0.1", 0), Bound) as server:
        server.daemon_threads = True
        if tls is not None:
            server.socket = tls.wrap_socket(
                server.socket, server_side=True, do_handshake_on_connect=False
            )
        scheme = "http" if tls is None else "https"
        hub.url = f"{scheme}://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield hub
        finally:
            server.shutdown()
            thread.join()
