"""The code before the newest migration, on a database that this code has migrated.

In an update without a stop, `migrate` runs first, and web servers and workers of the release before
go on until they are restarted. The code comes from the history of the checkout:
``LORARY_TEST_PREVIOUS`` names another revision, such as the tag of a release.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import subprocess
import tarfile
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from benchmarks.setup.hubs import path_of
from tests.builders.adapters import DENOISERS, kohya
from tests.e2e.talk import Answer, Caller, caller
from tests.running import ROOT, RunningHub
from tools.faults.servers.services import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.long]

MIGRATIONS = ("registry/migrations", "previews/migrations")
PART = 256 * 1024
#: Pages and lists that read many tables.
READ = (
    "/", "/browse?q=noir", "/ada", "/ada/noir", "/ada/noir/previews", "/packs", "/packs/ada/dusk",
    "/api/v1/adapters?q=noir", "/api/v1/adapters/ada/noir/versions", "/api/models",
    "/api/models/ada/noir", "/api/v1/models", "/api/v1/packs/ada/dusk",
)  # fmt: skip


def git(*arguments: str) -> bytes:
    command = ["git", "-C", str(ROOT), *arguments]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"the history is not here: {done.stderr.decode().strip()}")
    return done.stdout


def previous() -> str:
    """Return the revision before the newest migration, or the one that is named."""
    if named := os.environ.get("LORARY_TEST_PREVIOUS"):
        return named
    newest = git("log", "-1", "--diff-filter=A", "--format=%H", "--", *MIGRATIONS)
    return f"{newest.decode().strip()}^"


@dataclass(frozen=True)
class Site:
    """Two hubs on the same rows and files.

    Attributes:
        old: With the code from before.
        new: With this code.
    """

    old: RunningHub
    new: RunningHub
    ada: Caller
    migrations: set[str]

    def with_new(self, who: Caller) -> Caller:
        return Caller(self.new.port, who.token)


def migrations_of(root: Path) -> set[str]:
    files = (file for folder in MIGRATIONS for file in (root / folder).glob("[0-9]*.py"))
    return {f"{file.parents[1].name}.{file.stem}" for file in files}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("previous")
    with tarfile.open(fileobj=io.BytesIO(git("archive", previous()))) as archive:
        archive.extractall(folder / "code", filter="data")
    settings = {"UPLOAD_PART_BYTES": str(PART)}
    old = RunningHub(folder / "hub", "--queues", "checks", **settings)
    old.migrate()  # by this code
    new = old.beside("--no-worker")
    old.root = folder / "code"
    old.environ["PYTHONPATH"] = str(old.root / "sdk" / "src")
    with ExitStack() as stack:
        stack.enter_context(old)
        ada = caller(old, "ada")
        stack.enter_context(new)
        missing = migrations_of(ROOT) - migrations_of(old.root)
        yield Site(old, new, ada, missing)


def weights(rank: int) -> bytes:
    return kohya(DENOISERS["sd1", "diffusers"], rank=rank)


def ok(answer: Answer) -> Answer:
    assert answer.status in {200, 201}, answer.body
    return answer


def upload_by_parts(who: Caller, data: bytes) -> str:
    upload = str(ok(who.announce("noir.safetensors", len(data))).document["id"])
    for number, start in enumerate(range(0, len(data), PART), 1):
        place = f"/api/v1/uploads/{upload}/parts/{number}"
        ok(who.call("PUT", place, data[start : start + PART]))
    ok(who.post(f"/api/v1/uploads/{upload}/complete"))
    assert who.final_state(upload) == "accepted"
    return upload


def is_ready(hub: RunningHub) -> bool:
    return Caller(hub.port).get("/healthz/ready").status == 200


def download(who: Caller, made: Answer) -> bytes:
    return ok(who.get(path_of(made.document["files"][0]["download_url"]))).body


def test_the_code_before_lacks_migrations(site: Site) -> None:
    assert site.migrations, "the revision has the migrations of this code; it tests nothing"


def test_both_codes_work_on_the_new_tables(site: Site) -> None:
    old_works(site)
    both_go_on_with_what_the_other_wrote(site)
    neither_reports_an_error(site)


def old_works(site: Site) -> None:
    ada, first, second = site.ada, weights(4), weights(6)
    made = ok(ada.publish(first, "noir", summary="Film noir", tags=["noir"]))
    assert download(Caller(ada.port), made) == first
    place = "/api/v1/adapters/ada/noir"
    made = ok(ada.post(f"{place}/versions", {"uploads": [upload_by_parts(ada, second)]}))
    assert made.document["version"] == "v2"
    assert hashlib.sha256(download(ada, made)).digest() == hashlib.sha256(second).digest()
    ok(ada.call("PATCH", place, {"title": "Film noir", "summary": "Grain"}))
    ok(ada.call("PUT", f"{place}/aliases/stable", {"to": "v1"}))
    ok(ada.post(f"{place}/versions/v1/yank", {"reason": "superseded"}))
    ok(ada.post("/api/v1/packs", {"name": "dusk"}))
    part = {"adapter": "ada/noir", "version": "v2", "role": "style"}
    family = ok(ada.get(place)).document["family"]
    variant = {"name": "one", "family": family, "prompt": "noir, {prompt}", "parts": [part]}
    ok(ada.post("/api/v1/packs/ada/dusk/versions", {"manifest": {"variants": [variant]}}))
    ok(ada.publish(weights(8), "gone"))
    ok(ada.post("/api/v1/adapters/ada/gone/versions/v1/withdraw", {"reason": "by mistake"}))
    ok(ada.call("PATCH", "/api/v1/adapters/ada/noir", {"visibility": "unlisted"}))
    ok(ada.call("PATCH", "/api/v1/adapters/ada/noir", {"visibility": "public"}))
    wait_until(lambda: is_ready(site.old), 30, "the code before is not ready")
    for path in READ:
        assert Caller(ada.port).get(path).status == 200, path
        assert ada.get(path).status == 200, path


def both_go_on_with_what_the_other_wrote(site: Site) -> None:
    old, new = site.ada, site.with_new(site.ada)
    for path in READ:
        assert new.get(path).status == 200, path
    made = ok(new.publish(weights(10), "dawn"))
    assert download(old, made) == weights(10)
    place = "/api/v1/adapters/ada/dawn/versions"
    begun = upload_by_parts(old, weights(12))
    made = ok(new.post(place, {"uploads": [begun]}))
    assert download(old, made) == weights(12)
    made = ok(old.post(place, {"uploads": [old.accepted(weights(14))]}))
    assert (made.document["version"], download(new, made)) == ("v3", weights(14))
    found = {one["full_name"] for one in old.get("/api/v1/adapters?q=dawn").document["results"]}
    assert found == {"ada/dawn"}


def neither_reports_an_error(site: Site) -> None:
    for hub in (site.old, site.new):
        lines = hub.log.read_text(errors="replace").splitlines()
        # A part of a busy machine can take longer than /healthz/ready waits.
        wrong = [line for line in lines if re.search("ERROR|Traceback", line)]
        assert not [line for line in wrong if "/healthz/ready" not in line], lines
    site.new.manage("doctor")
    site.new.manage("search", "check")
    site.new.manage("facets", "check")
