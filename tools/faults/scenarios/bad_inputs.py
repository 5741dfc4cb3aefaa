"""Bad inputs: each gets its documented answer, and nothing of it stays."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import TYPE_CHECKING

from tests.builders.malformed import ATTACKS
from tests.e2e.talk import Answer, Caller, exchange
from tools.faults.clients.payloads import payload
from tools.faults.scenarios.tiny_parts import many_tiny_parts
from tools.faults.trials import Skipped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tools.faults.servers.hubs import FaultyHub
    from tools.faults.trials import Plan, Trial

PART_BYTES = 64 * 1024
UPLOADS = "/api/v1/uploads"

#: Malformed files of a short pass; a long one takes all there are.
BOMBS = (
    "header of 2 to the 63", "header over the limit", "deep nesting", "deep nesting, closed",
    "flood of texts", "120,000 tensors", "metadata of nine megabytes",
)  # fmt: skip

PATHS = (
    "../noir.safetensors", "a/../../noir.safetensors", "/etc/noir.safetensors", "..", ".",
    "..\\noir.safetensors", "C:\\noir.safetensors", "a//noir.safetensors", "a/", "a/./b.txt",
    "a\nb.safetensors", ".git/config.txt", ".hidden.safetensors",
    "con.safetensors", "NUL", "aux.txt", "COM1.safetensors", "com¹.txt", "lpt9", "GIT~1",
    "noir.safetensors ", " noir.safetensors", "noir.safetensors.", "a:b.safetensors",
    'a"b.safetensors', "a|b.safetensors", "a?.safetensors", "a*.safetensors", "<a>.safetensors",
    "/".join("abcdefghi") + "/noir.safetensors",
)  # fmt: skip
#: Characters that nobody sees, or that turn the direction of what is read.
UNSEEN = ("noir\u202etxt.safetensors", "no\u200bir.safetensors", "noir\ufeff.safetensors",
          "no\u00adir.safetensors", "noir\u2028.safetensors")  # fmt: skip
#: Letters that look like others, in names of adapters and owners: ASCII only.
LOOK_ALIKES = ("nоir", "ｎoir", "noır", "no\u200bir", "ＮＯＩＲ", "nοir", "noir\u0301")
ADAPTER_NAMES = ("../noir", "a/b", "..", "no--ir", "noir.git", "-noir", "noir.", "", "n" * 97)


@dataclass(frozen=True)
class Case:
    """Something bad, and what must come of it.

    Attributes:
        act: Does it, and returns the last answer.
        status: Of that answer.
        code: Its slug, "" where it is no problem.
        findings: Codes of the findings it lists.
    """

    name: str
    act: Callable[[], Answer]
    status: int
    code: str = ""
    findings: tuple[str, ...] = ()


class Table:
    """A hub, three people, and every bad thing they do."""

    def __init__(self, plan: Plan, hub: FaultyHub) -> None:
        self.plan, self.hub = plan, hub
        self.ada, self.bob, self.stranger = (*hub.callers("ada", "bob"), Caller(hub.port))
        random = Random(plan.seed)
        self.good = payload(plan.folder, random, "noir.safetensors", 200_000)
        self.other = payload(plan.folder, random, "other.safetensors", 200_000)
        self.data = self.good.data

    def cases(self) -> Iterator[Case]:
        """Yield all of them."""
        yield from self._files()
        yield from self._sizes()
        yield from self._digests()
        yield from self._paths()
        yield from self._names()
        yield from self._others()
        yield from self._yanked()
        yield from self._late()

    # --- Bytes ------------------------------------------------------------------------------
    def _files(self) -> Iterator[Case]:
        def refused(name: str, data: bytes, finding: str) -> Case:
            return Case(name, partial(self.ada.send, data), 422, "upload_refused", (finding,))

        empty = partial(self.ada.announce, "noir.safetensors", 0)
        yield Case("empty", empty, 422, "upload_refused", ("file_empty",))
        yield refused("one byte", b"\0", "file_truncated")
        yield refused("truncated", self.data[:-100], "file_truncated")
        yield refused("truncated in its header", self.data[:100], "file_truncated")
        yield refused("trailing bytes", self.data + b"PK\5\6", "trailing_bytes")
        for name in BOMBS if self.plan.is_short else ATTACKS:
            if ATTACKS[name].data:
                yield refused(f"malformed: {name}", ATTACKS[name].data, ATTACKS[name].code)
        bomb = ATTACKS["flood of texts"]
        parts = partial(self._by_parts, bomb.data)
        yield Case("malformed, by parts", parts, 422, "upload_refused", (bomb.code,))

    def _by_parts(self, data: bytes) -> Answer:
        place = self._announced(len(data))
        for number in range(1, -(-len(data) // PART_BYTES) + 1):
            piece = data[(number - 1) * PART_BYTES : number * PART_BYTES]
            assert self.ada.call("PUT", f"{place}/parts/{number}", piece).status == 200
        return self.ada.post(f"{place}/complete")

    # --- Sizes ------------------------------------------------------------------------------
    def _sizes(self) -> Iterator[Case]:
        data = self.data
        yield self._body("fewer bytes than declared", data[:-1], 422, "size_mismatch")
        yield self._body("more bytes than declared", data + b"x", 422, "size_mismatch")
        yield self._part("a part of one byte", 1, b"x", 422, "size_mismatch")
        yield self._part("a part too long", 1, data[: PART_BYTES + 1], 422, "size_mismatch")
        yield self._part("part 0", 0, b"x", 400, "validation_failed")
        yield self._part("a part beyond the last", 5000, b"x", 400, "validation_failed")
        yield Case("chunked", partial(self._raw, chunked=True), 411, "length_required")
        cut = partial(self._raw, data=data[:1000], is_cut=True)
        yield Case("a body that breaks off", cut, 422, "size_mismatch")
        huge = partial(self.ada.announce, "noir.safetensors", 2**60)
        yield Case("a size over the limit", huge, 413, "too_large")
        negative = partial(self.ada.announce, "noir.safetensors", -1)
        yield Case("a negative size", negative, 400, "validation_failed")
        yield Case("completed without its parts", self._incomplete, 409, "upload_incomplete")

    def _incomplete(self) -> Answer:
        return self.ada.post(f"{self._announced(len(self.data))}/complete")

    def _body(self, name: str, body: bytes, status: int, code: str) -> Case:
        def act() -> Answer:
            return self.ada.call("PUT", f"{self._announced(len(self.data))}/content", body)

        return Case(name, act, status, code)

    def _part(self, name: str, number: int, body: bytes, status: int, code: str) -> Case:
        def act() -> Answer:
            place = self._announced(len(self.data))
            return self.ada.call("PUT", f"{place}/parts/{number}", body)

        return Case(name, act, status, code)

    def _raw(self, *, data: bytes = b"", chunked: bool = False, is_cut: bool = False) -> Answer:
        """Send a request that no client library would send."""
        place = self._announced(len(self.data))
        length = f"Content-Length: {len(self.data)}"
        body = data
        if chunked:
            length = "Transfer-Encoding: chunked"
            body = f"{len(self.data):x}\r\n".encode() + self.data + b"\r\n0\r\n\r\n"
        head = [
            f"PUT {place}/content HTTP/1.1",
            "Host: 127.0.0.1",
            f"Authorization: Bearer {self.ada.token}",
            length,
            "Connection: close",
        ]
        sent = "\r\n".join(head).encode() + b"\r\n\r\n" + body
        status, answer = exchange(self.hub.port, sent, is_cut=is_cut)
        return Answer(status, {"content-type": "application/problem+json"}, answer)

    # --- Digests ----------------------------------------------------------------------------
    def _digests(self) -> Iterator[Case]:
        wrong = partial(self.ada.send, self.data, sha256="0" * 64)
        yield Case("wrong digest", wrong, 422, "digest_mismatch", ("digest_mismatch",))
        short = partial(self.ada.announce, "noir.safetensors", 100, "abc")
        yield Case("a digest that is none", short, 400, "validation_failed")
        yield Case("wrong digest of a part", self._wrong_part, 422, "digest_mismatch")

    def _wrong_part(self) -> Answer:
        place = self._announced(len(self.data))
        headers = {"X-Part-SHA256": "0" * 64}
        answer = self.ada.call("PUT", f"{place}/parts/1", self.data[:PART_BYTES], headers)
        assert self.ada.get(place).document["parts"] == []
        return answer

    # --- Names ------------------------------------------------------------------------------
    def _paths(self) -> Iterator[Case]:
        for path in (*PATHS, *UNSEEN):
            act = partial(self.ada.announce, path, 100)
            yield Case(f"path {path[:40]!r}", act, 400, "path_invalid")
        for name, path in (("NUL", "a\0b.safetensors"), ("256 letters", "x" * 256)):
            act = partial(self.ada.announce, path, 100)
            yield Case(f"a path with {name}", act, 400, "validation_failed")
        yield Case("one path in two spellings", self._spellings, 400, "validation_failed")

    def _spellings(self) -> Answer:
        """Composed and decomposed letters are one path: NFC."""
        names = ("caf\u00e9.txt", "cafe\u0301.txt")
        ids = [self._accepted(name, f"text {name}".encode()) for name in names]
        return self.ada.post("/api/v1/adapters/ada/kept/versions", {"uploads": ids})

    def _names(self) -> Iterator[Case]:
        for name in (*ADAPTER_NAMES, *LOOK_ALIKES):
            code = "name_invalid" if name else "validation_failed"
            act = partial(self.ada.post, "/api/v1/adapters", {"name": name})
            yield Case(f"adapter {name[:40]!r}", act, 400, code)
        twice = partial(self.ada.post, "/api/v1/adapters", {"name": "KEPT"})
        yield Case("a name taken in another case", twice, 409, "name_taken")

    # --- People -----------------------------------------------------------------------------
    def _others(self) -> Iterator[Case]:
        nobody = partial(self.stranger.send, self.data)
        yield Case("a stranger", nobody, 401, "not_authenticated")
        yield Case("another's adapter", self._anothers_adapter, 403, "forbidden")
        yield Case("another's private adapter", self._private_adapter, 404, "not_found")
        yield Case("another's upload, sent to", self._anothers_upload, 404, "not_found")
        yield Case("another's upload, published", self._taken_upload, 404, "not_found")

    def _anothers_adapter(self) -> Answer:
        body = {"uploads": [self._accepted("bob.txt", b"of bob", self.bob)]}
        return self.bob.post("/api/v1/adapters/ada/kept/versions", body)

    def _private_adapter(self) -> Answer:
        body = {"uploads": [self._accepted("bob2.txt", b"too", self.bob)]}
        return self.bob.post("/api/v1/adapters/ada/secret/versions", body)

    def _anothers_upload(self) -> Answer:
        place = self._announced(len(self.data))
        return self.bob.call("PUT", f"{place}/content", self.data)

    def _taken_upload(self) -> Answer:
        body = {"uploads": [self._accepted("ada.txt", b"of ada")]}
        return self.bob.post("/api/v1/adapters/bob/own/versions", body)

    # --- Time -------------------------------------------------------------------------------
    def _yanked(self) -> Iterator[Case]:
        """The name of a yanked version is taken for good, by the files that it had."""
        place = "/api/v1/adapters/ada/yanked/versions"
        publish = partial(self.ada.post, f"{place}/v1/publish")
        yield Case("publishing a yanked version", publish, 409, "already_published")
        discard = partial(self.ada.call, "DELETE", f"{place}/v1")
        yield Case("discarding a yanked version", discard, 409, "already_published")
        yield Case("the files of a yanked version", self._yanked_files, 200)

    def _yanked_files(self) -> Answer:
        """Announce and publish them again: it is the version that it was, and stays yanked."""
        announced = self.ada.announce(self.good.path, len(self.data), self.good.sha256)
        assert announced.document["state"] == "accepted", announced.body
        place = "/api/v1/adapters/ada/yanked/versions"
        answer = self.ada.post(place, {"uploads": [announced.document["id"]]})
        assert (answer.document["version"], answer.document["state"]) == ("v1", "yanked")
        return answer

    def _late(self) -> Iterator[Case]:
        yield Case("a part after expiry", partial(self._expired, "parts/1"), 409, "wrong_state")
        yield Case("a body after expiry", partial(self._expired, "content"), 409, "wrong_state")
        yield Case("completed after expiry", partial(self._expired, "complete"), 409, "wrong_state")

    def _expired(self, what: str) -> Answer:
        place = self._announced(len(self.data))
        first = self.data[:PART_BYTES]
        assert self.ada.call("PUT", f"{place}/parts/1", first).status == 200
        self.hub.probe.ask("give_up", uploads=[place.rpartition("/")[2]])
        self.hub.probe.ask("sweep")
        assert self.ada.get(place).document["state"] == "expired"
        if what == "complete":
            return self.ada.post(f"{place}/complete")
        return self.ada.call("PUT", f"{place}/{what}", first if "/" in what else self.data)

    # --- Steps ------------------------------------------------------------------------------
    def prepare(self) -> None:
        """Publish what the cases refer to."""
        for name in ("kept", "yanked"):
            answer = self.ada.publish(self.other.data if name == "kept" else self.data, name)
            assert answer.status == 201, answer.body
        secret = self.ada.post("/api/v1/adapters", {"name": "secret", "visibility": "private"})
        assert secret.status == 201, secret.body
        assert self.bob.post("/api/v1/adapters", {"name": "own"}).status == 201
        yank = "/api/v1/adapters/ada/yanked/versions/v1/yank"
        assert self.ada.post(yank, {"reason": "blurs"}).status == 200

    def tidy(self) -> None:
        """Cancel what is open, as the documentation says, and sweep as the worker does."""
        for who in (self.ada, self.bob):
            for upload in who.get(f"{UPLOADS}?limit=20").document["results"]:
                if upload["state"] in {"receiving", "checking"}:
                    who.call("DELETE", f"{UPLOADS}/{upload['id']}")
        self.hub.probe.ask("let_go")
        for _ in range(2):
            self.hub.probe.ask("sweep")

    def _announced(self, size: int) -> str:
        answer = self.ada.announce("noir.safetensors", size)
        assert answer.status == 201, answer.body
        return f"{UPLOADS}/{answer.document['id']}"

    def _accepted(self, name: str, data: bytes, who: Caller | None = None) -> str:
        sender = who or self.ada
        sent = sender.send(data, name, hashlib.sha256(data).hexdigest())
        assert sent.status in {200, 201}, sent.body
        upload = str(sent.document["id"])
        assert sender.final_state(upload) == "accepted"
        return upload


def run(plan: Plan, trial: Trial) -> None:
    """Do each bad thing, compare the answer, and count rows and files before and after."""
    if plan.environment.has_bucket:
        message = "a bucket takes no parts of 64 KiB, and all of this is refused before it"
        raise Skipped(message)
    with plan.environment.hub("bad", webs=1, UPLOAD_PART_BYTES=str(PART_BYTES)) as hub:
        table = Table(plan, hub)
        table.prepare()
        table.tidy()
        before = hub.probe.ask("rows")
        count = 0
        for case in table.cases():
            count += 1
            _judge(trial, case)
        table.tidy()
        _compare(trial, "all of them", before, hub.probe.ask("rows"))
        trial.numbers["bad inputs"] = count
        many_tiny_parts(plan, trial, hub, table.ada)
        table.tidy()
        _compare(trial, "tiny parts", before, hub.probe.ask("rows"))
        trial.numbers["rows and files before and after"] = before
        trial.faults += [f"the log tells of error {number}" for number in hub.surprises()]


def _judge(trial: Trial, case: Case) -> None:
    try:
        answer = case.act()
        code = answer.code if answer.status >= 400 else ""
        found = tuple(answer.findings) if case.findings else ()
    except (AssertionError, KeyError, OSError, json.JSONDecodeError) as error:
        trial.faults.append(f"{case.name}: {type(error).__name__}: {error}")
        return
    got = (answer.status, code, found)
    wanted = (case.status, case.code, case.findings)
    trial.expect(got == wanted, f"{case.name}: {got} instead of {wanted}")


def _compare(trial: Trial, what: str, before: dict[str, int], after: dict[str, int]) -> None:
    left = {name: after[name] - count for name, count in before.items() if after[name] != count}
    trial.expect(not left, f"{what} left rows or files behind: {left}")
