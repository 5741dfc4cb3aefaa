"""Pulling from a hub that does not answer."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

import lorary
from lorary.client import Hub, errors, packs
from lorary.integrations.diffusers import load_pack
from lorary.safetensors import SourceError
from tests.client.conftest import sha
from tests.client.fakehub import FakeHub, serving
from tests.client.projects import Folder
from tests.client.test_packs import MANIFEST, part, variant, version
from tests.client.tiny import adapter

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.client.conftest import Ran

    Run = Callable[..., Ran]

NAME = "studio/noir"
FILES = {"noir.safetensors": b"noir", "README.md": b"# Noir"}


@pytest.fixture
def gone(home: Path, waits: list[float], monkeypatch: pytest.MonkeyPatch) -> str:
    """Pull two versions from a hub and stop it; returns the revision of the first."""
    del waits
    with serving(FakeHub()) as fake:
        monkeypatch.setenv("LORARY_ENDPOINT", fake.url)
        version = fake.publish(NAME, FILES)
        fake.publish(NAME, {"noir.safetensors": b"other"})
        with Hub() as hub:
            hub.pull(f"{NAME}@v1")
            hub.pull(NAME)
    return str(version["revision"])


def test_names_that_are_for_good_come_from_the_cache(run: Run, gone: str, tmp_path: Path) -> None:
    for rev in ("v1", gone):
        ran = run("pull", f"{NAME}@{rev}", "--json")
        assert ran.code == 0, ran.err
        assert (ran.document["revision"], ran.document["offline"]) == (gone, True)
        assert [file["bytes_fetched"] for file in ran.document["files"]] == [0, 0]
        assert "does not answer; studio/noir v1 comes from the cache" in ran.err
    ran = run("pull", f"{NAME}@v2", "--to", tmp_path / "loras", "--verify")
    assert ran.code == 0, ran.err
    assert (tmp_path / "loras" / "noir.safetensors").read_bytes() == b"other"


@pytest.mark.parametrize("reference", [NAME, f"{NAME}@main", f"{NAME}@latest", f"{NAME}@v3"])
def test_names_that_move_or_are_unknown_need_the_hub(run: Run, gone: str, reference: str) -> None:
    ran = run("pull", reference, "--json")
    assert (ran.code, ran.document["error"]["code"]) == (5, "unreachable")


def test_an_incomplete_cache_is_said_so(run: Run, gone: str, home: Path) -> None:
    for blob in (home / "cache" / "blobs").iterdir():
        blob.unlink()
    ran = run("pull", f"{NAME}@v1", "--json")
    assert (ran.code, ran.document["error"]["code"]) == (5, "unreachable")
    assert "noir.safetensors of this version is not in the cache" in ran.err


@pytest.mark.parametrize("text", ["", "[]", "{", '{"version": "v2"}'])
def test_a_damaged_memory_is_as_if_absent(run: Run, gone: str, home: Path, text: str) -> None:
    for place in (home / "cache" / "versions").rglob("v1.json"):
        place.write_text(text)
    assert run("pull", f"{NAME}@v1").code == 5
    assert run("pull", f"{NAME}@{gone}").code == 0


def test_another_hub_of_the_same_names_is_no_stand_in(run: Run, gone: str) -> None:
    ran = run("pull", f"{NAME}@v1", "--endpoint", "http://127.0.0.1:9", "--json")
    assert ran.code == 5


def test_a_hub_that_refuses_is_heard(hub: Hub, fake: FakeHub) -> None:
    fake.publish(NAME, FILES)
    hub.pull(f"{NAME}@v1")
    fake.versions[NAME][0].update(state="withdrawn", reason="Stolen.")
    with pytest.raises(errors.Gone):
        hub.pull(f"{NAME}@v1")


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Return a function that forbids sockets: from then on, opening one fails the test."""

    def refuse(*_args: object, **_options: object) -> NoReturn:
        raise AssertionError

    def go() -> None:
        monkeypatch.setattr(socket, "socket", refuse)
        monkeypatch.setenv("LORARY_OFFLINE", "1")

    return go


def test_offline_serves_what_the_cache_proves(
    run: Run, hub: Hub, fake: FakeHub, offline: Callable[[], None], tmp_path: Path
) -> None:
    told = fake.publish(NAME, FILES)
    hub.pull(f"{NAME}@v1")
    offline()
    for rev in ("v1", told["revision"]):
        ran = run("pull", f"{NAME}@{rev}", "--to", tmp_path / rev, "--json")
        assert (ran.code, ran.document["offline"], ran.err) == (0, True, "")
        assert (tmp_path / rev / "noir.safetensors").read_bytes() == b"noir"


def test_offline_what_was_pulled_into_a_folder_is_there_without_its_readme(
    run: Run, hub: Hub, fake: FakeHub, offline: Callable[[], None], tmp_path: Path
) -> None:
    fake.publish(NAME, FILES)
    fake.versions[NAME][0]["files"][1]["role"] = "card"
    hub.pull(f"{NAME}@v1", to=tmp_path / "loras")
    offline()
    ran = run("pull", f"{NAME}@v1", "--json")
    assert (ran.code, ran.document["left_out"]) == (0, ["README.md"]), ran.err
    assert [file["path"] for file in ran.document["files"]] == ["noir.safetensors"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["pull", NAME], "which version “studio/noir” is"),
        (["pull", f"{NAME}@stable"], "which version “studio/noir@stable” is"),
        (["pull", f"{NAME}@v2"], "studio/noir@v2 of http://127.0.0.1:"),
        (["pull", "pack:studio/dusk@v1"], "studio/dusk@v1 of http://127.0.0.1:"),
        (["search", "noir"], "This needs the hub"),
        (["whoami"], "This needs the hub"),
        (["inspect", "http://127.0.0.1:9/a.safetensors"], "cannot be read offline"),
    ],
)
def test_offline_says_what_is_missing(
    run: Run, hub: Hub, fake: FakeHub, offline: Callable[[], None], words: list[str], told: str
) -> None:
    fake.publish(NAME, FILES)
    hub.pull(f"{NAME}@v1")
    offline()
    ran = run(*words)
    assert ran.code == 3
    assert told in ran.err + ran.out
    assert "--offline or LORARY_OFFLINE" in ran.err + ran.out
    if words[1:] == [NAME]:
        assert "The cache has v1." in ran.err


def test_the_option_is_for_one_command(run: Run, hub: Hub, fake: FakeHub) -> None:
    fake.publish(NAME, FILES)
    asked = len(fake.seen)
    assert run("pull", NAME, "--offline").code == 3
    assert len(fake.seen) == asked
    assert run("pull", NAME).code == 0


@pytest.mark.parametrize("value", ["0", "false", "no", "off", ""])
def test_values_that_mean_online(
    run: Run, fake: FakeHub, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    fake.publish(NAME, FILES)
    monkeypatch.setenv("LORARY_OFFLINE", value)
    assert run("pull", NAME).code == 0


def _publish_pack(fake: FakeHub) -> None:
    fake.publish("studio/ink", {"ink.safetensors": b"ink v1"})
    listed = version(variant("sd1", part("studio/ink", b"ink v1", version="v1")))
    assert listed["manifest_sha256"] == packs.digest_of(MANIFEST)
    body = json.dumps(listed).encode()
    fake.answers += [
        ("packs/studio/dusk/versions", 200, {"Content-Type": "application/json"}, body)
    ] * 2


class Pipe:
    """What `load_pack` calls of a pipeline."""

    def __init__(self) -> None:
        self.loaded: list[str] = []

    def __call__(self, prompt: str) -> None:
        """Take the arguments of a pipeline."""

    def get_list_adapters(self) -> dict[str, list[str]]:
        return {"unet": self.loaded}

    def get_active_adapters(self) -> list[str]:
        return []

    def load_lora_weights(self, folder: Path, *, weight_name: str, adapter_name: str) -> None:
        assert (folder / weight_name).read_bytes() == b"ink v1"
        self.loaded.append(adapter_name)

    def set_adapters(self, names: list[str], strengths: list[float]) -> None:
        assert len(names) == len(strengths)


def test_offline_packs_are_loaded_and_synced(
    run: Run,
    hub: Hub,
    fake: FakeHub,
    offline: Callable[[], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _publish_pack(fake)
    project = Folder(tmp_path / "first")
    project.want({}, {"studio/dusk": "v1"})
    monkeypatch.chdir(project.path)
    assert run("sync").code == 0
    hub.pull("studio/ink@v1")
    offline()
    again = Folder(tmp_path / "second")
    again.path.mkdir()
    for name in ("lorary.toml", "lorary.lock"):
        (again.path / name).write_bytes((project.path / name).read_bytes())
    monkeypatch.chdir(again.path)
    ran = run("sync", "--frozen")
    assert (ran.code, ran.err) == (0, "")
    assert again.files == project.files
    pipe = Pipe()
    load_pack(pipe, "pack:studio/dusk@v1")
    assert pipe.loaded == [f"lorary_{sha(b'ink v1')[:16]}"]


@pytest.mark.parametrize("others", [(), ("studio/ink", "studio/rain")])
@pytest.mark.parametrize("is_frozen", [False, True])
def test_offline_what_was_synced_can_be_pulled_and_removed(
    run: Run,
    fake: FakeHub,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    others: tuple[str, ...],
    *,
    is_frozen: bool,
) -> None:
    names = (NAME, *others)
    for name in names:
        fake.publish(name, {**FILES, "noir.safetensors": name.encode()})
    project = Folder(tmp_path / "project")
    project.want(dict.fromkeys(names, "*"))
    monkeypatch.chdir(project.path)
    if is_frozen:
        assert run("lock").code == 0
        fake.seen.clear()
    assert run("sync", *(["--frozen"] if is_frozen else [])).code == 0
    # One request gives all versions, whether it is needed for the lock or only for the cache.
    assert len(fake.requests("references|versions/")) - len(fake.requests("files/")) == 1
    listed = [row["versions"] for row in run("cache", "ls", "--json").documents]
    assert sorted(listed) == sorted([f"{name}@v1"] for name in names)
    ran = run("pull", f"{NAME}@v1", "--offline", "--to", tmp_path / "loras")
    assert (ran.code, (tmp_path / "loras/noir.safetensors").read_bytes()) == (0, NAME.encode())
    assert run("cache", "rm", f"{NAME}@v1").out.startswith("- ")
    assert len(run("cache", "ls", "--json").documents) == len(others)


def test_a_sync_succeeds_if_the_hub_does_not_give_the_versions(
    run: Run, fake: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.publish(NAME, FILES)
    project = Folder(tmp_path / "project")
    project.want({NAME: "v1"})
    monkeypatch.chdir(project.path)
    assert run("lock").code == 0
    fake.answers = [("versions/[^/]+$", 503, {}, b"{}")]
    ran = run("sync", "--frozen")
    assert (ran.code, ran.err, list(project.files)) == (0, "", ["noir.safetensors"])
    assert fake.answers == []


def test_offline_sync_names_what_the_cache_lacks(
    run: Run, hub: Hub, fake: FakeHub, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.publish(NAME, FILES)
    project = Folder(tmp_path / "first")
    project.want({NAME: "v1"})
    monkeypatch.chdir(project.path)
    assert run("lock").code == 0
    ran = run("sync", "--frozen", "--offline")
    assert (ran.code, "noir.safetensors is not in the cache" in ran.err) == (3, True)


def test_offline_resolving_searches_this_computer(
    run: Run, offline: Callable[[], None], tmp_path: Path
) -> None:
    (tmp_path / "loras").mkdir()
    (tmp_path / "loras" / "noir.safetensors").write_bytes(b"noir")
    text = tmp_path / "a.txt"
    text.write_text("a <lora:noir:0.8> <lora:lost:1>\nSteps: 20, Sampler: Euler, Seed: 1")
    offline()
    ran = run("resolve", text, "--dir", tmp_path / "loras", "--json")
    assert [one["state"] for one in ran.documents] == ["here", "missing"]
    assert ran.code == 3


def _text(place: Path, *names: str, hashes: str = "") -> Path:
    tags = " ".join(f"<lora:{name}:0.8>" for name in names)
    place.write_text(f"a {tags}\nSteps: 20, Sampler: Euler, Seed: 1{hashes}")
    return place


@pytest.mark.parametrize("is_down", [False, True])
def test_offline_resolving_finds_what_the_cache_has(
    run: Run, home: Path, waits: list[float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    is_down: bool,
) -> None:  # fmt: skip
    """By file name and by hash, also of the data alone, whether the hub stored that or not."""
    del waits
    noir, ink = adapter(1), adapter(2)
    data = [sha(one[8 + int.from_bytes(one[:8], "little") :])[:12] for one in (noir, ink)]
    with serving(FakeHub()) as fake:
        monkeypatch.setenv("LORARY_ENDPOINT", fake.url)
        version = fake.publish(NAME, {"noir.safetensors": noir})
        version["files"][0]["hashes"] = {"data_sha256": sha(noir[8:]), "autov3": data[0]}
        fake.publish("studio/ink", {"ink.safetensors": ink})
        fake.publish("studio/ink", {"ink.safetensors": adapter(3)})
        fake.publish("studio/lost", {"lost.safetensors": adapter(4)})
        with Hub() as hub:
            for name in (NAME, "studio/ink@v1", "studio/lost"):
                hub.pull(name)
        (home / "cache" / "blobs" / sha(adapter(4))).unlink()
        if not is_down:
            monkeypatch.setenv("LORARY_OFFLINE", "1")
            fake.seen.clear()
            ran = _resolved(run, tmp_path, data)
            assert fake.seen == []
    if is_down:
        ran = _resolved(run, tmp_path, data)
    found = [(one["state"], one["evidence"], one["adapter"], one["version"]) for one in ran]
    in_cache = [("here", "name", NAME, "v1"), ("here", "name", "studio/ink", "v1")]
    assert found[:3] == [*in_cache, ("missing", None, None, None)]
    assert found[3:] == [("here", "hash", *one[2:]) for one in in_cache]
    assert ran[0]["path"] == str(home / "cache" / "blobs" / sha(noir))


def _resolved(run: Run, folder: Path, data: list[str]) -> list[dict[str, Any]]:
    (folder / "loras").mkdir()
    pairs = f', Lora hashes: "one: {data[0]}, two: {data[1]}"'
    texts = (
        _text(folder / "a.txt", "Style/Noir", "ink", "lost"),
        _text(folder / "b.txt", "one", "two", hashes=pairs),
    )
    to = ("--dir", folder / "loras")
    assert run("resolve", texts[1], *to).code == 0
    found = run("resolve", *texts, *to, "--json").documents
    ran = run("resolve", texts[1], *to, "--pull")
    assert ran.code == 0, ran.err
    assert len([*(folder / "loras").glob("*.safetensors")]) == 2
    return found


def test_offline_names_of_several_adapters_are_not_chosen_from(
    run: Run, hub: Hub, fake: FakeHub, offline: Callable[[], None], tmp_path: Path
) -> None:
    for number, name in enumerate((NAME, "eve/noir")):
        fake.publish(name, {"noir.safetensors": adapter(number)})
        hub.pull(name)
    offline()
    ran = run("resolve", _text(tmp_path / "a.txt", "noir"), "--json")
    assert (ran.code, ran.document["candidates"]) == (3, ["eve/noir@v1", f"{NAME}@v1"])


def test_offline_headers_of_urls_are_refused(offline: Callable[[], None]) -> None:
    offline()
    with pytest.raises(SourceError, match="offline"):
        lorary.inspect("http://127.0.0.1:9/a.safetensors")
