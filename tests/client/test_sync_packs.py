"""lorary lock and sync for packs: their files come once, with a description of how to use them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from lorary.client.transfers import folders
from lorary.client.transfers.folders import write_file
from tests.client.conftest import sha
from tests.client.projects import Folder
from tests.client.test_packs import DUSK, NOIR, part, variant, version

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.client.conftest import Ran
    from tests.client.fakehub import FakeHub

    Run = Callable[..., Ran]

GENERIC = "pytorch_lora_weights.safetensors"
FILES = {"studio--dusk.safetensors": DUSK, "studio--noir.safetensors": NOIR}
DESCRIPTION = "studio--dusk.pack.json"


@pytest.fixture
def answer(fake: FakeHub) -> Callable[..., None]:
    """Prepare the hub's answer to the next request for the pack."""

    def answer(document: dict[str, Any]) -> None:
        headers = {"Content-Type": "application/json"}
        fake.answers.append(("packs/", 200, headers, json.dumps(document).encode()))

    return answer


@pytest.fixture
def project(fake: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    """A project that wants a pack of two files."""
    fake.publish("studio/noir", {GENERIC: NOIR})
    fake.publish("studio/dusk", {GENERIC: DUSK})
    folder = Folder(tmp_path / "project")
    folder.want({}, {"studio/dusk": "*"})
    monkeypatch.chdir(folder.path)
    return folder


def edit(description: Path) -> None:
    text = description.read_text("utf-8")
    description.write_text(text.replace('"strength": 0.8', '"strength": 0.9'), "utf-8")


def pack(**more: Any) -> dict[str, Any]:
    parts = part("studio/noir", NOIR), part("studio/dusk", DUSK)
    return version(variant("sd1", *parts), variant("b", parts[0]), **more)


def test_the_files_and_the_description_are_the_same_elsewhere(
    project: Folder, run: Run, answer: Callable[..., None], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    answer(pack())
    answer(pack())
    ran = run("sync", "--json")
    assert ran.code == 0
    facts = {row["path"]: (row["action"], row["version"], row["before"]) for row in ran.documents}
    assert facts == dict.fromkeys([*FILES, DESCRIPTION], ("add", "v1", None))
    files = project.files
    assert {name: files[name] for name in FILES} == FILES
    parts = json.loads(files[DESCRIPTION])["variants"][0]["parts"]
    assert [one["local_file"] for one in parts] == sorted(FILES, reverse=True)
    assert run("sync").out == "3 here already.\n"  # asks nobody
    other = Folder(tmp_path / "other")
    other.want({}, {"studio/dusk": "*"})
    other.lock_path.write_bytes(project.lock_path.read_bytes())
    monkeypatch.chdir(other.path)
    answer(pack(state="yanked", reason="Old."))
    assert run("sync", "--frozen").code == 0
    assert other.files == files


def test_verify_compares_the_description_and_the_files_of_a_pack(
    project: Folder, run: Run, answer: Callable[..., None], tmp_path: Path
) -> None:
    for _ in range(3):
        answer(pack())
    run("sync")
    assert run("verify").out == "3 ok.\n"
    assert run("verify", DESCRIPTION).out == "2 ok.\n"
    place = project.path / DESCRIPTION
    before = place.read_bytes()
    edit(place)
    assert run("sync", "--verify").out == "3 here already.\n"  # only --force replaces an edited one
    done = run("verify", "--json")
    assert done.code == 1
    assert [(row["adapter"], row["path"]) for row in done.documents if row["state"] != "ok"] == [
        ("pack:studio/dusk", DESCRIPTION)
    ]
    assert "~ studio--dusk.pack.json" in run("sync", "--verify", "--force", "--dry-run").out
    assert "~ studio--dusk.pack.json" in run("sync", "--verify", "--force").out
    assert (run("verify").code, place.read_bytes()) == (0, before)
    place.unlink()
    assert "! studio--dusk.pack.json  missing" in run("verify").out
    assert run("verify", tmp_path / "none.pack.json").code == 3


def test_verify_refuses_other_json_files(run: Run, tmp_path: Path) -> None:
    place = tmp_path / "package.json"
    for other in ("[]", "{}", '{"name": "noir", "version": "1.0.0"}', '{"variants": [{}]}',
                  '{"pack": "studio/dusk", "variants": []}'):  # fmt: skip
        place.write_text(other)
        done = run("verify", place)
        assert (done.code, "does not describe a pack" in done.err) == (2, True), other
    place.write_text(json.dumps({"pack": "studio/dusk", "variants": [{"parts": []}]}))
    done = run("verify", place)
    assert (done.code, done.out) == (0, "No file is listed.\n")


@pytest.mark.parametrize("is_edited", [False, True])
def test_a_description_whose_record_was_removed_is_compared_with_the_hub(
    project: Folder, run: Run, answer: Callable[..., None], is_edited: bool
) -> None:
    for _ in range(4):
        answer(pack())
    run("sync")
    place = project.path / DESCRIPTION
    before = place.read_bytes()
    (project.path / folders.RECORD).unlink()
    if is_edited:
        edit(place)
    assert run("sync").out == "3 here already.\n"
    assert run("verify").code == is_edited
    if is_edited:
        assert "~ studio--dusk.pack.json" in run("sync", "--verify", "--force").out
        assert (run("verify").code, place.read_bytes()) == (0, before)


def test_a_description_without_a_record_stays_while_the_hub_does_not_know_the_pack(
    project: Folder, run: Run, answer: Callable[..., None]
) -> None:
    answer(pack())
    answer(pack())
    run("sync")
    (project.path / folders.RECORD).unlink()
    assert run("sync").out == "3 here already.\n"
    assert run("sync", "--force").code == 3


def test_a_description_of_a_version_with_the_same_manifest_is_replaced(
    project: Folder, run: Run, answer: Callable[..., None]
) -> None:
    answer(pack())
    answer(pack())
    run("sync")
    first, second = (f'version = "{name}"\nmanifest' for name in ("v1", "v2"))
    project.lock_path.write_text(project.lock_path.read_text().replace(first, second))
    answer(pack(version="v2"))
    *_, step = run("sync", "--json").documents
    assert (step["action"], step["version"], step["before"]) == ("replace", "v2", None)
    assert run("verify").code == 0


def test_outdated_names_parts_that_are_gone_but_no_newer_ones(
    project: Folder, fake: FakeHub, run: Run, answer: Callable[..., None]
) -> None:
    answer(pack())
    assert run("lock").code == 0
    fake.publish("studio/dusk", {GENERIC: b"newer"})
    row = {"version": "v1", "state": "published", "reason": "", "family": ""}
    for _ in range(2):
        headers = {"Content-Type": "application/json"}
        rows = json.dumps({"results": [row], "next": None}).encode()
        fake.answers.append(("packs/studio/dusk/versions", 200, headers, rows))
    assert run("outdated").out == "Everything is up to date.\n"
    fake.versions["studio/dusk"][0] |= {"state": "withdrawn", "reason": "Copied."}
    part, whole = run("outdated", "--json").documents
    assert (part["kind"], part["state"], part["reason"]) == ("adapter", "withdrawn", "Copied.")
    assert (part["update"], part["newest"]) == (None, None)
    assert (whole["kind"], whole["state"]) == ("pack", "published")


def test_what_only_a_pack_needed_is_pruned_with_it(
    project: Folder, run: Run, answer: Callable[..., None]
) -> None:
    answer(pack())
    answer(pack())
    run("sync")
    project.want({"studio/noir": "*"})
    assert run("sync", "--prune").code == 0
    assert project.files == {"studio--noir.safetensors": NOIR}


def test_of_two_parts_with_the_same_file_one_that_is_not_gone_is_enough(
    project: Folder, run: Run, answer: Callable[..., None]
) -> None:
    kept = variant("sd1", part("studio/noir", NOIR))
    gone = variant("b", part("studio/copy", NOIR, state="private", reason="Private."))
    answer(version(kept, gone))
    assert run("lock").code == 0
    assert [(row["name"], row["sha256"]) for row in project.lock["file"]] == [
        ("studio/noir", sha(NOIR))
    ]


def test_a_pack_with_a_part_that_is_gone_is_not_locked(
    project: Folder, run: Run, answer: Callable[..., None]
) -> None:
    answer(version(variant("sd1", part("studio/noir", NOIR, state="withdrawn", reason="Copied."))))
    done = run("lock")
    assert done.code == 3
    assert "studio/noir@v1 is withdrawn" in done.err
    assert not project.lock_path.exists()


def test_a_description_that_a_killed_sync_left_is_pruned(
    project: Folder,
    run: Run,
    answer: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The kill comes right after the file is written, when its record is not complete."""
    answer(pack())
    answer(pack())

    def kill(place: Path, content: bytes) -> None:
        write_file(place, content)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(folders, "write_file", kill)
        assert run("sync").code == 130
    assert (project.path / DESCRIPTION).is_file()
    project.want({"studio/noir": "v1"})
    assert run("sync", "--prune").code == 0
    assert set(project.files) == {"studio--noir.safetensors"}
