"""Sixteen at once: one wins, the others are told so, nobody meets a locked database."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.builders.adapters import DENOISERS, kohya
from tests.e2e.talk import Answer, Caller, caller, kept

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.running import RunningHub

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

SD1 = DENOISERS["sd1", "diffusers"]
MANY = 16


@pytest.fixture(scope="module")
def eva(quiet_hub: RunningHub) -> Caller:
    return caller(quiet_hub, "eva")


def at_once(act: Callable[[int], Answer]) -> list[Answer]:
    with ThreadPoolExecutor(MANY) as pool:
        return list(pool.map(act, range(MANY)))


def statuses(answers: list[Answer]) -> Counter[int]:
    return Counter(answer.status for answer in answers)


def test_a_name_is_given_once(quiet_hub: RunningHub, eva: Caller) -> None:
    before = kept(quiet_hub).rows["adapter"]
    answers = at_once(lambda n: eva.post("/api/v1/adapters", {"name": "Race" if n % 2 else "race"}))
    assert statuses(answers) == {201: 1, 409: MANY - 1}
    assert {answer.code for answer in answers if answer.status == 409} == {"name_taken"}
    assert kept(quiet_hub).rows["adapter"] == before + 1


def test_the_same_files_become_one_version(quiet_hub: RunningHub, eva: Caller) -> None:
    upload = eva.accepted(kohya(SD1, metadata={"race": "same files"}))
    assert eva.post("/api/v1/adapters", {"name": "same"}).status == 201
    before = kept(quiet_hub).rows
    place = "/api/v1/adapters/eva/same/versions"
    answers = at_once(lambda _: eva.post(place, {"uploads": [upload]}))
    assert statuses(answers) == {201: 1, 200: MANY - 1}
    after = kept(quiet_hub).rows
    assert (after["version"], after["file"]) == (before["version"] + 1, before["file"] + 1)
    assert eva.get("/api/v1/adapters/eva/same").document["latest_version"] == "v1"


def test_a_draft_is_published_once(eva: Caller) -> None:
    upload = eva.accepted(kohya(SD1, metadata={"race": "draft"}))
    assert eva.post("/api/v1/adapters", {"name": "draft"}).status == 201
    place = "/api/v1/adapters/eva/draft/versions"
    assert eva.post(place, {"uploads": [upload], "publish": False}).status == 201
    answers = at_once(lambda _: eva.post(f"{place}/v1/publish"))
    assert statuses(answers) == {200: 1, 409: MANY - 1}
    assert {answer.code for answer in answers if answer.status == 409} == {"already_published"}


def test_different_files_become_numbered_versions(eva: Caller) -> None:
    assert eva.post("/api/v1/adapters", {"name": "numbered"}).status == 201
    uploads = [
        eva.send(kohya(SD1, metadata={"number": str(n)})).document["id"] for n in range(MANY)
    ]
    assert {eva.settled(upload) for upload in uploads} == {"accepted"}
    place = "/api/v1/adapters/eva/numbered/versions"
    answers = at_once(lambda n: eva.post(place, {"uploads": [uploads[n]]}))
    assert statuses(answers) == {201: MANY}
    numbers = {answer.document["version"] for answer in answers}
    assert numbers == {f"v{n}" for n in range(1, MANY + 1)}


def test_the_same_bytes_from_many_are_stored_once(quiet_hub: RunningHub, eva: Caller) -> None:
    data = kohya(SD1, metadata={"race": "bytes"})
    before = kept(quiet_hub)
    answers = at_once(lambda _: eva.send(data))
    assert statuses(answers) == {200: MANY}
    assert {eva.settled(answer.document["id"]) for answer in answers} == {"accepted"}
    after = kept(quiet_hub)
    assert len(after.files) == len(before.files) + 1
    assert after.rows["blob"] == before.rows["blob"] + 1
