"""Which adapter a file is: by hashes of it, and by hashes that somebody has."""

from __future__ import annotations

import hashlib
import json
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from lorary.client import errors
from lorary.client.finding import by_hash
from lorary.client.finding.by_hash import is_hash
from tests.builders.adapters import DENOISERS, kohya
from tests.client.conftest import sha

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lorary.client import Hub, Progress
    from tests.client.conftest import Ran
    from tests.client.fakehub import FakeHub

    Run = Callable[..., Ran]

NAME = "studio/noir"


def data_sha256(data: bytes) -> str:
    return sha(data[8 + int.from_bytes(data[:8], "little") :])


@pytest.fixture
def known(fake: FakeHub, lora: Path) -> dict[str, str]:
    """Hashes of the published file, as the hub keeps them."""
    data = lora.read_bytes()
    whole = data_sha256(data)
    hashes = {"data_sha256": whole, "autov2": sha(data)[:10], "autov3": whole[:12]}
    version = fake.publish(NAME, {"noir.safetensors": data})
    version["files"][0]["hashes"] = hashes
    return {"sha256": sha(data), **hashes}


def test_a_file_is_found_by_its_bytes(hub: Hub, known: dict[str, str], lora: Path) -> None:
    told: list[Progress] = []
    (match,) = hub.find(lora, on_progress=told.append)
    assert (match.version.adapter, match.version.name) == (NAME, "v1")
    assert (match.kind, match.hash, match.is_same_file) == ("sha256", known["sha256"], True)
    assert match.file.path == "noir.safetensors"
    assert (told[-1].stage, told[-1].done) == ("hash", lora.stat().st_size)
    assert hub.find(str(lora)) == (match,)


def test_a_copy_with_other_metadata_is_found_by_its_tensors(
    hub: Hub, known: dict[str, str], tmp_path: Path
) -> None:
    copy = tmp_path / "copy.safetensors"
    copy.write_bytes(kohya(DENOISERS["sd1", "diffusers"], metadata={"modelspec.title": "Copy"}))
    (match,) = hub.find(copy)
    assert (match.kind, match.is_same_file) == ("data_sha256", False)


def test_what_is_sent_are_hashes_and_no_bytes(
    hub: Hub, fake: FakeHub, known: dict[str, str], lora: Path
) -> None:
    hub.find(lora)
    (seen,) = fake.seen
    assert (seen.method, seen.path) == ("POST", "/api/v1/hashes")
    assert seen.body_bytes < 200


@pytest.mark.parametrize("kind", ["sha256", "autov2", "autov3", "data_sha256"])
def test_a_hash_is_found_in_any_case(hub: Hub, known: dict[str, str], kind: str) -> None:
    assert [match.kind for match in hub.find(known[kind].upper())] == [kind]


def test_nothing_is_no_failure(hub: Hub, fake: FakeHub, lora: Path) -> None:
    assert hub.find(lora) == ()
    assert hub.find("ab" * 32) == ()


def test_a_file_that_is_called_like_a_hash_is_the_file(
    hub: Hub, known: dict[str, str], lora: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    lora.rename(tmp_path / "deadbeef")
    assert [match.kind for match in hub.find("deadbeef")] == ["sha256"]


def test_files_that_are_no_weights_are_found_by_all_their_bytes(
    hub: Hub, fake: FakeHub, tmp_path: Path
) -> None:
    place = tmp_path / "odd.bin"
    for data in (b"", b"no weights", b"\xff" * 64):
        place.write_bytes(data)
        fake.publish(NAME, {"odd.bin": data})
        assert [match.hash for match in hub.find(place)] == [hashlib.sha256(data).hexdigest()]


def test_a_file_that_is_not_there_is_said_so(hub: Hub, tmp_path: Path) -> None:
    for what in (tmp_path / "none.safetensors", "none.safetensors", "deadbeefdeadbeef"):
        with pytest.raises(errors.FileMissing, match="neither an existing file nor a hash of 8"):
            hub.find(what)


@pytest.mark.parametrize("text", ["abcdef01", "0xABCDEF0123", "blake3:" + "a" * 64, "a" * 12])
def test_hashes_are_known_by_their_form(text: str) -> None:
    assert is_hash(text)


@pytest.mark.parametrize("text", ["", "noir", "abc", "a" * 63, "g" * 64, "md5:" + "a" * 8])
def test_other_words_are_no_hashes(text: str) -> None:
    assert not is_hash(text)


def test_the_command_gives_a_line_for_each(run: Run, known: dict[str, str], lora: Path) -> None:
    ran = run("find", lora, known["autov3"].upper(), "--json")
    assert ran.code == 0
    file, by_hash = ran.documents
    assert file == {
        "asked": "noir.safetensors",
        "path": str(lora),
        "matches": [
            {
                "adapter": NAME, "version": "v1", "state": "published",
                "path": "noir.safetensors", "sha256": known["sha256"], "kind": "sha256",
                "same": "file", "url": file["matches"][0]["url"],
            }
        ],
    }  # fmt: skip
    assert (by_hash["asked"], by_hash["matches"][0]["same"]) == (known["autov3"].upper(), "tensors")
    lines = run("find", lora, known["autov2"], known["autov3"]).out.splitlines()
    assert [line.rpartition("  ")[2] for line in lines] == [
        "same file", "same file, by AutoV2", "same tensors, by AutoV3",
    ]  # fmt: skip


def test_the_command_says_what_is_not_there(
    run: Run, fake: FakeHub, known: dict[str, str], lora: Path
) -> None:
    other = lora.parent / "other.safetensors"
    other.write_bytes(kohya(DENOISERS["sd1", "diffusers"], rank=8))
    fake.versions[NAME][0]["state"] = "yanked"
    ran = run("find", lora.parent)
    assert ran.code == 3
    assert ran.out.splitlines() == [
        f"noir.safetensors   {NAME}@v1  same file (yanked)",
        "other.safetensors  not found",
    ]
    assert "1 of 2 not found" in ran.err
    document = run("find", other, "--json").document
    assert document == {"asked": other.name, "path": str(other), "matches": []}


def test_a_folder_without_weights_is_said_so(run: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    ran = run("find", tmp_path / "empty")
    assert (ran.code, ran.out) == (3, "")
    assert "contains no .safetensors file" in ran.err


def test_what_cannot_be_read_does_not_end_the_others(
    run: Run, known: dict[str, str], lora: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "sub"
    folder.mkdir()
    (folder / "gone.safetensors").symlink_to(tmp_path / "nowhere")
    ran = run("find", "none.safetensors", folder, "nothing", "a" * 63, lora, "--json")
    assert ran.code == 3
    *failed, found = ran.documents
    assert [one["error"]["code"] for one in failed] == ["file_missing"] * 4
    assert [one["path"] for one in failed] == [
        "none.safetensors", str(folder / "gone.safetensors"), "nothing", "a" * 63,
    ]  # fmt: skip
    assert found["matches"][0]["adapter"] == NAME
    assert "nor a hash of 8, 10, 12 or 64 hex digits" in failed[3]["error"]["message"]
    ran = run("find", "nothing", lora)
    assert ran.out.splitlines()[1].endswith(f"{NAME}@v1  same file")
    assert "1 of 2 not found" in ran.err


def test_files_of_one_name_are_told_apart_by_their_paths(
    run: Run, known: dict[str, str], lora: Path
) -> None:
    places = [lora.parent / folder / lora.name for folder in ("a", "b")]
    for place in places:
        place.parent.mkdir()
        place.write_bytes(lora.read_bytes())
    ran = run("find", *places, "--json")
    assert [one["path"] for one in ran.documents] == [str(place) for place in places]
    assert [line.split()[0] for line in run("find", *places).out.splitlines()] == [
        str(place) for place in places
    ]


def test_many_files_are_asked_for_in_full_requests(
    run: Run, fake: FakeHub, known: dict[str, str], lora: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(1200):
        data = b"\x02\0\0\0\0\0\0\0{}" + number.to_bytes(4, "little")
        (folder / f"{number:04}.safetensors").write_bytes(data)
    (folder / "0700.safetensors").write_bytes(lora.read_bytes())
    ran = run("find", folder, "--json")
    assert [one["asked"] for one in ran.documents] == [f"{n:04}.safetensors" for n in range(1200)]
    assert [n for n, one in enumerate(ran.documents) if one["matches"]] == [700]
    assert len(fake.requests("POST .*hashes")) <= 3


def test_a_hub_that_takes_fewer_hashes_is_asked_for_fewer(
    hub: Hub, fake: FakeHub, known: dict[str, str]
) -> None:
    fake.max_hashes = 100
    asked = [*(f"{number:064x}" for number in range(300)), known["sha256"]]
    found = list(hub.find_all(asked))
    assert [one.what for one in found] == asked
    assert found[-1].matches[0].kind == "sha256"
    bodies = [seen.body_bytes for seen in fake.requests("POST .*hashes")]
    assert len(bodies) <= 9


def test_a_refusal_that_fewer_hashes_do_not_mend_is_told(hub: Hub, fake: FakeHub) -> None:
    fake.max_hashes = 0
    with pytest.raises(errors.Invalid):
        list(hub.find_all(["a" * 64, "b" * 64]))


def test_files_are_hashed_at_the_same_time(
    hub: Hub, lora: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(by_hash, "processors", lambda: 2)
    other = tmp_path / "other.safetensors"
    other.write_bytes(b"other")
    both = threading.Barrier(2, timeout=30)

    def meet(_told: Progress) -> None:
        both.wait()

    found = list(hub.find_all([lora, other], on_progress=meet))
    assert [one.error for one in found] == [None, None]


def test_a_file_that_is_damaged_or_something_else_is_named(
    run: Run, lora: Path, tmp_path: Path
) -> None:
    (tmp_path / "cut.safetensors").write_bytes(lora.read_bytes()[:-4])
    (tmp_path / "page.safetensors").write_text("<!DOCTYPE html><title>Sign in</title>")
    places = [tmp_path / "cut.safetensors", tmp_path / "page.safetensors", lora]
    ran = run("find", *places, "--json")
    assert ran.code == 3
    codes = [one.get("error", {}).get("code") for one in ran.documents]
    assert codes == ["file_truncated", "is_html", None]
    first, second, third = run("find", *places).out.splitlines()
    assert "not found: " in first
    assert "not found: This is a web page" in second
    assert third.endswith("  not found")


def test_results_come_while_other_files_are_read(
    hub: Hub, known: dict[str, str], lora: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(by_hash, "_PATIENCE_S", 0.0)
    slow = tmp_path / "slow.safetensors"
    slow.write_bytes(b"slow")
    may_go_on = threading.Event()

    def hold(told: Progress) -> None:
        if told.name == slow.name:
            may_go_on.wait(30)

    found = hub.find_all([lora, slow], on_progress=hold)
    assert next(found).matches[0].version.adapter == NAME
    may_go_on.set()
    assert next(found).matches == ()


def test_leaving_early_ends_the_reading(hub: Hub, fake: FakeHub, lora: Path) -> None:
    found = hub.find_all(["a" * 64, *[lora] * 50])
    next(found)
    found.close()
    assert len(fake.requests("POST .*hashes")) == 1


@pytest.fixture
def answers(fake: FakeHub) -> Callable[..., None]:
    """Prepare the answer to the next sketch: the file was resized from published ones."""
    version = fake.publish(NAME, {"noir.safetensors": b"others"})
    relative = {
        "relation": "resized", "direction": "from", "cosine": 0.971, "strength": 0.97,
        "version": version, "file": version["files"][0],
    }  # fmt: skip
    headers = {"Content-Type": "application/json"}

    def prepare(count: int = 1) -> None:
        body = json.dumps({"results": [relative] * count}).encode()
        fake.answers.append(("relatives", 200, headers, body))

    return prepare


def test_a_file_without_matches_is_found_by_its_sketch(
    answers: Callable[..., None], lora: Path, run: Run
) -> None:
    answers()
    result = run("find", str(lora))
    assert result.code == 0
    assert result.out.split("  ")[1:] == [
        f"{NAME}@v1",
        "your file was resized from this version, cosine 0.97\n",
    ]
    answers()
    document = run("find", str(lora), "--json").document
    assert document["matches"] == []
    (relative,) = document["relatives"]
    assert (relative["adapter"], relative["version"], relative["path"]) == (
        NAME, "v1", "noir.safetensors",
    )  # fmt: skip
    assert [relative[name] for name in ("relation", "direction", "cosine", "strength")] == [
        "resized", "from", 0.971, 0.97,
    ]  # fmt: skip


def test_the_text_has_the_closest_relatives_only(
    answers: Callable[..., None], lora: Path, run: Run
) -> None:
    answers(8)
    lines = run("find", str(lora)).out.splitlines()
    assert [line.rpartition("  ")[2] for line in lines] == [
        *["your file was resized from this version, cosine 0.97"] * 5,
        "and 3 more; --json lists them",
    ]
    answers(8)
    assert len(run("find", str(lora), "--json").document["relatives"]) == 8


def test_no_sketch_is_sent_where_hashes_are_enough(
    fake: FakeHub, lora: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("find", str(lora), "--exact").code == 3
    with monkeypatch.context() as without_numpy:
        without_numpy.setitem(sys.modules, "lorary.algebra.recognition.documents", None)
        assert run("find", str(lora)).code == 3
    fake.publish(NAME, {"noir.safetensors": lora.read_bytes()})
    assert run("find", str(lora)).code == 0
    assert not fake.requests("POST .*relatives")


def test_a_file_that_the_hub_made_is_named_with_what_it_was_made_of(
    run: Run, hub: Hub, fake: FakeHub, known: dict[str, str], tmp_path: Path
) -> None:
    made = tmp_path / "made.safetensors"
    made.write_bytes(kohya(DENOISERS["sd1", "diffusers"], rank=2))
    form = {"variant": "comfyui.r2.stripped", "naming": "comfyui", "max_rank": 2, "strip": True}
    fake.versions[NAME][0]["files"][0]["derived"] = {sha(made.read_bytes()): form}
    (match,) = hub.find(made)
    assert (match.kind, match.is_same_file, match.file.sha256) == ("sha256", False, known["sha256"])
    assert match.derived is not None
    assert match.derived._asdict() == form
    [found] = run("find", made, "--json").document["matches"]
    assert (found["same"], found["derived"]) == ("derived", form)
    line = run("find", made).out
    assert "your file was made by the hub from this version (comfyui, rank 2, without" in line
