"""Which adapters pictures and workflows use: here, on the hub, or missing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import lorary
from lorary.client import errors
from lorary.library.adding import add_adapters
from tests.builders.adapters import DENOISERS, kohya
from tests.client.conftest import sha

if TYPE_CHECKING:
    from collections.abc import Callable

    from lorary.client import Hub, Progress
    from tests.client.conftest import Ran
    from tests.client.fakehub import FakeHub

    Run = Callable[..., Ran]

NOIR = kohya(DENOISERS["sd1", "diffusers"])
INK = kohya(DENOISERS["sd1", "diffusers"], rank=8)


def data_sha256(data: bytes) -> str:
    return sha(data[8 + int.from_bytes(data[:8], "little") :])


@pytest.fixture
def published(fake: FakeHub) -> FakeHub:
    for name, data in (("studio/noir", NOIR), ("ada/ink", INK)):
        version = fake.publish(name, {f"{name.rpartition('/')[2]}.safetensors": data})
        whole = data_sha256(data)
        version["files"][0]["hashes"] = {
            "data_sha256": whole, "autov2": sha(data)[:10], "autov3": whole[:12]}  # fmt: skip
    return fake


@pytest.fixture
def workflow(tmp_path: Path) -> Path:
    """A workflow that names two adapters without hashes."""
    nodes: dict[str, Any] = {
        "1": {"class_type": "LoraLoader", "inputs": {
            "lora_name": "lost.safetensors", "strength_model": 1}},
        "2": {"class_type": "LoraLoader", "inputs": {
            "lora_name": "style/noir.safetensors", "strength_model": 0.8, "model": ["1", 0]}},
        "3": {"class_type": "KSampler", "inputs": {"seed": 1, "model": ["2", 0]}},
    }  # fmt: skip
    place = tmp_path / "workflow.json"
    place.write_text(json.dumps(nodes))
    return place


def text(folder: Path, *rows: tuple[str, str], name: str = "picture.txt") -> Path:
    """A text of A1111 that names adapters with hashes."""
    tags = " ".join(f"<lora:{stem}:0.5>" for stem, _digest in rows)
    pairs = ", ".join(f"{stem}: {digest}" for stem, digest in rows)
    place = folder / name
    place.write_text(f'a cat {tags}\nSteps: 4, Seed: 1, Lora hashes: "{pairs}", Version: 1')
    return place


def folder_with(tmp_path: Path, **files: bytes) -> Path:
    folder = tmp_path / "loras" / "below"
    folder.mkdir(parents=True)
    for stem, data in files.items():
        (folder / f"{stem}.safetensors").write_bytes(data)
    return folder.parent


def states(ran: Ran) -> dict[str, tuple[str, str | None]]:
    return {one["name"]: (one["state"], one["evidence"]) for one in ran.documents}


def test_names_are_found_on_the_hub_if_there_is_no_hash(
    run: Run, published: FakeHub, workflow: Path
) -> None:
    ran = run("resolve", workflow, "--json")
    assert ran.code == 3
    lost, noir = ran.documents
    assert noir == {
        "file": str(workflow), "name": "style/noir.safetensors", "strength": 0.8, "hashes": {},
        "state": "hub", "adapter": "studio/noir", "version": "v1", "sha256": sha(NOIR),
        "derived": None, "evidence": "name", "path": None, "candidates": [], "also": [],
        "reason": None,
    }  # fmt: skip
    assert (lost["name"], lost["state"]) == ("lost.safetensors", "missing")
    assert len(published.requests("POST /api/v1/(hashes|file-names)")) == 1


@pytest.mark.parametrize("digits", ["autov2", "autov3"])
def test_hashes_are_found_on_the_hub(
    run: Run, published: FakeHub, tmp_path: Path, digits: str
) -> None:
    digest = {"autov2": sha(NOIR)[:10], "autov3": data_sha256(NOIR)[:12]}[digits]
    ran = run("resolve", text(tmp_path, ("any name", digest)), "--json")
    assert (ran.code, ran.document["state"], ran.document["evidence"]) == (3, "hub", "hash")
    assert ran.document["hashes"] == {digits: digest}
    assert ran.document["sha256"] == sha(NOIR)
    assert len(published.requests("POST /api/v1/(hashes|file-names)")) == 1


def test_a_hash_beats_a_name(run: Run, published: FakeHub, tmp_path: Path) -> None:
    """The file of this name, here and on the hub, is another one."""
    folder = folder_with(tmp_path, noir=INK)
    ran = run("resolve", text(tmp_path, ("noir", "0123456789ab")), "--dir", folder, "--json")
    assert (ran.code, states(ran)) == (3, {"noir": ("missing", None)})
    ran = run(
        "resolve", text(tmp_path, ("noir", data_sha256(NOIR)[:12])), "--dir", folder, "--json"
    )
    assert states(ran) == {"noir": ("hub", "hash")}
    assert published.requests("POST /api/v1/file-names") == []


@pytest.mark.parametrize("stem", ["noir", "renamed"])
def test_files_are_here_by_hash_under_any_name(
    run: Run, published: FakeHub, tmp_path: Path, stem: str
) -> None:
    folder = folder_with(tmp_path, **{stem: NOIR})
    source = text(tmp_path, ("noir", data_sha256(NOIR)[:12]))
    ran = run("resolve", source, "--dir", folder, "--json")
    assert (ran.code, states(ran)) == (0, {"noir": ("here", "hash")})
    assert ran.document["path"] == str(folder / "below" / f"{stem}.safetensors")
    assert (ran.document["adapter"], ran.document["version"]) == ("studio/noir", "v1")
    assert published.seen


@pytest.mark.parametrize("is_known", [True, False])
def test_of_copies_the_one_that_the_picture_names_is_here(
    run: Run, published: FakeHub, tmp_path: Path, workflow: Path, is_known: bool
) -> None:
    if not is_known:
        published.versions.clear()
    folder = folder_with(tmp_path, **{"noir (1)": NOIR, "Noir": NOIR, "noir": NOIR, "a": NOIR})
    named = run("resolve", workflow, "--dir", folder, "--json").documents[1]
    for kind in (sha(NOIR)[:10], data_sha256(NOIR)[:12]):
        hashed = run("resolve", text(tmp_path, ("noir", kind)), "--dir", folder, "--json")
        assert hashed.document["path"] == named["path"]
    assert named["path"] == str(folder / "below" / "noir.safetensors")


def test_files_that_no_hub_knows_are_here_by_hash(run: Run, fake: FakeHub, tmp_path: Path) -> None:
    folder = folder_with(tmp_path, renamed=NOIR, other=INK)
    rows = (("one", sha(NOIR)[:10]), ("two", data_sha256(INK)[:12]))
    ran = run("resolve", text(tmp_path, *rows), "--dir", folder, "--json")
    assert (ran.code, states(ran)) == (0, {"one": ("here", "hash"), "two": ("here", "hash")})
    assert {one["adapter"] for one in ran.documents} == {None}
    assert fake.seen


def test_files_that_are_hashed_at_once_are_one_progress(hub: Hub, tmp_path: Path) -> None:
    folder = folder_with(tmp_path, one=NOIR, two=INK)
    seen: list[Progress] = []
    source = text(tmp_path, ("lost", "0123456789"))
    hub.resolve(source, folders=[folder], on_progress=seen.append)
    assert {update.name for update in seen} == {"2 files"}
    assert seen[-1].done == seen[-1].total == len(NOIR) + len(INK)


def test_files_are_here_by_name_if_there_is_no_hash(
    run: Run, published: FakeHub, tmp_path: Path, workflow: Path
) -> None:
    folder = folder_with(tmp_path, NOIR=INK, lost=b"no weights")
    ran = run("resolve", workflow, "--dir", folder, "--json")
    assert ran.code == 0
    assert set(states(ran).values()) == {("here", "name")}
    lost, noir = ran.documents
    assert (noir["sha256"], noir["adapter"]) == (sha(INK), "ada/ink")  # what the file really is
    assert (lost["sha256"], lost["adapter"]) == (sha(b"no weights"), None)
    assert published.seen


def test_names_decide_where_a_hash_cannot_be_computed(
    run: Run, published: FakeHub, tmp_path: Path
) -> None:
    """InvokeAI writes BLAKE3, which the standard library lacks."""
    rows = [{"model": {"name": name, "hash": f"blake3:{digit * 64}", "type": "lora"}, "weight": 1}
            for name, digit in (("noir", "1"), ("ink", "2"))]  # fmt: skip
    source = tmp_path / "invokeai.json"
    source.write_text(json.dumps({"positive_prompt": "a cat", "loras": rows}))
    folder = folder_with(tmp_path, noir=NOIR, ink=INK)
    published.versions["studio/noir"][0]["files"][0]["hashes"]["blake3"] = "1" * 64
    ran = run("resolve", source, "--dir", folder, "--json")
    assert (ran.code, states(ran)) == (0, {"noir": ("here", "hash"), "ink": ("here", "name")})


def test_pulling_brings_them_here(
    run: Run, published: FakeHub, tmp_path: Path, workflow: Path
) -> None:
    del published
    (tmp_path / "loras").mkdir()
    again = text(tmp_path, ("noir", sha(NOIR)[:10]), ("ink", sha(INK)[:10]))
    ran = run("resolve", workflow, again, "--dir", tmp_path / "loras", "--pull", "--json")
    assert ran.code == 3  # one of them is nowhere
    assert [one["state"] for one in ran.documents] == ["missing", "here", "here", "here"]
    for one in ran.documents:
        if one["path"]:
            assert sha(Path(one["path"]).read_bytes()) == one["sha256"]
    ran = run("resolve", again, "--dir", tmp_path / "loras", "--json")
    assert ran.code == 0


def test_pulling_says_what_was_downloaded_and_writes_sidecars(
    run: Run, published: FakeHub, workflow: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "loras"
    words = ("resolve", workflow, "--dir", folder, "--pull")
    ran = run(*words, "--sidecars", "a1111")
    assert f"1 file downloaded to {folder}." in ran.err
    assert (folder / "noir.json").is_file()
    (folder / "noir.json").unlink()
    assert "downloaded" not in run(*words).err
    assert not (folder / "noir.json").exists()
    run(*words, "--sidecars", "a1111")
    assert (folder / "noir.json").is_file()  # of weights that were here already
    for wrong in (words[:-1], ("resolve", workflow, "--pull")):
        assert run(*wrong, "--sidecars", "a1111").code == 2


def test_pulling_creates_the_folder_and_names_files_as_it_was_given(
    run: Run, published: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del published
    monkeypatch.chdir(tmp_path)
    source = text(tmp_path, ("noir", sha(NOIR)[:10]))
    pulled = run("resolve", source, "--dir", "new/loras", "--pull", "--json")
    here = run("resolve", source, "--dir", "new/loras", "--json")
    for ran in (pulled, here):
        assert (ran.code, ran.document["path"]) == (0, "new/loras/noir.safetensors")
    absent = run("resolve", source, "--dir", "new/loras", "--dir", "other", "--pull")
    assert (absent.code, "--dir other is not a folder" in absent.err) == (2, True)


def test_without_a_folder_they_are_pulled_into_the_cache(
    run: Run, published: FakeHub, tmp_path: Path
) -> None:
    source = text(tmp_path, ("noir", sha(NOIR)[:10]))
    ran = run("resolve", source, "--pull")
    assert (ran.code, "by hash · only in the cache" in ran.out) == (0, True)
    sent = published.file_bytes_sent
    ran = run("resolve", source, "--pull", "--json")
    assert (ran.code, states(ran)) == (0, {"noir": ("here", "hash")})
    assert published.file_bytes_sent == sent


def test_without_a_folder_they_are_pulled_into_that_of_the_layout(
    run: Run, published: FakeHub, tmp_path: Path
) -> None:
    del published
    assert run("config", "set", "layout", "comfyui").code == 0
    assert run("config", "set", "root", tmp_path / "ui").code == 0
    source, folder = text(tmp_path, ("noir", sha(NOIR)[:10])), tmp_path / "ui" / "models" / "loras"
    assert (run("resolve", source).code, folder.exists()) == (3, False)
    for words in (["--pull"], []):  # the folder is made, and searched from then on
        ran = run("resolve", source, *words, "--json")
        assert (ran.code, ran.document["path"]) == (0, str(folder / "noir.safetensors"))


def test_cached_files_are_linked_into_the_folder(
    run: Run, published: FakeHub, tmp_path: Path
) -> None:
    source = text(tmp_path, ("noir", sha(NOIR)[:10]))
    assert run("resolve", source, "--pull").code == 0
    sent = published.file_bytes_sent
    ran = run("resolve", source)
    assert (ran.code, "by hash · only in the cache" in ran.out) == (0, True)
    assert "1 only in the cache: run the command again with --dir DIR --pull" in ran.err
    folder = tmp_path / "loras"
    folder.mkdir()
    ran = run("resolve", source, "--dir", folder)
    assert (ran.code, f"again with --pull to put each in {folder}" in ran.err) == (0, True)
    ran = run("resolve", source, "--dir", folder, "--pull", "--json")
    assert (ran.code, ran.document["path"]) == (0, str(folder / "noir.safetensors"))
    assert published.file_bytes_sent == sent
    ran = run("resolve", source, "--dir", folder, "--json")
    assert ran.document["path"] == str(folder / "noir.safetensors")
    assert "cache" not in run("resolve", source, "--dir", folder).err


def test_a_cached_file_does_not_hide_one_of_its_name(
    run: Run, published: FakeHub, workflow: Path, tmp_path: Path
) -> None:
    """The workflow names no hash, and the tool uses what is in its folder."""
    assert run("resolve", text(tmp_path, ("noir", sha(NOIR)[:10])), "--pull").code == 0
    folder = folder_with(tmp_path, noir=INK)
    ran = run("resolve", workflow, "--dir", folder, "--json")
    noir = ran.documents[1]
    assert (noir["state"], noir["evidence"], noir["adapter"]) == ("here", "name", "ada/ink")
    assert noir["path"] == str(folder / "below" / "noir.safetensors")
    assert published.seen


def test_several_files_of_a_name_are_not_chosen_from(
    run: Run, published: FakeHub, workflow: Path
) -> None:
    published.publish("eve/noir", {"noir.safetensors": INK})
    ran = run("resolve", workflow, "--pull", "--json")
    one = ran.documents[1]
    assert (ran.code, one["state"], one["adapter"]) == (3, "hub", None)
    assert sorted(one["candidates"]) == ["eve/noir@v1", "studio/noir@v1"]
    assert "with several possible files" in run("resolve", workflow).err


def test_one_file_of_several_adapters_is_chosen_as_by_its_hash(
    run: Run, published: FakeHub, workflow: Path, tmp_path: Path
) -> None:
    """The adapter that had the file first, in its newest version; others are named."""
    folder = tmp_path / "loras"
    folder.mkdir()
    files = {"noir.safetensors": NOIR}
    published.publish("eve/noir", files, published_at="2026-03-01T00:00:00Z")
    files["README.md"] = b"# Noir"
    published.publish("studio/noir", files, published_at="2026-06-01T00:00:00Z")
    versions = published.versions
    published.versions = {name: versions[name] for name in ("eve/noir", "ada/ink", "studio/noir")}
    by_hash = run("resolve", text(tmp_path, ("noir", sha(NOIR))), "--json").document
    assert (by_hash["adapter"], by_hash["also"]) == ("studio/noir", ["eve/noir@v1"])
    named = run("resolve", workflow, "--json").documents[1]
    assert (named["adapter"], named["version"], named["evidence"]) == ("studio/noir", "v2", "name")
    assert (named["candidates"], named["also"]) == ([], ["eve/noir@v1"])
    published.versions["studio/noir"][1]["state"] = "yanked"
    named = run("resolve", workflow, "--json").documents[1]
    assert (named["adapter"], named["also"]) == ("eve/noir", ["studio/noir@v2"])
    ran = run("resolve", workflow, "--dir", folder, "--pull")
    assert "eve/noir@v1 · by name" in ran.out
    assert "also studio/noir@v2" in ran.out
    assert (folder / "noir.safetensors").read_bytes() == NOIR


def test_withdrawn_versions_are_missing_with_the_reason(
    run: Run, published: FakeHub, tmp_path: Path
) -> None:
    published.versions["studio/noir"][0] |= {"state": "withdrawn", "reason": "asked for"}
    ran = run("resolve", text(tmp_path, ("noir", sha(NOIR)[:10])), "--json")
    assert (ran.document["state"], ran.document["reason"]) == ("missing", "asked for")


def test_a_broken_file_does_not_stop_the_others(
    run: Run, published: FakeHub, tmp_path: Path
) -> None:
    del published
    broken = tmp_path / "broken.json"
    broken.write_text('{"nodes": ')
    good = text(tmp_path, ("noir", sha(NOIR)[:10]))
    ran = run("resolve", broken, tmp_path / "gone.png", good, "--json")
    assert ran.code == 1
    errors_of = [one["error"]["code"] for one in ran.documents if "error" in one]
    assert errors_of == ["file_unreadable", "file_missing"]
    assert "broken.json: Its JSON is damaged" in ran.documents[0]["error"]["message"]
    assert ran.documents[2]["state"] == "hub"
    ran = run("resolve", broken, good)
    assert "broken.json" in ran.out
    assert "studio/noir@v1" in ran.out


def test_without_a_hub_this_computer_is_searched(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LORARY_ENDPOINT", "http://127.0.0.1:9")
    folder = folder_with(tmp_path, noir=NOIR)
    here, lost = ("noir", sha(NOIR)[:10]), ("lost", sha(INK)[:10])
    ran = run("resolve", text(tmp_path, here), "--dir", folder, "--json")
    assert (ran.code, states(ran)) == (0, {"noir": ("here", "hash")})
    assert "only this computer was searched" in ran.err
    assert run("resolve", text(tmp_path, here, lost), "--dir", folder).code == 5


def test_cached_files_that_are_not_wanted_are_not_touched_without_a_hub(
    run: Run, published: FakeHub, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("studio/noir", "ada/ink"):
        assert run("pull", name).code == 0
    blobs = home / "cache" / "blobs"
    damaged = blobs / sha(INK)
    damaged.chmod(0o644)
    damaged.write_bytes(b"x" * len(INK))
    before = {place: place.stat().st_mtime_ns for place in blobs.iterdir()}
    source = text(tmp_path, ("lost", "0123456789"))
    ran = run("resolve", source, "--offline", "--json")
    assert (states(ran), published.requests("hashes")) == ({"lost": ("missing", None)}, [])
    assert {place: place.stat().st_mtime_ns for place in blobs.iterdir()} == before


def test_the_output_says_what_to_do(run: Run, published: FakeHub, workflow: Path) -> None:
    del published
    ran = run("resolve", workflow)
    assert "hub      style/noir.safetensors  0.8  studio/noir@v1 · by name" in ran.out
    assert "missing  lost.safetensors" in ran.out
    assert "--pull" in ran.err
    assert "1 missing. Name your folders with --dir" in ran.err


def test_adapters_of_a_workflow_are_in_the_order_of_its_loaders(run: Run, workflow: Path) -> None:
    names = [row["name"] for row in run("resolve", workflow, "--json", "--offline").documents]
    assert names == ["lost.safetensors", "style/noir.safetensors"]


def test_files_without_adapters_say_so(run: Run, tmp_path: Path) -> None:
    place = tmp_path / "plain.txt"
    place.write_text("a cat\nSteps: 4, Seed: 1")
    ran = run("resolve", place)
    assert (ran.code, "no LoRA is named" in ran.out) == (0, True)
    assert run("resolve", place, "--json").documents == []


def test_a_folder_must_exist(run: Run, workflow: Path) -> None:
    ran = run("resolve", workflow, "--dir", "nowhere")
    assert (ran.code, "is not a folder" in ran.err) == (2, True)


def test_python_has_the_same(hub: Hub, published: FakeHub, workflow: Path, tmp_path: Path) -> None:
    del published
    answer = hub.resolve([workflow, tmp_path / "gone"])
    assert [one.state for one in answer.references] == ["missing", "hub"]
    assert isinstance(answer.files[1].error, errors.FileMissing)
    pulled = hub.pull_reference(answer.references[1], to=tmp_path / "loras")
    assert sha(pulled.local_path.read_bytes()) == sha(NOIR)
    with pytest.raises(errors.NotFound, match="No version"):
        hub.pull_reference(answer.references[0])
    assert [one.state for one in lorary.resolve(workflow)] == ["missing", "here"]  # in the cache
    with pytest.raises(errors.FileMissing):
        lorary.resolve([tmp_path / "gone"])


PROJECT = """# mine
layout = "flat"
root = "loras"

[adapters]  # of this folder
"ada/ink" = "*"

[packs]
"""


def test_locking_adds_what_was_found(
    run: Run, published: FakeHub, workflow: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = workflow.parent
    monkeypatch.chdir(folder)
    assert run("resolve", workflow, "--lock").code == 3  # there is no lorary.toml
    (folder / "lorary.toml").write_text(PROJECT)
    source = text(folder, ("ink", sha(INK)[:10]))
    ran = run("resolve", workflow, source, "--lock", "--json")
    assert (ran.code, "1 added to lorary.toml" in ran.err) == (3, True)
    changed = PROJECT.replace("folder\n", 'folder\n"studio/noir" = "v1"\n')
    assert (folder / "lorary.toml").read_text() == changed
    assert 'name = "studio/noir"' in (folder / "lorary.lock").read_text()
    assert "has what was found" in run("resolve", source, "--lock").err
    assert run("sync").code == 0
    ran = run("resolve", source, "--json")  # the folder of the project is searched
    assert (ran.code, ran.document["path"]) == (0, str(folder / "loras" / "ink.safetensors"))
    assert published.seen


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", '\n\n[adapters]\n"a/b" = "v1"\n'),
        ('layout = "flat"', 'layout = "flat"\n\n[adapters]\n"a/b" = "v1"\n'),
        ("[adapters]", '[adapters]\n"a/b" = "v1"\n'),
        ('[adapters]\n"c/d" = "*"\n', '[adapters]\n"a/b" = "v1"\n"c/d" = "*"\n'),
        ('[adapters]\n"a/b" = "*"\n', '[adapters]\n"a/b" = "*"\n'),
        ("[packs]\r\n", '[packs]\r\n\r\n[adapters]\r\n"a/b" = "v1"\r\n'),
        (
            '[adapters] # é\r\n"c/d" = "*"\r\n',
            '[adapters] # é\r\n"a/b" = "v1"\r\n"c/d" = "*"\r\n',
        ),
    ],
)
def test_the_rest_of_a_project_stays(tmp_path: Path, before: str, after: str) -> None:
    (tmp_path / "lorary.toml").write_bytes(before.encode())
    add_adapters(tmp_path, {"a/b": "v1"})
    assert (tmp_path / "lorary.toml").read_bytes().decode() == after
    assert [place.name for place in tmp_path.glob("*lorary*")] == ["lorary.toml"]


def test_a_project_that_is_a_link_is_left_alone(tmp_path: Path) -> None:
    own, link = tmp_path / "own.toml", tmp_path / "lorary.toml"
    own.write_text("[adapters]\n")
    link.symlink_to(own)
    with pytest.raises(errors.ProjectInvalid, match="is a link"):
        add_adapters(tmp_path, {"a/b": "v1"})
    assert (link.is_symlink(), own.read_text()) == (True, "[adapters]\n")


def test_a_project_in_another_form_is_left_alone(tmp_path: Path) -> None:
    text_of = 'adapters = {"c/d" = "*"}\n'
    (tmp_path / "lorary.toml").write_text(text_of)
    with pytest.raises(errors.ProjectInvalid):
        add_adapters(tmp_path, {"a/b": "v1"})
    assert (tmp_path / "lorary.toml").read_text() == text_of
    with pytest.raises(errors.ReferenceInvalid):
        add_adapters(tmp_path, {'a/b" = "*"': "v1"})


def test_a_derived_file_that_a_picture_names_is_named_with_its_version(
    run: Run, published: FakeHub, tmp_path: Path
) -> None:
    made = kohya(DENOISERS["sd1", "diffusers"], rank=2)
    form = {"variant": "r2", "naming": "", "max_rank": 2, "strip": False}
    published.versions["studio/noir"][0]["files"][0]["derived"] = {
        sha(made): form, sha(made)[:10]: form}  # fmt: skip
    place = text(tmp_path, ("noir", sha(made)[:10]))
    (found,) = run("resolve", place, "--json").documents
    assert (found["state"], found["adapter"], found["derived"]) == ("hub", "studio/noir", form)
    assert "made from this version (rank 2)" in run("resolve", place).out
    folder = folder_with(tmp_path, other=made)
    (here,) = run("resolve", place, "--dir", folder, "--json").documents
    assert (here["state"], here["sha256"], here["derived"]) == ("here", sha(made), form)
