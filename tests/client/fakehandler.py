"""How the small hub answers each request."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import time
import unicodedata
import uuid
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

if TYPE_CHECKING:
    from tests.client.fakehub import FakeHub

TOKEN = "lor_right"
BLOCK = 64 * 1024
TEXTS = {"application/json", "application/x-www-form-urlencoded"}


@dataclass(frozen=True)
class Seen:
    """A request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body_bytes: int
    body: bytes = b""  # of JSON and forms alone


class Handler(BaseHTTPRequestHandler):
    state: FakeHub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_args: object) -> None:
        """Stay quiet."""

    def handle(self) -> None:
        """Take a client's hanging up for what it is."""
        with contextlib.suppress(OSError):
            super().handle()

    def do_GET(self) -> None:
        self._answer()

    do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_GET  # noqa: N815 - http.server's

    def _answer(self) -> None:
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        said = self.body if self.headers.get("Content-Type") in TEXTS else b""
        seen = Seen(self.command, self.path, dict(self.headers), len(self.body), said)
        self.hub = self.state
        with self.hub.lock:
            self.hub.seen.append(seen)
            fault = next((f for f in self.hub.answers if re.search(f[0], self.path)), None)
            if fault:
                self.hub.answers.remove(fault)
        if fault:
            self.hub.on_answer()
            return self._raw(*fault[1:])
        parts = urlsplit(self.path)
        self.query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        return self._route([unquote(part) for part in parts.path.split("/")[3:]])

    def _route(self, path: list[str]) -> None:
        match (self.command, *path):
            case ("GET", "me"):
                self._me()
            case ("GET", "adapters"):
                self._search()
            case ("POST", "adapters"):
                self._create()
            case (method, "adapters", owner, name, "versions", rev, "samples"):
                self._samples(method, self._version(f"{owner}/{name}", rev))
            case (method, "adapters", owner, name, *rest):
                self._adapter(method, f"{owner}/{name}", rest)
            case (_, "uploads", *rest):
                self._uploads(rest)
            case ("POST", ("references" | "file-names" | "hashes") as kind):
                self._look_up(kind)
            case ("POST", "inspect"):
                self._json(200, {"schema": 1, "kind": "adapter", "findings": []})
            case _:
                self._show(path)

    def _show(self, path: list[str]) -> None:
        match (self.command, *path):
            case ("GET", "model-versions", number):
                self._json(200, self._civitai(int(number)))
            case ("POST", "model-versions", "by-id"):
                self._json(200, [self._civitai(number) for number in json.loads(self.body)])
            case ("GET", name) if name in self.hub.pictures:
                self._raw(200, {}, self.hub.pictures[name])
            case _:
                self._refuse(404, "not_found", "Not found")

    def _civitai(self, number: int) -> dict[str, Any]:
        urls = [f"{self.hub.url}/media/pictures/{name}" for name in self.hub.pictures]
        images = [{"type": "image", "url": url} for url in urls]
        return {"id": number, "baseModel": "SD 1.5", "files": [], "images": images}

    def _adapter(self, method: str, full_name: str, path: list[str]) -> None:
        match (method, *path):
            case ("GET" | "PATCH",):
                self._one(self._edited(method, self.hub.adapters.get(full_name)))
            case ("GET", "versions"):
                listed = self.hub.versions.get(full_name, [])
                rows = [{k: v for k, v in one.items() if k != "files"} for one in listed]
                self._json(200, {"results": rows})
            case ("POST", "versions"):
                self._publish(full_name)
            case ("GET" | "PATCH" | "DELETE", "versions", rev):
                self._numbered(method, full_name, self._version(full_name, rev))
            case (_, "versions", "latest", "yank" | "withdraw"):
                self._refuse(400, "validation_failed", "Use v2 here.")
            case (method, "versions", rev, ("yank" | "withdraw") as verb):
                self._take_back(method, verb, self._version(full_name, rev))
            case ("POST", "withdraw"):
                self._one(self.hub.adapters.get(full_name))
            case (method, "aliases", *rest):
                self._aliases(method, full_name, rest)
            case ("GET", "versions", rev, "files", *file):
                self._file(self._version(full_name, rev), "/".join(file))

    def _edited(self, method: str, found: dict[str, Any] | None) -> dict[str, Any] | None:
        if found is not None and method == "PATCH":
            found.update(json.loads(self.body))
        return found

    def _samples(self, method: str, version: dict[str, Any] | None) -> None:
        if version is None:
            return self._refuse(404, "not_found", "Not found")
        shown = version.setdefault("samples", [])
        if method == "POST":
            shown.append({"name": self.query["name"], "bytes": self.body.hex()})
            return self._json(202, shown[-1])
        return self._json(200, {"results": shown, "next": None})

    def _take_back(self, method: str, verb: str, version: dict[str, Any] | None) -> None:
        if version is not None:
            reason = "" if method == "DELETE" else json.loads(self.body)["reason"]
            out = "withdrawn" if verb == "withdraw" else "yanked"
            version |= {"state": out if reason else "published", "reason": reason}
        self._one(version)

    def _numbered(self, method: str, full_name: str, version: dict[str, Any] | None) -> None:
        if version is None or method != "DELETE":
            self._one(self._rendered(self._edited(method, version)))
        elif version["state"] != "draft":
            self._refuse(409, "already_published", f"{version['version']} is published.")
        else:
            self.hub.versions[full_name].remove(version)
            self._raw(204, {}, b"")

    def _aliases(self, method: str, full_name: str, path: list[str]) -> None:
        known = self.hub.aliases
        match (method, *path):
            case ("GET",):
                names = sorted(name for adapter, name in known if adapter == full_name)
                rows = [
                    self._alias(full_name, name) for name in names if known[full_name, name][-1]
                ]
                self._json(200, {"results": rows, "next": None})
            case ("GET", name, "history"):
                self._json(200, {"results": self._moves(known[full_name, name]), "next": None})
            case ("PUT", name):
                said = json.loads(self.body)
                now = known.get((full_name, name), [""])[-1] or None
                if "expected" in said and said["expected"] != now:
                    return self._refuse(409, "conflict", f"It names {now} by now.", current=now)
                known.setdefault((full_name, name), []).append(said["to"])
                return self._json(200, self._alias(full_name, name))
            case ("DELETE", name) if (full_name, name) in known:
                known[full_name, name].append("")
                self._raw(204, {}, b"")
            case _:
                self._refuse(404, "not_found", "There is no such alias.")
        return None

    def _alias(self, full_name: str, name: str) -> dict[str, Any]:
        to = self.hub.aliases[full_name, name][-1]
        version = self._version(full_name, to) or {"state": None, "revision": "0" * 40}
        return {
            "name": name, "version": to, "state": version["state"],
            "revision": version["revision"], "moved_at": "2026-01-02T03:04:05Z", "moved_by": "ada",
        }  # fmt: skip

    def _moves(self, names: list[str]) -> list[dict[str, Any]]:
        def place(name: str) -> dict[str, str] | None:
            return {"version": name, "revision": "0" * 40} if name else None

        pairs = zip(["", *names], names, strict=False)
        return [
            {"before": place(a), "after": place(b), "moved_at": "2026-01-02T03:04:05Z",
             "moved_by": "ada"} for a, b in pairs
        ][::-1]  # fmt: skip

    def _raw(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _json(self, status: int, document: object) -> None:
        body = json.dumps(document).encode()
        self._raw(status, {"Content-Type": "application/json"}, body)

    def _refuse(self, status: int, code: str, detail: str, **facts: object) -> None:
        self._json(status, {"status": status, "code": code, "detail": detail, **facts})

    def _one(self, document: object) -> None:
        if document is None:
            self._refuse(404, "not_found", "Not found")
        else:
            self._json(200, document)

    def _look_up(self, kind: str) -> None:
        if kind == "hashes":
            self._find()
        elif kind == "file-names":
            self._find_named()
        else:
            self._find_versions()

    def _find(self) -> None:
        asked = json.loads(self.body)["hashes"]
        if len(asked) > self.hub.max_hashes:
            return self._refuse(400, "validation_failed", "Ask for fewer hashes at once.")
        return self._json(200, {"results": [self._found(text) for text in asked]})

    def _find_versions(self) -> None:
        rows = []
        for text in json.loads(self.body)["references"]:
            name, _, rev = text.partition("@")
            found = self._version(name, rev or "latest")
            if found is not None and found["state"] == "withdrawn":
                found = None
            rows.append({"reference": text, "version": found})
        page: dict[str, Any] = {"results": rows}
        if self.query.get("adapters"):
            named = {row["version"]["adapter"] for row in rows if row["version"]}
            page["adapters"] = [self.hub.adapters[name] for name in sorted(named)]
        self._json(200, page)

    def _find_named(self) -> None:
        """Answer by the names of files, each adapter once with its newest version."""
        results = []
        for name in json.loads(self.body)["names"]:
            wanted = name.replace("\\", "/").rpartition("/")[2].removesuffix(".safetensors").lower()
            matches = [
                next(
                    {"version": version, "file": file}
                    for version in reversed(versions)
                    for file in version["files"]
                    if file["path"].lower() == f"{wanted}.safetensors"
                )
                for versions in self.hub.versions.values()
                if any(
                    file["path"].lower() == f"{wanted}.safetensors"
                    for version in versions
                    for file in version["files"]
                )
            ]
            results.append({"name": name, "matches": matches})
        self._json(200, {"results": results})

    def _found(self, text: str) -> dict[str, Any]:
        """Answer by the hashes that a version's files carry."""
        matches = [
            {"kind": kind, "hash": value, "version": version, "file": file}
            for versions in self.hub.versions.values()
            for version in versions
            for file in version["files"]
            for kind, value in {"sha256": file["sha256"], **file.get("hashes", {})}.items()
            if value == text.lower()
        ]
        matches += [
            {
                "kind": {10: "autov2", 12: "autov3"}.get(len(value), "sha256"),
                "hash": value,
                "version": version,
                "file": file,
                "derived": form,
            }
            for versions in self.hub.versions.values()
            for version in versions
            for file in version["files"]
            for value, form in file.get("derived", {}).items()
            if value == text.lower()
        ]
        matches.sort(key=lambda match: str(match["version"]["published_at"]))
        return {"hash": text, "matches": matches}

    def _is_signed_in(self) -> bool:
        if self.headers.get("Authorization") == f"Bearer {TOKEN}":
            return True
        self._refuse(401, "not_authenticated", "Sign in first")
        return False

    def _me(self) -> None:
        if self._is_signed_in():
            bound = self.hub.bound_to
            account = {"name": "ada", "kind": "user", "scopes": ["read", "write"]}
            limits = {"bound_to": bound or None, "namespaces": [] if bound else ["ada", "guild"]}
            self._json(200, {**account, **limits})

    def _search(self) -> None:
        rows = [row for name, row in sorted(self.hub.adapters.items()) if self._q(name)]
        start = int(self.query.get("cursor", 0))
        end = start + min(self.hub.page_size, int(self.query.get("limit", 100)))
        following = f"{self.hub.url}/api/v1/adapters?cursor={end}" if end < len(rows) else None
        self._json(200, {"results": rows[start:end], "next": following})

    def _q(self, name: str) -> bool:
        return self.query.get("q", "") in name

    def _create(self) -> None:
        if not self._is_signed_in():
            return
        said = json.loads(self.body)
        full_name = f"{said.pop('owner')}/{said.pop('name')}"
        if full_name in self.hub.adapters:
            self._refuse(409, "name_taken", "This name is taken")
        elif not full_name.startswith("ada/") or self.hub.bound_to:
            self._refuse(403, "forbidden", "You are not allowed to do this")
        else:
            self.hub.adapters[full_name] = self.hub.adapter(full_name, **said)
            self._json(201, {**self.hub.adapters[full_name], "versions": []})

    def _version(self, full_name: str, rev: str) -> dict[str, Any] | None:
        versions = self.hub.versions.get(full_name, [])
        if rev == "latest":
            published = [v for v in versions if v["state"] == "published"]
            return (published or versions)[-1] if versions else None
        rev = self.hub.aliases.get((full_name, rev), [rev])[-1]
        return next((v for v in versions if rev in {v["version"], v["revision"]}), None)

    def _rendered(self, version: dict[str, Any] | None) -> dict[str, Any] | None:
        """Let the previews go on by one state."""
        states = self.hub.preview_states
        if version is not None and states:
            version["previews"]["state"] = states.pop(0) if len(states) > 1 else states[0]
            version["previews"]["reason"] = self.hub.preview_reason
        return version

    def _publish(self, full_name: str) -> None:
        said = json.loads(self.body)
        uploads = [self.hub.uploads[number] for number in said["uploads"]]
        if any(upload["state"] != "accepted" for upload in uploads):
            return self._refuse(409, "upload_not_ready", "Still being checked")
        rows = [{key: u[key] for key in ("path", "size", "sha256")} for u in uploads]
        words = said.get("trigger_words", [])
        state = "published" if said["publish"] else "draft"
        before = {row["version"]: row["state"] for row in self.hub.versions.get(full_name, [])}
        version = self.hub.commit(
            full_name,
            rows,
            trigger_words=words,
            optional_trigger_words=said.get("optional_trigger_words", []),
            state=state,
        )
        if version["state"] == "draft":
            version["state"] = state
        is_same = before.get(version["version"]) == version["state"]
        return self._json(200 if is_same else 201, self._rendered(version))

    def _file(self, version: dict[str, Any] | None, path: str) -> None:
        rows = version["files"] if version else []
        row = next((row for row in rows if row["path"] == path), None)
        if row is None:
            return self._refuse(404, "not_found", "Not found")
        data = self.hub.blobs[row["sha256"]]
        etag = f'"{hashlib.sha256(data).hexdigest()}"'
        part = self._range(len(data), etag)
        start, end = part or (0, len(data))
        if part and start >= len(data):
            return self._refuse(416, "range_unsatisfiable", "Not there")
        self.send_response(206 if part else 200)
        if self.hub.sends_etag:
            self.send_header("ETag", etag)
        if part:
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{len(data)}")
        self.send_header("Content-Length", str(end - start))
        self.end_headers()
        if self.hub.replacement is not None:
            self.hub.blobs[row["sha256"]] = self.hub.replacement
        return self._body(data, start, end)

    def _range(self, size: int, etag: str) -> tuple[int, int] | None:
        """Return begin and end of the range that was asked for."""
        match = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        is_same = self.headers.get("If-Range", etag) == etag
        if match is None or self.hub.ignores_range or not is_same:
            return None
        return int(match[1]), min(size, int(match[2]) + 1) if match[2] else size

    def _body(self, data: bytes, start: int, end: int) -> None:
        if self.hub.flip_at is not None:
            spot = self.hub.flip_at
            data = data[:spot] + bytes([data[spot] ^ 1]) + data[spot + 1 :]
        if self.hub.cuts:
            end = min(end, start + self.hub.cuts.pop(0))
            self.close_connection = True
        for place in range(start, end, BLOCK):
            block = data[place : min(place + BLOCK, end)]
            self.wfile.write(block)
            with self.hub.lock:
                self.hub.file_bytes_sent += len(block)
            time.sleep(self.hub.slow_s)

    def _uploads(self, path: list[str]) -> None:
        if not self._is_signed_in():
            return
        if not path:
            self._announce() if self.command == "POST" else self._list_uploads()
            return
        upload = self.hub.uploads.get(path[0])
        match (self.command, *path[1:]):
            case _ if upload is None:
                self._refuse(404, "not_found", "Not found")
            case ("DELETE",):
                self._cancel(upload)
            case ("GET",):
                self._poll(upload)
            case ("PUT", "content"):
                upload["held"][1] = self.body
                self._complete(upload)
            case ("PUT", "parts", number):
                self._part(upload, int(number))
            case ("POST", "complete"):
                self._complete(upload)

    def _cancel(self, upload: dict[str, Any]) -> None:
        if upload["state"] == "accepted":
            return self._refuse(409, "wrong_state", "A version already contains this file.")
        upload["state"] = "cancelled"
        return self._raw(204, {}, b"")

    def _announce(self) -> None:
        said = json.loads(self.body)
        number = str(uuid.uuid4())
        is_known = said.get("sha256") in self.hub.blobs
        self.hub.uploads[number] = {
            "id": number, "path": unicodedata.normalize("NFC", said["path"]),
            "size": said["size"], "sha256": said["sha256"],
            "state": "accepted" if is_known else "receiving", "held": {},
            "findings": self.hub.verdict if is_known else [],
            "polls": 0,
        }  # fmt: skip
        self._json(201, self._shown(self.hub.uploads[number]))

    def _list_uploads(self) -> None:
        if self.hub.refused_parameters & self.query.keys():
            self._refuse(400, "validation_failed", "There is no such parameter.")
            return
        rows = [self._shown(upload) for upload in self.hub.uploads.values()]
        for row in rows:
            del row["parts"]
        self._json(200, {"results": rows, "next": None})

    def _shown(self, upload: dict[str, Any]) -> dict[str, Any]:
        place = f"{self.hub.url}/api/v1/uploads/{upload['id']}"
        kept = {key: value for key, value in upload.items() if key not in {"held", "polls"}}
        parts = [
            {"number": n, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
            for n, data in upload["held"].items()
        ]
        return kept | {
            "part_size": self.hub.part_bytes,
            "parts": parts,
            "received": sum(part["size"] for part in parts),
            "created_at": "2026-01-02T03:04:05Z",
            "expires_at": "2026-01-09T03:04:05Z",
            "progress": {"done": upload["polls"], "total": self.hub.checks},
            "urls": {
                "content": f"{place}/content",
                "part": f"{place}/parts/{{number}}",
                "complete": f"{place}/complete",
            },
        }

    def _part(self, upload: dict[str, Any], number: int) -> None:
        data = self.body
        time.sleep(self.hub.put_pause_s)
        with self.hub.lock:
            if number in self.hub.damaged_parts:
                self.hub.damaged_parts.remove(number)
                data = bytes([data[0] ^ 1]) + data[1:]
            upload["held"][number] = data
        sha256 = hashlib.sha256(data).hexdigest()
        self._json(200, {"number": number, "size": len(data), "sha256": sha256})

    def _complete(self, upload: dict[str, Any]) -> None:
        data = b"".join(data for _, data in sorted(upload["held"].items()))
        if len(data) < upload["size"]:
            return self._refuse(409, "upload_incomplete", "Parts are missing", missing=[1])
        upload["state"] = "checking"
        upload["findings"] = self.hub.verdict
        return self._json(200, self._shown(upload))

    def _poll(self, upload: dict[str, Any]) -> None:
        if upload["state"] == "checking":
            upload["polls"] += 1
            if upload["polls"] >= self.hub.checks:
                bad = any(found["severity"] == "error" for found in upload["findings"])
                upload["state"] = "refused" if bad else "accepted"
                data = b"".join(data for _, data in sorted(upload["held"].items()))
                self.hub.blobs[upload["sha256"]] = data
        self._json(200, self._shown(upload))
