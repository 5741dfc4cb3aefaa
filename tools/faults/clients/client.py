"""A client that goes on where it was, whatever happens to the hub, and forgets no promise."""

from __future__ import annotations

import hashlib
import http.client
import threading
import time
from collections import Counter
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from contextlib import AbstractContextManager
    from random import Random

    from tests.e2e.talk import Answer, Caller
    from tools.faults.clients.payloads import Payload
    from tools.faults.clients.stages import Stages

#: Pause before a request is repeated, and the time after which a hub counts as gone for good.
PAUSE_S, PATIENCE_S = 0.1, 300.0
FETCH_S = 60.0
#: A body leaves in pieces of this many bytes.
PIECE_BYTES = 32 * 1024
#: Answers that ask to come back soon, by code.
BUSY = frozenset({"conflict", "unavailable", "storage_full", "upload_not_ready"})


class Lost(Exception):
    """No answer came, or one that asks to try again: nobody knows what has happened."""


@dataclass
class Ledger:
    """What the hub acknowledged to all clients, and what it did not keep."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    done: Counter[str] = field(default_factory=Counter)
    server_errors: list[tuple[int, str]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    published: dict[str, Payload] = field(default_factory=dict)

    def count(self, what: str, number: int = 1) -> None:
        """Count something that was done."""
        with self.lock:
            self.done[what] += number

    def fault(self, text: str) -> None:
        """Write down a broken promise."""
        with self.lock:
            self.faults.append(text)

    def answered(self, what: str, answer: Answer) -> None:
        """Write down an answer that nobody should get."""
        if answer.status >= 500:
            text = f"{what}: {answer.status} {answer.body[:200].decode(errors='replace')}"
            with self.lock:
                self.server_errors.append((answer.status, text))


@dataclass
class Sent:
    """An upload, and what was promised of it."""

    payload: Payload
    by_parts: bool
    id: str = ""
    parts: dict[int, str] = field(default_factory=dict)
    is_complete: bool = False


@dataclass
class Client:
    """One user with one file after the other.

    Attributes:
        name: Of its namespace.
        caller: Speaks for it.
        random: Decides what it does.
        ledger: Where promises are written down.
        stages: Where it tells what it is at.
        pause_s: Longest pause between two pieces of a body: slow lines have more in the middle.
    """

    name: str
    caller: Caller
    random: Random
    ledger: Ledger
    stages: Stages | None = None
    pause_s: float = 0.0

    def run(self, sent: Sent, adapter: str) -> None:
        """Bring a file in and publish it, however often that has to be begun again.

        Raises:
            TimeoutError: the hub did not come back, or a state never ended.
        """
        until = time.monotonic() + PATIENCE_S
        while not self._accepted(sent):
            if time.monotonic() > until:
                self.ledger.fault(f"{sent.payload.path} ({sent.id}) is stuck")
                raise TimeoutError(sent.payload.path)
        self.publish(sent, adapter)

    def begin(self, sent: Sent) -> None:
        """Announce a file and send some of it; try again while it has no ``id``."""
        try:
            self.announce(sent)
            document = self.upload_document(sent)
            if document["state"] == "receiving" and document["part_size"] < len(sent.payload.data):
                self.send_part(sent, 1, document["part_size"])
        except Lost:
            self.ledger.count("requests cut off")
            time.sleep(PAUSE_S)

    # --- One file ---------------------------------------------------------------------------
    def _accepted(self, sent: Sent) -> bool:
        """Do the next thing; whether the file is accepted."""
        try:
            if not sent.id:
                self.announce(sent)
            document = self.upload_document(sent)
            self.verify(sent, document)
            if document["state"] == "receiving":
                self._send(sent, document)
            elif document["state"] == "checking":
                with self._at("check"):
                    time.sleep(PAUSE_S)
            elif document["state"] != "accepted":
                self._refused(sent, document)
            return bool(document["state"] == "accepted")
        except Lost:
            self.ledger.count("requests cut off")
            time.sleep(PAUSE_S)
            return False

    def announce(self, sent: Sent) -> None:
        """Say what comes; an announcement whose answer was lost is looked for first."""
        file = sent.payload
        listed = self.ask("GET", "/api/v1/uploads?limit=100")
        mine = [one for one in listed.document["results"] if one["path"] == file.path]
        if mine:
            sent.id = mine[0]["id"]
            return
        declared = file.sha256 if self.random.random() < 0.5 else None
        body = {"path": file.path, "size": len(file.data), "sha256": declared}
        with self._at("announce"):
            answer = self.ask("POST", "/api/v1/uploads", body)
        self._expect(answer, 201, f"announcing {file.path}")
        sent.id = answer.document["id"]

    def upload_document(self, sent: Sent) -> dict[str, Any]:
        """Return the hub's document of an upload."""
        answer = self.ask("GET", f"/api/v1/uploads/{sent.id}")
        self._expect(answer, 200, f"looking at {sent.payload.path}")
        return dict(answer.document)

    def verify(self, sent: Sent, document: Mapping[str, Any]) -> None:
        """Hold the hub to what it acknowledged."""
        state, path = document["state"], sent.payload.path
        if sent.is_complete and state == "receiving":
            self.ledger.fault(f"{path} was acknowledged as complete and is {state}")
        if state != "receiving":
            return
        here = {part["number"]: part["sha256"] for part in document["parts"]}
        for number, sha256 in sent.parts.items():
            if here.get(number) != sha256:
                self.ledger.fault(f"part {number} of {path} was acknowledged and is not there")

    def _refused(self, sent: Sent, document: Mapping[str, Any]) -> None:
        """A file may be given up after five workers died at it, and is then sent again."""
        codes = [found["code"] for found in document["findings"]]
        if codes != ["check_failed"]:
            self.ledger.fault(f"{sent.payload.path} is {document['state']}: {codes}")
        self.ledger.count("checks given up")
        sent.payload = replace(sent.payload, path=f"again-{sent.payload.path}")
        sent.id, sent.parts, sent.is_complete = "", {}, False

    def _send(self, sent: Sent, document: Mapping[str, Any]) -> None:
        if not sent.by_parts:
            with self._at("body"):
                answer = self.send_bytes(f"/api/v1/uploads/{sent.id}/content", sent.payload.data)
            self._completed(sent, answer)
            return
        here = {part["number"] for part in document["parts"]}
        step = document["part_size"]
        numbers = [n for n in range(1, -(-len(sent.payload.data) // step) + 1) if n not in here]
        self.random.shuffle(numbers)
        if here and self.random.random() < 0.1:
            numbers.append(self.random.choice(sorted(here)))  # again, as often as wanted
        for number in numbers:
            if not self.send_part(sent, number, step):
                return
        with self._at("complete"):
            answer = self.ask("POST", f"/api/v1/uploads/{sent.id}/complete", {})
        self._completed(sent, answer)

    def send_part(self, sent: Sent, number: int, step: int) -> bool:
        """Send a part; False when the upload takes none any more."""
        data = sent.payload.data[(number - 1) * step : number * step]
        sent.parts.pop(number, None)  # until it is here again it is missing
        with self._at("part"):
            answer = self.send_bytes(f"/api/v1/uploads/{sent.id}/parts/{number}", data)
        if answer.status == 409:
            return False
        self._expect(answer, 200, f"part {number} of {sent.payload.path}")
        sha256 = hashlib.sha256(data).hexdigest()
        if answer.document["sha256"] != sha256:
            self.ledger.fault(f"part {number} of {sent.payload.path} arrived as other bytes")
        sent.parts[number] = sha256
        self.ledger.count("parts acknowledged")
        return True

    def _completed(self, sent: Sent, answer: Answer) -> None:
        if answer.status == 409:
            return  # an answer was lost: the next upload_document tells
        self._expect(answer, 200, f"completing {sent.payload.path}")
        sent.is_complete = True
        self.ledger.count("uploads acknowledged")

    # --- A version --------------------------------------------------------------------------
    def publish(self, sent: Sent, adapter: str) -> None:
        """Publish a file as a version, at once or by way of a draft."""
        place = f"/api/v1/adapters/{self.name}/{adapter}/versions"
        is_drafted = self.random.random() < 0.5
        body = {"uploads": [sent.id], "publish": not is_drafted}
        with self._at("publish"):
            made = self.repeat("POST", "/api/v1/adapters", {"name": adapter})
            if made.status not in {201, 409}:
                self.ledger.fault(f"adapter {adapter}: {made.status} {made.body[:200]!r}")
            answer = self.repeat("POST", place, body)
            self._expect(answer, {200, 201}, f"a version of {adapter}")
            version = answer.document["version"]
            if is_drafted:
                out = self.repeat("POST", f"{place}/{version}/publish", {})
                if out.status != 200 and out.code != "already_published":
                    self.ledger.fault(f"publishing {version} of {adapter}: {out.body[:200]!r}")
        with self.ledger.lock:
            where = f"{place}/{version}/files/{sent.payload.path}"
            if self.ledger.published.setdefault(where, sent.payload) is not sent.payload:
                self.ledger.faults.append(f"{where} was given to two publications")
        self.ledger.count("versions acknowledged")

    def download(self, where: str) -> str:
        """Return the digest of a published file as it is served now."""
        connection, response = fetch(self.caller, where)
        try:
            if response.status != 200:
                return f"nothing but {response.status}"
            return hashlib.file_digest(response, "sha256").hexdigest()
        finally:
            connection.close()

    # --- Requests ---------------------------------------------------------------------------
    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Answer:
        """Send a request once.

        Raises:
            Lost: there was no answer, or one that says to come back.
        """
        return self._answered(f"{method} {path}", lambda: self.caller.call(method, path, body))

    def repeat(self, method: str, path: str, body: dict[str, Any] | None = None) -> Answer:
        """Send a request that may be repeated until it is answered."""
        until = time.monotonic() + PATIENCE_S
        while True:
            try:
                return self.ask(method, path, body)
            except Lost as lost:
                if time.monotonic() > until:
                    self.ledger.fault(f"{method} {path} is not answered: {lost}")
                    raise TimeoutError(path) from lost
                self.ledger.count("requests cut off")
                time.sleep(PAUSE_S)

    def send_bytes(self, path: str, data: bytes) -> Answer:
        """PUT bytes, in pieces.

        Raises:
            Lost: see ``ask``.
        """
        headers = {"Content-Length": str(len(data))}
        pieces = self._pieces(data)
        return self._answered(f"PUT {path}", lambda: self.caller.call("PUT", path, pieces, headers))

    def _pieces(self, data: bytes) -> Iterator[bytes]:
        for start in range(0, len(data), PIECE_BYTES):
            yield data[start : start + PIECE_BYTES]
            if self.pause_s:
                time.sleep(self.random.random() * self.pause_s)

    def _answered(self, what: str, call: Any) -> Answer:
        self.ledger.count("requests")
        try:
            answer: Answer = call()
        except (OSError, http.client.HTTPException) as error:
            raise _lost(what, error) from error
        self.ledger.answered(what, answer)
        if answer.status >= 500 or (answer.status == 409 and answer.code in BUSY):
            raise _lost(what, answer.status)
        return answer

    def _expect(self, answer: Answer, wanted: int | set[int], what: str) -> None:
        statuses = {wanted} if isinstance(wanted, int) else wanted
        if answer.status not in statuses:
            text = f"{what}: {answer.status} {answer.body[:300].decode(errors='replace')}"
            self.ledger.fault(text)
            raise Lost(text)

    def _at(self, phase: str) -> AbstractContextManager[None]:
        return nullcontext() if self.stages is None else self.stages.at(phase)


def fetch(
    caller: Caller, where: str, headers: Mapping[str, str] | None = None
) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
    """GET a file; where the hub sends one to its bucket, go there."""
    sent = {"Authorization": f"Bearer {caller.token}", **(headers or {})}
    connection = http.client.HTTPConnection("127.0.0.1", caller.port, timeout=FETCH_S)
    connection.request("GET", where, headers=sent)
    response = connection.getresponse()
    if response.status not in {302, 303, 307}:
        return connection, response
    place = urlsplit(str(response.getheader("Location")))
    response.read()
    connection.close()
    there = http.client.HTTPConnection(str(place.hostname), place.port, timeout=FETCH_S)
    # The bucket knows neither our tokens nor our validators; what it sends is compared anyway.
    own = {name: value for name, value in sent.items() if name == "Range"}
    there.request("GET", f"{place.path}?{place.query}", headers=own)
    return there, there.getresponse()


def _lost(what: str, why: object) -> Lost:
    return Lost(f"{what}: {why!r}")
