"""One's uploads on the command line: listed, cancelled, gone on with."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest

from lorary.cli.output.text import share_of_bytes
from lorary.client import Holder, errors
from lorary.client.transfers.upload import Source
from tests.client.conftest import sha

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lorary.client import Hub
    from tests.client.conftest import Ran
    from tests.client.fakehub import FakeHub

    Run = Callable[..., Ran]

FINDING = {"code": "tensor_nan", "severity": "error", "message": "Holds NaN.", "evidence": {}}


def begin(fake: FakeHub, number: str, state: str = "receiving", **more: Any) -> None:
    """Let the hub have an upload of 2 kB, half of which is there."""
    fake.uploads[number] = {
        "id": number, "path": f"{number}.safetensors", "size": 2000, "sha256": None,
        "state": state, "held": {1: bytes(1000)}, "findings": [], "polls": 0, **more,
    }  # fmt: skip


def test_uploads_are_listed_with_what_to_do_next(run: Run, fake: FakeHub) -> None:
    begin(fake, "open")
    begin(fake, "old", "expired")
    begin(fake, "bad", "refused", findings=[FINDING])
    ran = run("uploads")
    lines = {line.split()[0]: " ".join(line.split()[1:]) for line in ran.out.splitlines()}
    assert ran.code == 0
    assert lines["open"].startswith("open.safetensors receiving until 2026-01-09 1.0 of 2.0 kB")
    assert lines["open"].endswith("push it again to resume")
    assert lines["old"].endswith("expired 2.0 kB push it again to start over")
    assert lines["bad"].endswith("refused 2.0 kB Holds NaN.")


@pytest.mark.parametrize("refused", [set(), {"unfinished"}], ids=["this hub", "an earlier release"])
def test_a_push_goes_on_with_an_interrupted_upload(
    run: Run, fake: FakeHub, lora: Path, refused: set[str]
) -> None:
    fake.refused_parameters = refused
    source = Source.of(lora)
    begin(fake, "begun", path=lora.name, size=source.size_bytes, sha256=source.sha256, held={})
    assert run("push", lora, "--to", "ada/noir").code == 0
    assert [*fake.uploads] == ["begun"]


def test_an_upload_says_which_version_has_it(run: Run, fake: FakeHub, hub: Hub) -> None:
    held = {"adapter": "ada/noir", "version": "v3", "state": "published", "url": "https://h/x"}
    begin(fake, "used", "accepted", version={**held, "api_url": "https://h/api"})
    begin(fake, "waits", "accepted", version=None)
    begin(fake, "elder", "accepted")  # a hub that does not say
    begin(fake, "card", "accepted", version=None, adapter="ada/noir")
    lines = run("uploads").out.splitlines()
    assert lines[0].endswith("published: ada/noir@v3")
    assert lines[1].endswith("push it again to publish it")
    assert lines[3].endswith("committed: ada/noir")
    told = [(one["version"], one["adapter"]) for one in run("uploads", "--json").documents]
    assert told == [(held, None), (None, None), (None, None), (None, "ada/noir")]
    first = next(iter(hub.uploads())).version
    assert first == Holder("ada/noir", "v3", "published", "https://h/x")


def test_uploads_for_programs_are_a_line_each(run: Run, fake: FakeHub) -> None:
    begin(fake, "open")
    begin(fake, "bad", "refused", findings=[FINDING])
    ran = run("uploads", "--json")
    one, other = ran.documents
    assert (one["id"], one["received"], one["size"], one["state"]) == (
        "open", 1000, 2000, "receiving",
    )  # fmt: skip
    assert one["expires_at"] == "2026-01-09T03:04:05Z"
    assert [found["code"] for found in other["findings"]] == ["tensor_nan"]
    assert [one["id"] for one in run("uploads", "--all-open", "--json").documents] == ["open"]


def test_nothing_sent_is_said(run: Run) -> None:
    ran = run("uploads")
    assert (ran.code, ran.out, ran.err.strip()) == (0, "", "lorary: no uploads")


def test_a_cut_list_says_so(run: Run, fake: FakeHub) -> None:
    for number in "abc":
        begin(fake, number)
    ran = run("uploads", "--limit", 2)
    assert len(ran.out.splitlines()) == 2
    assert "these are the newest 2; --limit 0 shows all" in ran.err
    assert run("uploads", "--limit", -1).code == 2
    assert len(run("uploads", "--limit", 0).out.splitlines()) == 3


def test_uploads_are_cancelled_by_id(run: Run, fake: FakeHub) -> None:
    begin(fake, "one")
    begin(fake, "two")
    ran = run("uploads", "cancel", "--json", "one")
    assert (ran.code, ran.document) == (0, {"id": "one", "state": "cancelled"})
    absent = run("uploads", "cancel", "three")
    assert (absent.code, absent.out) == (3, "")
    assert "no upload “three”" in absent.err
    assert [upload["state"] for upload in fake.uploads.values()] == ["cancelled", "receiving"]
    assert run("uploads", "cancel", "nothing").code == 3


def test_all_open_uploads_are_cancelled_and_no_other(run: Run, fake: FakeHub) -> None:
    for number, state in (("a", "receiving"), ("b", "checking"), ("c", "accepted")):
        begin(fake, number, state)
    ran = run("uploads", "cancel", "--all-open")
    assert ran.out.splitlines() == ["Cancelled a.safetensors.", "Cancelled b.safetensors."]
    assert fake.uploads["c"]["state"] == "accepted"
    assert "no upload is open" in run("uploads", "cancel", "--all-open").err


def test_what_is_published_is_not_cancelled(run: Run, fake: FakeHub) -> None:
    begin(fake, "held", "accepted")
    ran = run("uploads", "cancel", "held", "--json")
    assert (ran.code, ran.document["error"]["code"]) == (1, "wrong_state")


@pytest.mark.parametrize("words", [["cancel"], ["cancel", "x", "--all-open"], ["keep"]])
def test_half_a_wish_is_no_wish(run: Run, fake: FakeHub, words: list[str]) -> None:
    begin(fake, "x")
    assert run("uploads", *words).code == 2
    assert fake.uploads["x"]["state"] == "receiving"


def test_a_push_says_that_it_goes_on(run: Run, fake: FakeHub, tmp_path: Path, lora: Path) -> None:
    data = lora.read_bytes()
    fake.part_bytes = len(data) // 3
    begin(fake, "half", path=lora.name, size=len(data), sha256=sha(data))
    fake.uploads["half"]["held"] = {1: data[: fake.part_bytes]}
    ran = run("push", lora, "--to", "ada/noir")
    there = share_of_bytes(fake.part_bytes, len(data))
    assert ran.code == 0
    assert f"resuming noir.safetensors: {there} was already uploaded" in ran.err
    fresh = tmp_path / "fresh.json"
    fresh.write_text(f'{{"seed": {random.Random(1).random()}}}')
    assert "going on" not in run("push", lora, fresh, "--to", "ada/fresh").err


def test_an_upload_that_expired_meanwhile_is_told(hub: Hub, fake: FakeHub, lora: Path) -> None:
    said = b'{"code":"wrong_state","detail":"It expired. Begin a new one.","state":"expired"}'
    fake.answers = [("parts/1$", 409, {}, said)]
    fake.part_bytes = lora.stat().st_size // 2
    with pytest.raises(errors.StateConflict, match="Begin a new one") as refusal:
        hub.push(lora, "ada/noir")
    assert refusal.value.facts["state"] == "expired"


def test_a_hub_lists_and_cancels_uploads(hub: Hub, fake: FakeHub) -> None:
    begin(fake, "one")
    (found,) = hub.uploads()
    assert (found.received_bytes, found.expires_at[:4]) == (1000, "2026")
    hub.cancel_upload(found)
    assert fake.uploads["one"]["state"] == "cancelled"


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [
        (3_200_000_000, 5_000_000_000, "3.2 of 5.0 GB"),
        (400_000_000, 5_000_000_000, "400.0 MB of 5.0 GB"),
        (0, 2000, "0 bytes of 2.0 kB"),
        (7, 9, "7 of 9 bytes"),
    ],
)
def test_a_share_has_one_unit_where_it_can(part: int, whole: int, text: str) -> None:
    assert share_of_bytes(part, whole) == text
