"""Pulling into a folder that holds other things: names, the record, and what is never replaced."""

from __future__ import annotations

import json
import os
import shutil
import sys
from typing import TYPE_CHECKING

import pytest

from lorary.client import errors
from lorary.client.names import generic_rest, saved_name
from lorary.client.transfers import cache, folders, pulling
from tests.client.conftest import sha

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lorary.client import Hub
    from tests.client.conftest import Ran
    from tests.client.fakehub import FakeHub

    Run = Callable[..., Ran]

GENERIC = "pytorch_lora_weights.safetensors"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "loras"


def kept(folder: Path) -> dict[str, bytes]:
    """Return path → bytes of all files that are not Lorary's own."""
    return {
        place.relative_to(folder).as_posix(): place.read_bytes()
        for place in folder.rglob("*")
        if place.is_file() and not place.name.startswith(".lorary")
    }


def record(folder: Path) -> dict[str, dict[str, object]]:
    files: dict[str, dict[str, object]] = json.loads((folder / ".lorary.json").read_text())["files"]
    return files


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Collect the files that are hashed."""
    hashed: list[Path] = []

    def digest(path: Path) -> str:
        hashed.append(path)
        return cache.digest_file(path)

    monkeypatch.setattr(folders, "digest_file", digest)
    return hashed


@pytest.mark.parametrize("name", [GENERIC, "adapter_model.safetensors", "model.safetensors"])
def test_two_adapters_with_a_generic_name_are_both_kept(
    run: Run, fake: FakeHub, out: Path, name: str
) -> None:
    fake.publish("ada/noir", {name: b"noir", "README.md": b"# Noir"})
    fake.publish("bob/ink", {name: b"ink", "README.md": b"# Ink"})
    first = run("pull", "ada/noir", "--to", out)
    second = run("pull", "bob/ink", "--to", out)
    assert (first.code, second.code) == (0, 0)
    assert kept(out) == {"ada--noir.safetensors": b"noir", "bob--ink.safetensors": b"ink"}
    assert f"renamed   {name} → ada--noir.safetensors" in first.out
    assert "left out  README.md (use --all-files to download them)" in first.out


def test_further_versions_and_variants_get_names_of_their_own(
    hub: Hub, fake: FakeHub, out: Path
) -> None:
    half = "pytorch_lora_weights.fp16.safetensors"
    fake.publish("ada/noir", {GENERIC: b"1", half: b"1h"})
    second = fake.publish("ada/noir", {"model.safetensors": b"2", "adapter.safetensors": b"2h"})
    second["files"][1]["variant"] = "bf16"
    hub.pull("ada/noir@v1", to=out)
    pulled = hub.pull("ada/noir@v2", to=out)
    assert kept(out) == {
        "ada--noir.safetensors": b"1",
        "ada--noir--fp16.safetensors": b"1h",
        "ada--noir--v2.safetensors": b"2",
        "ada--noir--bf16.safetensors": b"2h",
    }
    assert pulled.path == out / "ada--noir--v2.safetensors"
    before = kept(out)
    hub.pull("ada/noir@v1", to=out)
    again = hub.pull("ada/noir@v2", to=out)
    assert kept(out) == before
    assert [file.was_here for file in again.files] == [True, True]
    (out / "ada--noir.safetensors").unlink()
    assert hub.pull("ada/noir@v2", to=out).path == out / "ada--noir--v2.safetensors"


def test_a_further_version_under_its_own_name_replaces_none(
    hub: Hub, fake: FakeHub, out: Path
) -> None:
    fake.publish("ada/noir", {"noir.safetensors": b"1"})
    fake.publish("ada/noir", {"noir.safetensors": b"2"})
    fake.publish("bob/noir", {"noir.safetensors": b"3"})
    for reference in ("ada/noir@v1", "ada/noir@v2", "bob/noir", "ada/noir@v2"):
        hub.pull(reference, to=out)
    assert kept(out) == {
        "noir.safetensors": b"1",
        "noir--v2.safetensors": b"2",
        "bob--noir--noir.safetensors": b"3",
    }
    hub.pull("bob/noir", to=out, force=True)
    assert kept(out)["noir.safetensors"] == b"1"


def test_force_puts_another_version_in_the_place_of_one(hub: Hub, fake: FakeHub, out: Path) -> None:
    fake.publish("ada/noir", {"noir.safetensors": b"1"})
    fake.publish("ada/noir", {"noir.safetensors": b"2"})
    hub.pull("ada/noir@v1", to=out)
    hub.pull("ada/noir@v2", to=out, force=True)
    assert kept(out) == {"noir.safetensors": b"2"}
    assert record(out)["noir.safetensors"]["version"] == "v2"


def test_companions_come_where_they_are_asked_for_and_never_collide(
    hub: Hub, fake: FakeHub, out: Path
) -> None:
    fake.publish("ada/noir", {GENERIC: b"1", "README.md": b"# 1", "samples/a.png": b"png"})
    fake.publish("ada/noir", {GENERIC: b"2", "README.md": b"# 2"})
    fake.publish("bob/ink", {GENERIC: b"3", "README.md": b"# 3"})
    for reference in ("ada/noir@v1", "ada/noir@v2", "bob/ink"):
        pulled = hub.pull(reference, to=out, all_files=True)
        assert pulled.left_out == ()
    assert {name: data for name, data in kept(out).items() if "/" in name} == {
        "ada--noir--v1/README.md": b"# 1",
        "ada--noir--v1/samples/a.png": b"png",
        "ada--noir--v2/README.md": b"# 2",
        "bob--ink--v1/README.md": b"# 3",
    }


def test_the_record_says_what_was_written(hub: Hub, fake: FakeHub, out: Path) -> None:
    version = fake.publish("ada/noir", {GENERIC: b"noir"})
    hub.pull("ada/noir", to=out)
    found = (out / "ada--noir.safetensors").stat()
    assert record(out) == {
        "ada--noir.safetensors": {
            "hub": fake.url, "adapter": "ada/noir", "version": "v1",
            "revision": version["revision"], "path": GENERIC, "sha256": sha(b"noir"),
            "size": 4, "mtime_ns": found.st_mtime_ns,
        }
    }  # fmt: skip


def test_a_file_that_no_pull_wrote_is_left_alone(hub: Hub, fake: FakeHub, out: Path) -> None:
    fake.publish("ada/noir", {"noir.safetensors": b"pulled"})
    fake.publish("ada/ink", {GENERIC: b"pulled"})
    out.mkdir()
    for reference, name in (("noir", "noir.safetensors"), ("ink", "ada--ink.safetensors")):
        (out / name).write_bytes(b"precious")
        with pytest.raises(errors.TargetTaken, match="--force"):
            hub.pull(f"ada/{reference}", to=out)
        assert (out / name).read_bytes() == b"precious"
        assert not fake.requests("GET .*files/")
    hub.pull("ada/noir", to=out, force=True)
    assert (out / "noir.safetensors").read_bytes() == b"pulled"


def test_a_file_of_an_unknown_origin_with_the_same_bytes_is_adopted(
    hub: Hub, fake: FakeHub, out: Path
) -> None:
    fake.publish("ada/noir", {"noir.safetensors": b"pulled"})
    out.mkdir()
    (out / "noir.safetensors").write_bytes(b"pulled")
    assert hub.pull("ada/noir", to=out).files[0].was_here
    assert not fake.requests("GET .*files/")
    assert list(record(out)) == ["noir.safetensors"]


def test_a_pulled_file_that_was_edited_is_left_alone(hub: Hub, fake: FakeHub, out: Path) -> None:
    fake.publish("ada/noir", {"noir.safetensors": b"pulled"})
    place = hub.pull("ada/noir", to=out).path
    place.unlink()
    place.write_bytes(b"edited")
    with pytest.raises(errors.TargetTaken, match="was edited later"):
        hub.pull("ada/noir", to=out)
    assert place.read_bytes() == b"edited"
    hub.pull("ada/noir", to=out, force=True)
    assert place.read_bytes() == b"pulled"


def test_a_symbolic_link_is_left_alone_and_never_followed(
    hub: Hub, fake: FakeHub, tmp_path: Path, out: Path
) -> None:
    fake.publish("ada/noir", {"noir.safetensors": b"pulled"})
    precious = tmp_path / "precious"
    precious.write_bytes(b"precious")
    out.mkdir()
    (out / "noir.safetensors").symlink_to(precious)
    with pytest.raises(errors.TargetTaken):
        hub.pull("ada/noir", to=out)
    hub.pull("ada/noir", to=out, force=True)
    assert precious.read_bytes() == b"precious"
    assert kept(out) == {"noir.safetensors": b"pulled"}


@pytest.mark.parametrize("force", [False, True])
def test_a_path_of_the_hub_goes_through_no_link_out_of_the_folder(
    hub: Hub, fake: FakeHub, out: Path, *, force: bool
) -> None:
    (elsewhere := out.parent / "elsewhere").mkdir()
    (elsewhere / "mine.safetensors").write_bytes(b"mine")
    (out / "inside").mkdir(parents=True)
    (out / "door").symlink_to(elsewhere)
    (out / "corridor").symlink_to("inside")
    for name in ("new", "mine"):
        fake.publish(f"ada/{name}", {f"door/{name}.safetensors": b"of ada"})
        with pytest.raises(errors.TargetTaken):
            hub.pull(f"ada/{name}", to=out, force=force)
    assert [one.read_bytes() for one in elsewhere.iterdir()] == [b"mine"]
    fake.publish("ada/near", {"corridor/near.safetensors": b"near"})
    assert hub.pull("ada/near", to=out).path.resolve() == out / "inside" / "near.safetensors"


def test_a_folder_in_the_place_of_a_file_is_left_alone(hub: Hub, fake: FakeHub, out: Path) -> None:
    fake.publish("ada/noir", {"noir.safetensors": b"pulled"})
    (out / "noir.safetensors").mkdir(parents=True)
    with pytest.raises(errors.TargetTaken):
        hub.pull("ada/noir", to=out, force=True)


def test_a_file_that_is_present_is_not_read_again(
    hub: Hub, fake: FakeHub, home: Path, out: Path, weights: bytes, read: list[Path]
) -> None:
    fake.publish("ada/noir", {GENERIC: weights})
    place = hub.pull("ada/noir", to=out).path
    (home / "cache").rename(home / "gone")
    again = hub.pull("ada/noir", to=out)
    assert (again.path, again.files[0].was_here) == (place, True)
    assert read == []
    assert len(fake.requests("GET .*files/")) == 1
    hub.pull("ada/noir", to=out, verify=True)
    assert set(read) == {place}
    read.clear()
    os.utime(place, ns=(0, 0))
    assert hub.pull("ada/noir", to=out).files[0].was_here
    assert set(read) == {place}
    read.clear()
    hub.pull("ada/noir", to=out)
    assert read == []


def test_verify_replaces_a_file_that_rotted(
    hub: Hub, fake: FakeHub, out: Path, weights: bytes
) -> None:
    fake.publish("ada/noir", {GENERIC: weights})
    place = hub.pull("ada/noir", to=out).path
    place.chmod(0o644)
    before = place.stat()
    with place.open("r+b") as file:
        file.write(b"rotten")
    os.utime(place, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert hub.pull("ada/noir", to=out).files[0].was_here
    hub.pull("ada/noir", to=out, verify=True)
    assert place.read_bytes() == weights


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", '{"files": {"a": 1}}', '{"files": {"../../x": {}}}', '{"files": {"a": {}}}'],
)
def test_a_damaged_record_is_said_so_and_loses_nothing(
    run: Run, fake: FakeHub, out: Path, text: str
) -> None:
    fake.publish("ada/noir", {GENERIC: b"noir"})
    run("pull", "ada/noir", "--to", out)
    (out / ".lorary.json").write_text(text)
    ran = run("pull", "ada/noir", "--to", out, "--json")
    assert (ran.code, ran.document["error"]["code"]) == (1, "target_unusable")
    assert "Remove it and try again" in ran.err
    (out / ".lorary.json").unlink()
    run("pull", "ada/noir", "--to", out)
    assert kept(out) == {"ada--noir.safetensors": b"noir"}


@pytest.mark.parametrize(
    ("stem", "rest"),
    [
        ("pytorch_lora_weights", ""), ("PyTorch_LoRA_Weights", ""), ("adapter_model", ""),
        ("model", ""), ("lora", ""), ("diffusion_pytorch_model", ""), ("last", ""),
        ("pytorch_lora_weights.fp16", "fp16"), ("lora-000010", "000010"),
        ("checkpoint-500", "500"), ("model_step_100", "step_100"), ("lora_bf16", "bf16"),
        ("noir", None), ("lora_noir", None), ("model-noir", None), ("lorax", None),
    ],
)  # fmt: skip
def test_names_that_tools_give_are_generic(stem: str, rest: str | None) -> None:
    assert generic_rest(stem) == rest


def test_a_download_is_saved_under_the_name_that_a_pull_gives_it(
    hub: Hub, fake: FakeHub, out: Path
) -> None:
    paths = ["model.fp16.safetensors", "noir.safetensors", "checkpoint-500.safetensors"]
    for number, path in enumerate(paths):
        fake.publish(f"ada/a{number}", {path: b"%d" % number})
        hub.pull(f"ada/a{number}", to=out)
        assert (out / saved_name("ada", f"a{number}", path)).is_file()


def test_longest_names_still_fit(hub: Hub, fake: FakeHub, out: Path) -> None:
    owner, name = "o" * 48, "n" * 96
    long = f"{'s' * 200}.safetensors"
    fake.publish(f"{owner}/{name}", {long: b"1"})
    fake.publish(f"x{owner}/{name}", {long: b"2"})
    hub.pull(f"{owner}/{name}", to=out)
    hub.pull(f"x{owner}/{name}", to=out)
    assert sorted(kept(out).values()) == [b"1", b"2"]


def test_a_target_that_is_a_file_is_refused_before_anything_is_fetched(
    run: Run, fake: FakeHub, out: Path
) -> None:
    fake.publish("ada/noir", {GENERIC: b"noir"})
    out.write_bytes(b"precious")
    for place in (out, out / "below"):
        ran = run("pull", "ada/noir", "--to", place, "--json")
        assert (ran.code, ran.document["error"]["code"]) == (1, "target_unusable")
        assert f"{out} is a file" in ran.err
    assert out.read_bytes() == b"precious"
    assert fake.requests("GET .*files/") == []


@pytest.mark.skipif(sys.platform != "linux", reason="/proc takes no files, from root either")
def test_a_target_that_takes_no_files_is_refused_before_anything_is_fetched(
    run: Run, fake: FakeHub
) -> None:
    fake.publish("ada/noir", {GENERIC: b"noir"})
    ran = run("pull", "ada/noir", "--to", "/proc/loras", "--json")
    assert (ran.code, ran.document["error"]["code"]) == (1, "target_unusable")
    assert fake.requests("GET .*files/") == []


def test_a_full_disk_of_the_target_is_said_before_anything_is_fetched(
    run: Run, fake: FakeHub, home: Path, out: Path, weights: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.publish("ada/noir", {"a.safetensors": weights, "b.safetensors": weights[::-1]})
    usage = shutil.disk_usage("/")

    def free(place: Path) -> object:
        return usage._replace(free=10**12 if place.is_relative_to(home) else 5_999_999)

    out.mkdir()
    home.mkdir()
    monkeypatch.setattr(shutil, "disk_usage", free)
    assert run("pull", "ada/noir").code == 0
    fake.seen.clear()
    monkeypatch.setattr(pulling, "_device", hash)
    ran = run("pull", "ada/noir", "--to", out, "--json")
    assert (ran.code, ran.document["error"]["code"]) == (1, "disk_full")
    assert f"{out} has no room for 6,000,000 more bytes; 5,999,999 are free" in ran.err
    assert fake.requests("GET .*files/") == []
    assert kept(out) == {}


def test_all_files_must_have_room_in_the_cache(
    hub: Hub, fake: FakeHub, weights: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.publish("ada/noir", {"a.safetensors": weights, "b.safetensors": weights[::-1]})
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage._replace(free=5_000_000))
    with pytest.raises(errors.DiskFull, match="6,000,000"):
        hub.pull("ada/noir")
    assert fake.requests("GET .*files/") == []
