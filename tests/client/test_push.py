"""Pushing: looked at first, sent once, resumed, published."""

from __future__ import annotations

import hashlib
import json
import random
import signal
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest

from lorary.client import Details, Progress, errors
from lorary.client.transfers import publishing, upload
from lorary.client.transfers.upload import Source
from tests.builders.adapters import DENOISERS, kohya
from tests.builders.weights import safetensors
from tests.client.conftest import CLI
from tests.client.fakehub import TOKEN

if TYPE_CHECKING:
    from pathlib import Path

    from lorary.client import Hub
    from tests.client.fakehub import FakeHub

ERROR = {
    "code": "tensor_nan",
    "severity": "error",
    "message": "A tensor holds NaN.",
    "evidence": {},
}
WARNING = ERROR | {"code": "odd", "severity": "warning", "message": "Something is odd."}


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """An adapter of several parts, each different."""
    place = tmp_path / "large.safetensors"
    data = random.Random(3).randbytes(1_500_000 * 4)
    pairs = {"lora_down": [16, 4096], "lora_up": [4096, 16]}
    stem = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q"
    head = safetensors({f"{stem}.{name}.weight": ("F32", shape) for name, shape in pairs.items()})
    start = len(head) - 2 * 16 * 4096 * 4
    place.write_bytes(head[:start] + data[: len(head) - start])
    return place


def test_pushed_file_becomes_a_version_of_a_new_adapter(
    hub: Hub, fake: FakeHub, lora: Path
) -> None:
    words = ["film noir, high contrast", "noir"]
    details = Details(
        title="Noir", kind="style", trigger_words=words, optional_trigger_words=["rain"]
    )
    pushed = hub.push(lora, "ada/noir", details=details)
    assert pushed.version.name == "v1"
    assert pushed.version.trigger_words == tuple(words)
    assert pushed.version.optional_trigger_words == ("rain",)
    assert [file.path for file in pushed.version.files] == ["noir.safetensors"]
    assert fake.blobs[pushed.version.files[0].sha256] == lora.read_bytes()
    assert fake.adapters["ada/noir"]["title"] == "Noir"
    assert fake.adapters["ada/noir"]["visibility"] == "public"
    assert fake.body_bytes == lora.stat().st_size


@pytest.mark.parametrize(
    ("metadata", "title"),
    [
        ({}, "Hard noir v2"),
        ({"modelspec.title": "Noir, hard"}, "Noir, hard"),
        ({"modelspec.title": "film_noir"}, "Film noir"),
        ({"modelspec.title": "n" * 150}, "N" + "n" * 119),
    ],
)
def test_a_new_adapter_has_the_title_that_its_file_gives(
    hub: Hub, fake: FakeHub, tmp_path: Path, metadata: dict[str, str], title: str
) -> None:
    place = tmp_path / "hard_noir-v2.safetensors"
    place.write_bytes(kohya(DENOISERS["sd1", "diffusers"], metadata=metadata))
    hub.push(place, "ada/noir")
    assert fake.adapters["ada/noir"]["title"] == title


def test_same_file_again_sends_nothing_and_gives_the_same_version(
    hub: Hub, fake: FakeHub, lora: Path
) -> None:
    first = hub.push(lora, "ada/noir")
    sent = fake.body_bytes
    second = hub.push(str(lora), "ada/noir")
    assert second.version.revision == first.version.revision
    assert fake.body_bytes == sent
    assert len(fake.requests("POST .*/adapters$")) == 1


def test_refused_file_is_never_sent(hub: Hub, fake: FakeHub, tmp_path: Path) -> None:
    place = tmp_path / "evil.safetensors"
    place.write_bytes(b"\x80\x04\x95pickle")
    with pytest.raises(errors.UploadRefused, match=r"evil\.safetensors") as caught:
        hub.push(place, "ada/noir")
    assert caught.value.findings[0].severity == "error"
    assert fake.seen == []


def test_missing_file_is_said_before_anything_is_sent(
    hub: Hub, fake: FakeHub, tmp_path: Path
) -> None:
    for place in (tmp_path / "nothing.safetensors", tmp_path, tmp_path / "nothing.json"):
        with pytest.raises(errors.FileMissing):
            hub.push(place, "ada/noir")
    with pytest.raises(errors.Invalid):
        hub.push([], "ada/noir")
    assert fake.seen == []


def test_files_that_belong_together_become_one_version(
    hub: Hub, lora: Path, tmp_path: Path
) -> None:
    card = tmp_path / "README.md"
    card.write_text("# Noir")
    pushed = hub.push([lora, card], "ada/noir")
    assert [file.path for file in pushed.version.files] == ["noir.safetensors", "README.md"]
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "readme.md").touch()
    with pytest.raises(errors.Invalid, match="same name"):
        hub.push([card, tmp_path / "x" / "readme.md"], "ada/noir")


def test_large_file_goes_by_parts(hub: Hub, fake: FakeHub, large: Path) -> None:
    reports: list[Progress] = []
    hub.push(large, "ada/large", on_progress=reports.append)
    size = large.stat().st_size
    numbers = sorted(int(seen.path.rpartition("/")[2]) for seen in fake.requests("PUT .*parts"))
    assert numbers == list(range(1, -(-size // fake.part_bytes) + 1))
    assert fake.blobs[hashlib.sha256(large.read_bytes()).hexdigest()] == large.read_bytes()
    sent = [report.done for report in reports if report.stage == "send"]
    assert sent == sorted(sent)
    assert sent[-1] == size


def test_part_that_arrives_damaged_is_sent_again(hub: Hub, fake: FakeHub, large: Path) -> None:
    fake.damaged_parts = [2]
    hub.push(large, "ada/large")
    assert len(fake.requests("parts/2$")) == 2


def test_part_that_always_arrives_damaged_ends_the_push(
    hub: Hub, fake: FakeHub, large: Path
) -> None:
    fake.damaged_parts = [1] * 9
    with pytest.raises(errors.Corrupt, match="damaged"):
        hub.push(large, "ada/large")


def test_broken_line_costs_one_part(hub: Hub, fake: FakeHub, large: Path) -> None:
    reports: list[Progress] = []
    fake.answers = [("parts/1$", 503, {}, b"")]
    hub.push(large, "ada/large", on_progress=reports.append)
    assert len(fake.requests("parts/1$")) == 2
    assert max(report.done for report in reports if report.stage == "send") == large.stat().st_size


def test_push_of_an_earlier_run_goes_on(hub: Hub, fake: FakeHub, large: Path) -> None:
    data = large.read_bytes()
    fake.answers = [("parts/2$", 403, {}, b"{}")]
    with pytest.raises(errors.Forbidden):
        hub.push(large, "ada/large")
    held = next(iter(fake.uploads.values()))["held"]
    assert 2 not in held
    held[1] = data[: fake.part_bytes]
    held[3] = b"of another file".ljust(fake.part_bytes)
    fake.seen.clear()
    hub.push(large, "ada/large")
    numbers = {int(seen.path.rpartition("/")[2]) for seen in fake.requests("PUT .*parts")}
    assert 1 not in numbers
    assert {2, 3} <= numbers
    assert len(fake.requests("POST .*/uploads$")) == 0
    assert fake.blobs[hashlib.sha256(data).hexdigest()] == data


def test_push_of_a_decomposed_name_goes_on(hub: Hub, fake: FakeHub, large: Path) -> None:
    """Some systems name files in NFD; the hub keeps names in NFC."""
    place = large.rename(large.with_name("e\u0301te\u0301.safetensors"))
    fake.answers = [("parts/2$", 403, {}, b"{}")]
    with pytest.raises(errors.Forbidden):
        hub.push(place, "ada/large")
    pushed = hub.push(place, "ada/large")
    assert len(fake.requests("POST .*/uploads$")) == 1
    assert [file.path for file in pushed.version.files] == ["\u00e9t\u00e9.safetensors"]


def test_names_that_differ_by_composition_alone_are_refused(
    hub: Hub, fake: FakeHub, tmp_path: Path
) -> None:
    places = [tmp_path / "a" / "\u00e9.md", tmp_path / "b" / "E\u0301.md"]
    for place in places:
        place.parent.mkdir()
        place.touch()
    with pytest.raises(errors.Invalid, match="same name"):
        hub.push(places, "ada/noir")
    assert fake.seen == []


def test_killed_push_sends_only_the_rest(
    fake: FakeHub, environment: dict[str, str], large: Path
) -> None:
    command = [*CLI, "push", str(large), "--to", "ada/large", "--json"]
    fake.part_bytes = 64 * 1024
    fake.put_pause_s = 0.1
    first = subprocess.Popen(command, env=environment, stdout=-1, stderr=-1)
    deadline = time.monotonic() + 20
    while len(fake.requests("PUT ")) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    time.sleep(0.3)
    before = fake.body_bytes
    assert 0 < before < large.stat().st_size
    fake.put_pause_s = 0
    done = subprocess.run(command, env=environment, capture_output=True, timeout=60, check=True)
    assert json.loads(done.stdout)["version"] == "v1"
    assert fake.body_bytes == large.stat().st_size


def test_lost_answer_to_a_whole_file_is_made_good(hub: Hub, fake: FakeHub, lora: Path) -> None:
    """The hub has the bytes and says so when they are sent again."""
    source = Source.of(lora)
    taken = b'{"code":"wrong_state","detail":"Already here"}'
    fake.answers = [("content$", 409, {}, taken)]
    number = "11111111-1111-1111-1111-111111111111"
    fake.uploads[number] = {
        "id": number, "path": source.path, "size": source.size_bytes, "sha256": source.sha256,
        "state": "receiving", "held": {1: lora.read_bytes()}, "findings": [], "polls": 0,
    }  # fmt: skip
    fake.on_answer = lambda: fake.uploads[number].update(state="checking")
    assert hub.push(lora, "ada/noir").version.name == "v1"


def test_refusal_after_the_checks_carries_findings(hub: Hub, fake: FakeHub, lora: Path) -> None:
    fake.verdict = [WARNING, ERROR]
    with pytest.raises(errors.UploadRefused, match="holds NaN") as caught:
        hub.push(lora, "ada/noir")
    assert [found.code for found in caught.value.findings] == ["odd", "tensor_nan"]
    assert "ada/noir" not in fake.adapters


@pytest.mark.parametrize("is_lost", [False, True])
def test_other_bytes_than_announced_are_told_by_the_checks(
    hub: Hub, fake: FakeHub, large: Path, is_lost: bool
) -> None:
    told = ERROR | {"code": "digest_mismatch", "message": "Other bytes arrived."}
    fake.verdict = [told]
    if is_lost:  # the answer of `complete`, and the checks were done before it was asked again
        fake.answers = [("complete$", 409, {}, b'{"code":"wrong_state","detail":"Refused"}')]
        fake.on_answer = lambda: next(iter(fake.uploads.values())).update(
            state="refused", findings=[told]
        )
    with pytest.raises(errors.DigestMismatch, match="Other bytes") as caught:
        hub.push(large, "ada/large")
    assert [found.code for found in caught.value.findings] == ["digest_mismatch"]


def test_warnings_are_returned_once(hub: Hub, fake: FakeHub, lora: Path) -> None:
    fake.verdict = [WARNING, WARNING]
    pushed = hub.push(lora, "ada/noir")
    assert [found.code for found in pushed.findings].count("odd") == 1


def test_checks_are_waited_for(hub: Hub, fake: FakeHub, lora: Path, waits: list[float]) -> None:
    fake.checks = 6
    reports: list[Progress] = []
    hub.push(lora, "ada/noir", on_progress=reports.append)
    assert len(waits) == 6
    assert waits == sorted(waits)
    assert [r.done for r in reports if r.stage == "check"] == [0, 1, 2, 3, 4, 5]


def test_checks_that_never_end_are_left(
    hub: Hub, fake: FakeHub, lora: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.checks = 10**9
    monkeypatch.setattr(upload, "_CHECK_TIMEOUT_S", 0.05)
    with pytest.raises(errors.UploadNotReady):
        hub.push(lora, "ada/noir")


def test_version_waits_for_an_upload_that_is_not_ready(
    hub: Hub, fake: FakeHub, lora: Path, waits: list[float]
) -> None:
    later = b'{"code":"upload_not_ready","detail":"Soon"}'
    fake.answers = [("versions$", 409, {}, later)] * 2
    assert hub.push(lora, "ada/noir").version.name == "v1"
    assert waits[-2:] == [0.5, 0.5]


def test_private_file_does_not_join_a_public_adapter(hub: Hub, fake: FakeHub, lora: Path) -> None:
    hub.push(lora, "ada/noir")
    fake.seen.clear()
    with pytest.raises(errors.VisibilityDiffers, match="Nothing was sent"):
        hub.push(lora, "ada/noir", details=Details(visibility="private"))
    assert {seen.method for seen in fake.seen} == {"GET"}


def test_adapter_of_another_is_refused_before_bytes_travel(
    hub: Hub, fake: FakeHub, lora: Path
) -> None:
    fake.adapters["bob/noir"] = fake.adapter("bob/noir", can_write=False)
    with pytest.raises(errors.Forbidden, match="Nothing was sent"):
        hub.push(lora, "bob/noir")
    assert {seen.method for seen in fake.seen} == {"GET"}


def test_adapter_that_somebody_made_meanwhile_is_used(hub: Hub, fake: FakeHub, lora: Path) -> None:
    fake.adapters["ada/noir"] = fake.adapter("ada/noir")
    fake.answers = [("adapters/ada/noir$", 404, {}, b'{"code": "not_found"}')]
    assert hub.push(lora, "ada/noir").version.name == "v1"


def test_name_that_is_kept_from_everyone_is_refused(hub: Hub, fake: FakeHub, lora: Path) -> None:
    fake.answers = [("adapters$", 409, {}, b'{"code":"name_taken","detail":"Taken."}')]
    with pytest.raises(errors.NameTaken):
        hub.push(lora, "ada/noir")


def test_someone_elses_name_is_forbidden_before_anything_is_sent(
    hub: Hub, fake: FakeHub, lora: Path
) -> None:
    with pytest.raises(errors.Forbidden) as caught:
        hub.push(lora, "bob/noir")
    assert isinstance(caught.value, PermissionError)
    assert fake.uploads == {}


def test_interrupted_push_ends_at_once_though_the_hub_stalls(
    fake: FakeHub, environment: dict[str, str], large: Path
) -> None:
    fake.put_pause_s = 30
    command = [*CLI, "push", str(large), "--to", "ada/large"]
    process = subprocess.Popen(command, env=environment, stdout=-1, stderr=-1, text=True)
    deadline = time.monotonic() + 20
    while len(fake.requests("PUT ")) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=10)
    assert (process.returncode, out) == (130, "")
    assert err.strip() == (
        "lorary: interrupted. The hub keeps the parts of large.safetensors that have arrived. "
        "Run the same command again to resume."
    )


def test_without_a_token_nobody_pushes(
    fake: FakeHub, lora: Path, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LORARY_TOKEN")
    ran = run("push", lora, "--to", "ada/noir", "--json")
    assert ran.code == 4
    assert ran.document["error"]["code"] == "not_authenticated"
    assert TOKEN not in str(fake.seen)


def test_file_that_changes_while_it_is_sent_is_not_published(
    hub: Hub, fake: FakeHub, large: Path
) -> None:
    def touch(progress: Progress) -> None:
        if progress.stage == "send" and progress.done > fake.part_bytes:
            large.touch()

    with pytest.raises(errors.Corrupt, match="changed while it was sent"):
        hub.push(large, "ada/large", on_progress=touch)
    assert fake.versions == {}


def test_file_that_shrinks_while_it_is_sent_is_not_published(
    hub: Hub, fake: FakeHub, large: Path
) -> None:
    def shrink(progress: Progress) -> None:
        if progress.stage == "send" and progress.done:
            large.write_bytes(b"")

    # All parts may have been read before it shrinks; it is noticed at the end then.
    with pytest.raises(errors.Corrupt, match=r"shorter|changed while it was sent"):
        hub.push(large, "ada/large", on_progress=shrink)
    assert fake.versions == {}


def states(fake: FakeHub, *names: str) -> None:
    """Let the previews of the next version go through these states."""
    fake.preview_states = list(names)


def test_wait_follows_the_previews(hub: Hub, fake: FakeHub, lora: Path, waits: list[float]) -> None:
    states(fake, "queued", "waiting", "running", "ready")
    pushed = hub.push(lora, "ada/noir", wait=True)
    assert pushed.version.previews.state == "ready"
    assert len(waits) >= 3


@pytest.mark.parametrize("last", ["failed", "waiting", "none"])
def test_wait_ends_where_nothing_more_will_come(
    hub: Hub, fake: FakeHub, lora: Path, last: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publishing, "_PATIENCE_S", dict.fromkeys(publishing._PATIENCE_S, 0.01))
    states(fake, "queued", last)
    assert hub.push(lora, "ada/noir", wait=True).version.previews.state == last


def test_the_command_says_what_it_waits_for(
    fake: FakeHub, lora: Path, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publishing, "_PATIENCE_S", {"waiting": 0.7})
    fake.preview_reason = "waiting for a worker for Miniature"
    states(fake, "queued", "waiting")
    ran = run("push", lora, "--to", "ada/noir", "--wait")
    assert ran.code == 0
    said = ran.err.splitlines()
    assert said.count("lorary: waiting for the previews") == 1
    assert said.count("lorary: waiting for a worker for Miniature") == 1
    assert said[-1] == "lorary: the previews are waiting: waiting for a worker for Miniature"


def test_wait_ends_at_once_if_previews_are_off(
    fake: FakeHub, lora: Path, run: Any, waits: list[float]
) -> None:
    fake.preview_reason = "previews are off on this hub"
    states(fake, "none")
    ran = run("push", lora, "--to", "ada/noir", "--wait")
    assert ran.code == 0
    assert ran.err.splitlines()[-1] == "lorary: previews are off on this hub"
    assert "waiting" not in ran.err.replace("waiting for the previews", "")
    assert sum(waits) < 2


def test_wait_ends_when_time_is_up(
    hub: Hub, fake: FakeHub, lora: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publishing, "_PREVIEWS_TIMEOUT_S", 0.05)
    states(fake, "running")
    assert hub.push(lora, "ada/noir", wait=True).version.previews.state == "running"
