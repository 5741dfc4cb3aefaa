"""A hub made by the version before migration ``registry.0017``, opened by this one.

``hub_0016.tar.xz`` was made by the code of 45b63ac, through its API:

hub           the data directory, as a power cut left it: an adapter with three versions (one
              yanked), an alias, a README.md that a client committed, a gallery image that waits
              for its checks, previews and a try-out that are ready and previews on the way;
              withdrawn versions; a private draft; an upload of which a part is missing
answers.json  tokens, ids and what that hub answered
rest          the missing part
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sqlite3
import tarfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.talk import Answer, Caller
from tests.running import RunningHub

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.skipif("LORARY_TEST_DATABASE_URL" in os.environ, reason="its rows are SQLite's"),
]

ARCHIVE = Path(__file__).with_name("hub_0016.tar.xz")
PART = 256 * 1024
#: Fields of adapters and of results that were added since; uploads can be a ``cover`` now.
SINCE = {
    "corrected", "cover", "cover_is_chosen", "cover_picture",
    "licence_permissions", "optional_trigger_words", "snippet",
}  # fmt: skip
#: The same of pictures; their thumbnails have other addresses now.
SINCE_OF_PICTURES = {
    "duration_s", "fps", "frames", "maturity", "media_type", "own_maturity", "small_url", "sources",
}  # fmt: skip
#: The same of previews, plans of a recipe and uploads, by a field that they had.
SINCE_OF = {"placeholder": SINCE_OF_PICTURES, "render_id": {"base", "others", "output"},
            "default_prompts": {"output"}, "part_size": {"adapter"}}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("before")
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(found, filter="data")
    return found


@pytest.fixture(scope="module")
def before(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "answers.json").read_text(encoding="utf-8"))
    return found


@pytest.fixture(scope="module")
def hub(folder: Path) -> Iterator[RunningHub]:
    """The hub after what ``docs/operations.md`` says under "After an update"."""
    hub = RunningHub(folder / "hub", "--queues", "checks", UPLOAD_PART_BYTES=str(PART))
    hub.manage("migrate", "--verbosity", "0")
    hub.manage("reinspect")
    postpone_deadlines(folder / "hub" / "lorary.sqlite3")
    with hub:
        yield hub


def postpone_deadlines(database: Path) -> None:
    """Let uploads and try-outs end in a week: the archive is older than their lifetime."""
    with contextlib.closing(sqlite3.connect(database)) as connection, connection:
        for table in ("registry_upload", "previews_tryout"):
            connection.execute(f"UPDATE {table} SET expires_at = datetime('now', '+7 days')")


@pytest.fixture
def ada(hub: RunningHub, before: dict[str, Any]) -> Caller:
    return Caller(hub.port, before["token"])


@pytest.fixture(scope="module", autouse=True)
def after(hub: RunningHub, before: dict[str, Any]) -> dict[str, Answer]:
    """The answers of the hub now, before a test changes something."""
    ada = Caller(hub.port, before["token"])
    return {path: ada.get(path) for path in before["answers"]}


def lasting(value: Any) -> Any:
    """Return what an update may not change: counts go on, and no worker renders here."""
    if isinstance(value, list):
        return [lasting(entry) for entry in value]
    if not isinstance(value, dict):
        return value
    if "convention" in value:  # an anatomy: ``schema`` 2 has more fields
        return {name: value[name] for name in ("algorithm", "convention", "rank", "parts")}
    if "code" in value:  # a problem: its texts may be reworded
        return {name: value[name] for name in ("status", "code") if name in value}
    if value.get("state") in {"queued", "running", "waiting"}:
        return {"state": "to do"}
    new = SINCE.union(*(fields for known, fields in SINCE_OF.items() if known in value))
    return {
        name: lasting(entry)
        for name, entry in value.items()
        # Deadlines were postponed.
        if not name.startswith("downloads") and name not in {"expires_at", *new}
    }


def test_every_answer_is_as_before(
    ada: Caller, before: dict[str, Any], after: dict[str, Answer]
) -> None:
    for path, old in before["answers"].items():
        answer = after[path]
        assert answer.status == old["status"], path
        if "json" in old:
            text = answer.body.decode().replace(f"http://127.0.0.1:{ada.port}", "http://hub")
            assert lasting(json.loads(text)) == lasting(old["json"]), path
        else:
            assert hashlib.sha256(answer.body).hexdigest() == old["sha256"], path
            assert answer.headers["x-repo-commit"] == old["commit"], path


def test_an_upload_goes_on_where_it_was(ada: Caller, folder: Path, before: dict[str, Any]) -> None:
    place = f"/api/v1/uploads/{before['upload']}"
    assert [part["number"] for part in ada.get(place).document["parts"]] == [1]
    assert ada.call("PUT", f"{place}/parts/2", (folder / "rest").read_bytes()).status == 200
    assert ada.post(f"{place}/complete").status == 200
    assert ada.final_state(before["upload"]) == "accepted"
    assert ada.get(place).document["sha256"] == before["whole"]
    made = {"uploads": [before["upload"]]}
    published = ada.post("/api/v1/adapters/ada/noir/versions", made).document
    assert (published["version"], published["state"]) == ("v4", "published")


def test_what_was_accepted_and_drafted_can_be_published(
    ada: Caller, before: dict[str, Any]
) -> None:
    assert ada.post("/api/v1/adapters/ada/draft/versions/v1/publish").document["state"] == (
        "published"
    )
    made = ada.post("/api/v1/adapters/ada/part/versions", {"uploads": [before["waiting"]]})
    assert (made.status, made.document["version"]) == (201, "v3")


def test_what_waited_for_the_worker_is_done(ada: Caller, before: dict[str, Any]) -> None:
    until, sample = time.monotonic() + 60, {"state": ""}
    while sample["state"] != "ready" and time.monotonic() < until:
        time.sleep(0.2)
        (sample,) = ada.get("/api/v1/adapters/ada/noir/versions/v1/samples").document["results"]
    assert sample["state"] == "ready"
    bob = Caller(ada.port, before["bob"])
    tryout = bob.get(f"/api/v1/tryouts/{before['tryout']}").document
    (image,) = tryout["images"]
    for picture in (sample["url"], image["url"]):
        answer = bob.get(picture.removeprefix(f"http://127.0.0.1:{ada.port}"))
        assert (answer.status, answer.headers["content-type"][:6]) == (200, "image/")


def test_a_pack_is_made_of_what_was_there(ada: Caller) -> None:
    noir = ada.get("/api/v1/adapters/ada/noir").document
    assert ada.post("/api/v1/packs", {"name": "dusk", "visibility": "private"}).status == 201
    variant = {
        "name": "one", "family": noir["family"], "prompt": "noir, {prompt}",
        "parts": [{"adapter": "ada/noir", "version": noir["latest_version"], "role": "style"}],
    }  # fmt: skip
    made = ada.post("/api/v1/packs/ada/dusk/versions", {"manifest": {"variants": [variant]}})
    assert (made.status, made.document["variants"][0]["complete"]) == (201, True)
