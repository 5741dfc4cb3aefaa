"""A disk without room: refused clearly, nothing lost, and well again without a restart."""

from __future__ import annotations

import errno
import hashlib
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from random import Random
from typing import TYPE_CHECKING, Any

from tools.faults.clients.payloads import payload
from tools.faults.servers.services import wait_until
from tools.faults.trials import Skipped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.e2e.talk import Answer, Caller
    from tools.faults.clients.payloads import Payload
    from tools.faults.servers.hubs import FaultyHub
    from tools.faults.trials import Plan, Trial

PART_BYTES = 256 * 1024
DISK_BYTES = 24 * 2**20
INODES = 600
#: How long the disk stays full while a check wants to promote: longer than all of a job's attempts
#: would take that count as such.
FULL_S, SHORT_FULL_S = 40.0, 6.0
SETTLED_S = 90.0


class SmallDisk:
    """A tmpfs that can be filled to the last byte or the last file, and emptied again."""

    def __init__(self, folder: Path, size_bytes: int = DISK_BYTES) -> None:
        self.folder, self.size_bytes = folder, size_bytes

    def __enter__(self) -> SmallDisk:
        self.folder.mkdir()
        size = f"size={self.size_bytes},nr_inodes={INODES},mode=755"
        mount = ["mount", "-t", "tmpfs", "-o", size, "lorary-faults", str(self.folder)]
        done = subprocess.run(mount, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            message = f"a small disk cannot be mounted: {done.stderr.strip()}"
            raise Skipped(message)
        return self

    def __exit__(self, *_: object) -> None:
        subprocess.run(["umount", "--lazy", str(self.folder)], check=True)

    @contextmanager
    def full(self, *, left: int = 0) -> Iterator[None]:
        """Fill it with something else but for some bytes."""
        filler = self.folder / "filler"
        with filler.open("wb", buffering=0) as handle:
            self._pour(handle.fileno())
            if left:
                handle.truncate(max(0, handle.tell() - left))
        try:
            yield
        finally:
            filler.unlink()

    @staticmethod
    def _pour(handle: int) -> None:
        for block in (64 * 1024, 4096, 512):
            try:
                while True:
                    os.write(handle, b"\1" * block)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise

    @contextmanager
    def without_files(self) -> Iterator[None]:
        """Fill it with empty files: bytes may be written, but no file or folder can be made."""
        place = self.folder / "many"
        place.mkdir()
        made: list[Path] = []
        try:
            while True:
                made.append(place / str(len(made)))
                made[-1].touch()
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
        try:
            yield
        finally:
            for file in made:
                file.unlink(missing_ok=True)
            place.rmdir()


def run(plan: Plan, trial: Trial) -> None:
    """Fill the disk of the files, then that of the database, at each point of a file's way."""
    if sys.platform != "linux" or os.geteuid() != 0:
        message = "mounting a small disk needs root on Linux"
        raise Skipped(message)
    if plan.environment.has_bucket:
        message = "the bytes are not on a disk of this machine"
        raise Skipped(message)
    with SmallDisk(plan.folder / "files-disk") as disk:
        storage = (disk.folder / "files").as_uri()
        parts = str(PART_BYTES)
        with plan.environment.hub("disk", webs=1, UPLOAD_PART_BYTES=parts, STORAGE=storage) as hub:
            _Files(plan, trial, hub, disk).run()
            trial.faults += [f"files: error {number} in the log" for number in hub.surprises()]
    if plan.environment.is_sqlite:
        with SmallDisk(plan.folder / "data-disk") as disk:
            _with_database(plan, trial, disk)


class _Scene:
    """A hub on a small disk, a user of it, and what is expected."""

    def __init__(self, plan: Plan, trial: Trial, hub: FaultyHub, disk: SmallDisk) -> None:
        self.plan, self.trial, self.hub, self.disk = plan, trial, hub, disk
        self.random = Random(plan.seed)
        self.ada: Caller = hub.callers("ada")[0]
        self.count = 0
        self.refusals = 0
        self.full_s = SHORT_FULL_S if plan.is_short else FULL_S

    def file(self, size: int = 1_000_000) -> Payload:
        """Return a new file."""
        self.count += 1
        name = f"full{self.count}.safetensors"
        return payload(self.plan.folder, self.random, name, size)

    def announce(self, file: Payload) -> str:
        """Announce a file and return its address."""
        answer = self.ada.announce(file.path, len(file.data), file.sha256)
        assert answer.status == 201, answer.body
        return f"/api/v1/uploads/{answer.document['id']}"

    def part(self, place: str, file: Payload, number: int) -> Answer:
        """Send a part."""
        data = file.data[(number - 1) * PART_BYTES : number * PART_BYTES]
        return self.ada.call("PUT", f"{place}/parts/{number}", data)

    def numbers(self, file: Payload) -> range:
        """Return the numbers of a file's parts."""
        return range(1, -(-len(file.data) // PART_BYTES) + 1)

    def full_answer(self, answer: Answer, when: str) -> None:
        """Expect a clear refusal."""
        self.refusals += answer.status == 507
        problem = answer.body[:200].decode(errors="replace")
        is_clear = answer.status == 507 and answer.code == "storage_full"
        self.trial.expect(is_clear, f"full {when}: {answer.status} {problem}, not storage_full")

    def state(self, place: str) -> dict[str, Any]:
        """Return an upload as it is."""
        answer = self.ada.get(place)
        assert answer.status == 200, answer.body
        return dict(answer.document)

    def accepted(self, place: str, file: Payload, when: str) -> None:
        """Expect that an upload is accepted and served, now that there is room."""
        state = self.ada.final_state(place.rpartition("/")[2], SETTLED_S)
        if not self.trial.expect(state == "accepted", f"after it was full {when}: {state}"):
            findings = self.state(place)["findings"]
            self.trial.faults.append(f"with {[found['code'] for found in findings]}")
            return
        name = f"after{self.count}"
        self.ada.post("/api/v1/adapters", {"name": name})
        versions = f"/api/v1/adapters/ada/{name}/versions"
        made = self.ada.post(versions, {"uploads": [place.rpartition("/")[2]]})
        self.trial.expect(made.status == 201, f"after it was full {when}: {made.body[:200]!r}")
        sent = self.ada.get(f"{versions}/v1/files/{file.path}").body
        is_same = hashlib.sha256(sent).hexdigest() == file.sha256
        self.trial.expect(is_same, f"after it was full {when}: other bytes are served")

    def step(self, what: str, act: Callable[[], None]) -> None:
        """Do a part of the scenario and say how long it took."""
        began = time.monotonic()
        act()
        self.trial.numbers[f"full {what}"] = f"survived in {time.monotonic() - began:.1f} s"


class _Files(_Scene):
    """The disk of the files is full; rows are elsewhere."""

    def run(self) -> None:
        """Fill it at each point."""
        self.step("during a part", self.during_a_part)
        self.step("during a whole body", self.during_a_body)
        self.step("during completion", self.during_completion)
        self.step("during promotion", self.during_promotion)
        self.step("without room for one more file", self.without_files)
        self.trial.numbers["clear refusals, files"] = self.refusals

    def during_a_part(self) -> None:
        file = self.file()
        place = self.announce(file)
        for number in (3, 1):
            assert self.part(place, file, number).status == 200
        with self.disk.full(left=PART_BYTES // 2):
            self.full_answer(self.part(place, file, 2), "during a part")
            here = [part["number"] for part in self.state(place)["parts"]]
            self.trial.expect(here == [1, 3], f"full during a part: parts {here} are left")
            # A part that is here already may be sent again, or must be refused and kept or
            # counted as missing: never half of it.
            self.part(place, file, 2)
        for number in self.numbers(file):
            answer = self.part(place, file, number)
            self.trial.expect(answer.status == 200, f"with room again: {answer.status}")
        completed = self.ada.post(f"{place}/complete")
        self.trial.expect(completed.status == 200, f"with room again: {completed.body[:200]!r}")
        self.accepted(place, file, "during a part")

    def during_a_body(self) -> None:
        file = self.file()
        place = self.announce(file)
        with self.disk.full(left=300_000):
            answer = self.ada.call("PUT", f"{place}/content", file.data)
            self.full_answer(answer, "during a body")
            state = self.state(place)["state"]
            self.trial.expect(state == "receiving", f"full during a body: {state}")
        answer = self.ada.call("PUT", f"{place}/content", file.data)
        self.trial.expect(answer.status == 200, f"body with room again: {answer.status}")
        self.accepted(place, file, "during a body")

    def during_completion(self) -> None:
        file = self.file()
        place = self.announce(file)
        for number in self.numbers(file):
            assert self.part(place, file, number).status == 200
        with self.disk.full():
            answer = self.ada.post(f"{place}/complete")
            if answer.status != 200:
                self.full_answer(answer, "during completion")
                here = len(self.state(place)["parts"])
                wanted = len(self.numbers(file))
                self.trial.expect(here == wanted, f"full during completion: {here} parts are left")
        if answer.status != 200:
            answer = self.ada.post(f"{place}/complete")
            self.trial.expect(answer.status == 200, f"completion with room: {answer.status}")
        self.accepted(place, file, "during completion")

    def during_promotion(self) -> None:
        """No folder can be made for the bytes: the check waits until one can."""
        file = self.file()
        place = self.announce(file)
        self.hub.kill_worker()
        answer = self.ada.call("PUT", f"{place}/content", file.data)
        assert answer.status == 200, answer.body
        with self.disk.without_files():
            self.hub.start_worker()
            time.sleep(self.full_s)
            state = self.state(place)["state"]
            self.trial.expect(state == "checking", f"full during promotion: {state}")
        self.accepted(place, file, "during promotion")

    def without_files(self) -> None:
        file = self.file()
        place = self.announce(file)
        with self.disk.without_files():
            self.full_answer(self.part(place, file, 1), "of files")
        for number in self.numbers(file):
            assert self.part(place, file, number).status == 200
        assert self.ada.post(f"{place}/complete").status == 200
        self.accepted(place, file, "of files")


def _with_database(plan: Plan, trial: Trial, disk: SmallDisk) -> None:
    """Everything of the hub is on the disk that is full: SQLite, messages, locks, files."""
    hub = plan.environment.hub("small", webs=1, UPLOAD_PART_BYTES=str(PART_BYTES))
    data = disk.folder / "data"
    subprocess.run(["cp", "-r", str(hub.data), str(data)], check=True)
    hub.data, hub.environ["LORARY_DATA"] = data, str(data)
    with hub:
        scene = _Scene(plan, trial, hub, disk)
        scene.step("with the database on it", lambda: _database(scene))
        trial.numbers["clear refusals, database"] = scene.refusals
        trial.faults += [f"database: error {number} in the log" for number in hub.surprises()]


def _database(scene: _Scene) -> None:
    trial, ada = scene.trial, scene.ada
    file, other = scene.file(600_000), scene.file(600_000)
    place = scene.announce(file)
    for number in (1, 2):
        assert scene.part(place, file, number).status == 200
    refused = 0
    with scene.disk.full():
        for number in range(300):  # until what SQLite has set aside is used up
            answer = ada.announce(f"more{number}.safetensors", 1000)
            if answer.status != 201:
                scene.full_answer(answer, "at an announcement")
                refused += 1
            if refused == 5:
                break
        scene.full_answer(scene.part(place, file, 3), "with the database on it")
        reading = ada.get(place)
        trial.expect(reading.status == 200, f"full database, reading: {reading.status}")
        page = ada.get("/browse")
        trial.expect(page.status == 200, f"full database, a page: {page.status}")
    trial.expect(refused == 5, f"a full database refused {refused} of 5 announcements")
    here = [part["number"] for part in scene.state(place)["parts"]]
    trial.expect({1, 2} <= set(here), f"full database: parts {here} are left")
    for number in scene.numbers(file):
        answer = scene.part(place, file, number)
        trial.expect(answer.status == 200, f"database with room again: {answer.status}")
    wait_until(lambda: ada.post(f"{place}/complete").status == 200, 20, "completion")
    scene.accepted(place, file, "with the database on it")
    second = scene.announce(other)
    answer = ada.call("PUT", f"{second}/content", other.data)
    trial.expect(answer.status == 200, f"database with room again: {answer.status}")
