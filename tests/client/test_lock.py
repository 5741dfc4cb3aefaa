"""lorary lock, update and outdated: what lorary.toml wants becomes exact versions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import lorary
from lorary import library
from lorary.client.errors import FileMissing, Incomplete
from tests.client.conftest import sha
from tests.client.fakehub import TOKEN, FakeHub, serving
from tests.client.projects import Folder

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.client.conftest import Ran

    Run = Callable[..., Ran]

NOIR, INK = "studio/noir", "studio/ink"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    folder = Folder(tmp_path / "project")
    folder.path.mkdir()
    monkeypatch.chdir(folder.path)
    return folder


def publish(fake: FakeHub, name: str, count: int, **more: Any) -> None:
    """Publish so many further versions of an adapter."""
    start = len(fake.versions.get(name, []))
    for number in range(start + 1, start + count + 1):
        fake.publish(name, {"noir.safetensors": f"{name} v{number}".encode()}, **more)


def test_the_lock_has_every_fact_sorted_and_the_same_bytes_each_time(
    fake: FakeHub, project: Folder, run: Run
) -> None:
    publish(fake, NOIR, 2)
    fake.publish(INK, {"pytorch_lora_weights.safetensors": b"ink", "README.md": b"# Ink"})
    project.want({NOIR: "*", INK: "v1"}, layout="comfyui", root="~/ComfyUI")
    done = run("lock", "--json")
    assert [(row["name"], row["change"], row["version"]) for row in done.documents] == [
        (INK, "added", "v1"), (NOIR, "added", "v2"),
    ]  # fmt: skip
    ink, noir = project.lock["file"]
    assert ink == {
        "name": INK, "wanted": "v1", "version": "v1",
        "revision": fake.versions[INK][0]["revision"],
        "file": "pytorch_lora_weights.safetensors", "path": "models/loras/studio--ink.safetensors",
        "size": 3, "sha256": sha(b"ink"), "hub": fake.url,
    }  # fmt: skip
    assert (noir["path"], noir["wanted"]) == ("models/loras/noir.safetensors", "*")
    before = project.lock_path.read_bytes()
    project.lock_path.unlink()
    rows = [line.split() for line in run("lock").out.splitlines()[:2]]
    assert rows == [[INK, "v1", "added"], [NOIR, "v2", "added"]]
    lines = run("lock").out
    assert "nothing changed" in lines
    project.lock_path.unlink()
    first, second = run("lock").out.splitlines()[:2]
    assert first.index("v1") == second.index("v2")
    project.lock_path.unlink()
    assert run("lock").code == 0
    assert project.lock_path.read_bytes() == before


@pytest.mark.parametrize(
    ("wanted", "version"),
    [("v1", "v1"), ("^v1", "v3"), ("^v3", "v3"), ("*", "v3"), ("stable", "v2"), ("revision", "v1")],
)
def test_a_version_a_range_an_alias_and_a_revision_can_be_wanted(
    fake: FakeHub, project: Folder, run: Run, wanted: str, version: str
) -> None:
    publish(fake, NOIR, 3)
    fake.aliases[NOIR, "stable"] = ["v2"]
    revision = fake.versions[NOIR][0]["revision"]
    project.want({NOIR: revision if wanted == "revision" else wanted})
    assert run("lock").code == 0
    assert project.versions == {NOIR: version}
    assert run("sync", "--frozen").code == 0


def test_a_locked_version_stays_until_it_is_updated(
    fake: FakeHub, project: Folder, run: Run
) -> None:
    publish(fake, NOIR, 1)
    publish(fake, INK, 1)
    project.want({NOIR: "^v1", INK: "*"})
    run("lock")
    publish(fake, NOIR, 1)
    publish(fake, INK, 1)
    fake.seen.clear()
    assert run("lock").out == "lorary.lock: 2 locked, nothing changed.\n"
    assert fake.seen == []
    assert run("update", NOIR).out.startswith(f"{NOIR}  v1 → v2\n")
    assert project.versions == {NOIR: "v2", INK: "v1"}
    assert run("update").code == 0
    assert project.versions == {NOIR: "v2", INK: "v2"}
    refused = run("update", "studio/other")
    assert (refused.code, "studio/other is not in" in refused.err) == (2, True)


def test_update_and_outdated_stay_with_the_base_model(
    fake: FakeHub, project: Folder, run: Run
) -> None:
    publish(fake, NOIR, 2)
    project.want({NOIR: "^v1"})
    run("lock")
    publish(fake, NOIR, 1, family="sdxl")
    assert run("outdated").out == "Everything is up to date.\n"
    assert run("outdated", "--json").document["newest"] == "v2"
    done = run("update")
    assert "stays at v2: v3 is for another base model (sdxl, not sd1)" in done.err
    assert project.versions == {NOIR: "v2"}
    publish(fake, NOIR, 1)
    (row,) = run("outdated", "--json").documents
    assert (row["version"], row["update"], row["newest"]) == ("v2", "v4", "v4")
    (one,) = library.outdated(library.load(project.path)[1])
    assert (one.version, one.update, one.newest, one.is_current) == ("v2", "v4", "v4", False)


def test_update_guesses_no_base_model_for_a_version_that_is_gone(
    fake: FakeHub, project: Folder, run: Run
) -> None:
    publish(fake, NOIR, 2)
    project.want({NOIR: "^v1"})
    run("lock")
    publish(fake, NOIR, 1, family="sdxl")
    del fake.versions[NOIR][1]
    assert "studio/noir" in run("update").err
    assert project.versions == {NOIR: "v2"}


def test_outdated_names_pinned_yanked_and_moved_ones(
    fake: FakeHub, project: Folder, run: Run
) -> None:
    publish(fake, NOIR, 2)
    publish(fake, INK, 2)
    fake.aliases[INK, "stable"] = ["v1"]
    project.want({NOIR: "v1", INK: "stable"})
    run("lock")
    fake.versions[NOIR][0] |= {"state": "yanked", "reason": "Too strong."}
    fake.aliases[INK, "stable"].append("v2")
    ink, noir = run("outdated", "--json").documents
    assert (ink["state"], ink["update"], ink["newest"]) == ("published", "v2", "v2")
    assert (noir["state"], noir["reason"]) == ("yanked", "Too strong.")
    assert (noir["update"], noir["newest"]) == (None, "v2")
    project.want({NOIR: "*", INK: "stable"})  # not locked yet
    _, noir = run("outdated", "--json").documents
    assert (noir["wanted"], noir["update"]) == ("*", "v2")
    project.want({NOIR: "v1", INK: "stable"})
    assert "yanked: Too strong." in run("outdated").out
    fake.versions[NOIR].clear()
    assert "the hub no longer has it" in run("outdated").out


def test_a_pinned_yanked_version_is_locked_with_a_warning_but_no_range_takes_it(
    fake: FakeHub, project: Folder, run: Run
) -> None:
    publish(fake, NOIR, 2)
    fake.versions[NOIR][1] |= {"state": "yanked", "reason": "Too strong."}
    project.want({NOIR: "v2"})
    done = run("lock")
    assert done.code == 0
    assert f"{NOIR} v2 was yanked: Too strong." in done.err
    project.want({NOIR: "^v1"})
    project.lock_path.unlink()
    assert run("lock").code == 0
    assert project.versions == {NOIR: "v1"}
    project.want({NOIR: "^v2"})
    refused = run("lock")
    assert (refused.code, "has no version ^v2: the newest is v1" in refused.err) == (3, True)
    fake.versions[NOIR][0] |= {"state": "yanked", "reason": "Old."}
    project.want({NOIR: "*"})
    project.lock_path.unlink()
    assert "No version of studio/noir is published" in run("lock").err


def test_what_cannot_be_locked_is_named_and_the_lock_stays(
    fake: FakeHub, project: Folder, run: Run
) -> None:
    publish(fake, NOIR, 2)
    fake.aliases[NOIR, "stable"] = ["v1"]
    fake.adapters[NOIR]["aliases"] = {"stable": "v1"}
    project.want({"studio/gone": "*"})
    first = run("lock")
    assert f"{project.lock_path} was not written" in first.err
    assert not project.lock_path.exists()
    project.want({NOIR: "v1"})
    run("lock")
    before = project.lock_path.read_bytes()
    fake.versions[NOIR][1] |= {"state": "withdrawn", "reason": "A request."}
    project.want({NOIR: "stabel", "studio/gone": "*"})
    done = run("sync", "--json")
    assert done.code == 3
    assert [row["error"]["code"] for row in done.documents] == ["not_found", "not_found"]
    assert "It has v1, v2, stable." in done.err
    project.want({NOIR: "v2"})
    done = run("lock")
    assert (done.code, "studio/noir v2 was withdrawn: A request." in done.err) == (3, True)
    assert project.lock_path.read_bytes() == before
    with pytest.raises(Incomplete, match="withdrawn") as caught:
        lorary.lock(project.path)
    assert caught.value.facts["errors"] == {
        NOIR: {"code": "gone", "message": "studio/noir v2 was withdrawn: A request."}
    }


def test_two_files_of_one_name_get_two_paths_that_stay(
    fake: FakeHub, project: Folder, run: Run
) -> None:
    publish(fake, NOIR, 1)
    project.want({NOIR: "*"})
    run("lock")
    publish(fake, "ada/noir", 1)
    project.want({NOIR: "*", "ada/noir": "*"}, layout="swarmui")
    run("lock")
    paths = {row["name"]: row["path"] for row in project.lock["file"]}
    assert paths == {
        NOIR: "Models/Lora/noir.safetensors", "ada/noir": "Models/Lora/ada--noir--noir.safetensors",
    }  # fmt: skip


def test_init_writes_a_project_once(project: Folder, run: Run) -> None:
    missing = run("sync")
    assert missing.code == 3
    assert "lorary lock --init" in missing.err
    with pytest.raises(FileMissing):
        lorary.sync()
    done = run("lock", "--init", "--layout", "comfyui", "--root", r"C:\ComfyUI", "--json")
    assert done.document == {"path": str(project.path / "lorary.toml")}
    assert 'root = "C:/ComfyUI"' in (project.path / "lorary.toml").read_text("utf-8")
    assert run("lock", "--init").code == 2
    (project.path / "lorary.toml").unlink()
    run("lock", "--init", "--root", str(Path.home() / "ComfyUI"))
    assert 'root = "~/ComfyUI"' in (project.path / "lorary.toml").read_text("utf-8")
    assert run("lock", "--layout", "flat").code == 2
    assert run("sync").out == "Nothing is locked.\n"
    assert run("outdated").out == "Everything is up to date.\n"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("layot = 'flat'", "the key “layot” is unknown"),
        ("layout = 'comfy'", "the layout “comfy” is unknown"),
        ("root = 3", "“root” must be text"),
        ("hub = 'hub.example'", "must begin with http"),
        ("adapters = 3", "“adapters” must be a table"),
        ("[adapters]\nnoir = 'v1'", "is not owner/name"),
        ("[adapters]\n'a/b' = 1", "needs a version in quotes"),
        ("[adapters]\n'a/b' = ''", "needs a version in quotes"),
        ("[adapters]\n'a/b' = '>=2'", 'write "^v2"'),
        ("[adapters]\n'a/b' = '^2'", 'write "^v2"'),
        ("[adapters]\n'a/b@v1' = '*'", 'write "^v2"'),
        ("[packs]\n'a/b' = '" + "0" * 40 + "'", "has no revisions"),
        ("layout", "after a key"),
        ("x = " + "[" * 5000, "cannot be used"),
    ],
)
def test_a_project_with_a_mistake_is_refused_with_the_place(
    project: Folder, run: Run, text: str, told: str
) -> None:
    (project.path / "lorary.toml").write_text(text, encoding="utf-8")
    done = run("lock")
    assert (done.code, told in done.err, "lorary.toml" in done.err) == (2, True, True), done.err


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('path = "models/loras/noir', 'path = "../noir'),
        ('path = "models/loras/noir', 'path = "/etc/noir'),
        ('path = "models/loras/noir', 'path = "models/loras/../../noir'),
        ('path = "models/loras/noir', 'path = "custom_nodes/noir'),
        ("loras/noir.safetensors", "loras/noir.py"),
        ('file = "noir', 'file = "../noir'),
        ("sha256 = ", 'sha256 = "0" #'),
        ("size = ", "size = -"),
        ("schema = 1", "schema = 2"),
        ('layout = "comfyui"', 'layout = "x"'),
        ('hub = "http', 'hub = "file'),
        ('name = "studio/noir"', 'name = "noir"'),
    ],
)
def test_a_hostile_lock_is_refused_before_anything_is_written(
    fake: FakeHub, project: Folder, run: Run, before: str, after: str
) -> None:
    publish(fake, NOIR, 1)
    project.want({NOIR: "v1"}, layout="comfyui")
    run("lock")
    text = project.lock_path.read_text("utf-8")
    assert before in text
    project.lock_path.write_text(text.replace(before, after), encoding="utf-8")
    fake.seen.clear()
    for words in (["sync"], ["sync", "--frozen"], ["verify"], ["lock"]):
        done = run(*words)
        assert done.code == 2, done.err
        assert "lorary.lock" in done.err
    assert (project.files, fake.seen) == ({}, [])


def test_a_token_goes_to_the_hub_in_use_and_to_no_other(
    fake: FakeHub, project: Folder, run: Run
) -> None:
    publish(fake, NOIR, 1)
    with serving(FakeHub()) as other:
        publish(other, NOIR, 1)
        project.want({NOIR: "*"}, hub=other.url)
        assert run("sync").code == 0
        assert {seen.headers.get("Authorization") for seen in other.seen} == {None}
    project.want({NOIR: "*"}, hub=fake.url)
    assert run("sync").code == 0
    assert {seen.headers.get("Authorization") for seen in fake.seen} == {f"Bearer {TOKEN}"}
    assert project.lock["file"][0]["hub"] == fake.url


@pytest.fixture
def elsewhere(fake: FakeHub, project: Folder, run: Run, monkeypatch: pytest.MonkeyPatch) -> Folder:
    """A project that is locked, on a computer where nobody has signed in."""
    publish(fake, NOIR, 1)
    publish(fake, INK, 1)
    project.want({NOIR: "*", INK: "^v1"})
    assert run("lock").code == 0
    publish(fake, NOIR, 1)
    for name in ("LORARY_ENDPOINT", "LORARY_TOKEN"):
        monkeypatch.delenv(name)
    return project


def test_update_and_lock_ask_the_hub_of_the_lock_where_nobody_signed_in(
    fake: FakeHub, elsewhere: Folder, run: Run
) -> None:
    (noir,) = [row for row in run("outdated", "--json").documents if row["name"] == NOIR]
    assert noir["update"] == "v2"
    assert run("update").code == 0
    assert elsewhere.versions == {NOIR: "v2", INK: "v1"}
    publish(fake, "ada/rain", 1)
    elsewhere.want({NOIR: "*", INK: "^v1", "ada/rain": "*"})
    assert run("lock").code == 0
    assert {row["hub"] for row in elsewhere.lock["file"]} == {fake.url}


@pytest.mark.parametrize("status", [401, 404])
def test_a_token_that_is_not_sent_is_named_where_it_may_be_needed(
    fake: FakeHub, elsewhere: Folder, run: Run, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    said = b'{"code":"not_%s","detail":"No."}' % (b"found" if status == 404 else b"authenticated")
    sentence = f"LORARY_TOKEN was not sent to {fake.url}: set LORARY_ENDPOINT to this address, too."
    for words in (["sync", "--frozen"], ["update"]):
        fake.answers = [(NOIR, status, {}, said)] * 3
        assert "LORARY_TOKEN" not in run(*words).err
        fake.answers = [(NOIR, status, {}, said)] * 3
        monkeypatch.setenv("LORARY_TOKEN", TOKEN)
        fake.seen.clear()
        assert sentence in run(*words).err
        assert {seen.headers.get("Authorization") for seen in fake.seen} == {None}
        monkeypatch.delenv("LORARY_TOKEN")


def test_update_asks_the_hub_of_the_lock_and_lock_the_one_in_use(
    fake: FakeHub, elsewhere: Folder, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(FakeHub()) as other:
        publish(other, NOIR, 3)
        publish(other, "ada/rain", 1)
        monkeypatch.setenv("LORARY_ENDPOINT", other.url)
        monkeypatch.setenv("LORARY_TOKEN", TOKEN)
        fake.seen.clear()
        assert run("update").code == 0
        assert (elsewhere.versions, other.seen) == ({NOIR: "v2", INK: "v1"}, [])
        assert {seen.headers.get("Authorization") for seen in fake.seen} == {None}
        elsewhere.want({NOIR: "*", INK: "^v1", "ada/rain": "*"})
        assert run("lock").code == 0
        hubs = {row["name"]: row["hub"] for row in elsewhere.lock["file"]}
        assert hubs == {NOIR: fake.url, INK: fake.url, "ada/rain": other.url}
        assert run("update", NOIR, "--endpoint", other.url).code == 0
        assert elsewhere.versions[NOIR] == "v3"


@pytest.mark.parametrize("command", ["update", "outdated"])
def test_a_hub_that_does_not_answer_is_one_error(elsewhere: Folder, run: Run, command: str) -> None:
    text = elsewhere.lock_path.read_text("utf-8")
    url = elsewhere.lock["file"][0]["hub"]
    elsewhere.lock_path.write_text(text.replace(url, "http://127.0.0.1:9"), encoding="utf-8")
    done = run(command)
    errors = [line for line in done.err.splitlines() if "127.0.0.1:9" in line]
    errors = [line for line in errors if "Trying again" not in line]
    assert done.code == 5
    assert errors == [
        f"lorary: {INK} and 1 more: Nothing answers at 127.0.0.1:9. Is the hub running?"
    ]
    if command == "update":
        with pytest.raises(Incomplete) as caught:
            lorary.lock(elsewhere.path, update=[])
        assert str(caught.value).count("127.0.0.1:9") == 1
