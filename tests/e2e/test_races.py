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
    # The version has the weights and README.md; the revision that it was drafted as is gone.
    assert (after["version"], after["file"]) == (before["version"] + 1, before["file"] + 2)
    assert eva.get("/api/v1/adapters/eva/same").document["latest_version"] == "v1"


def test_a_draft_is_published_once(eva: Caller) -> None:
    upload = eva.accepted(kohya(SD1, metadata={"race": "draft"}))
    assert eva.post("/api/v1/adapters", {"name": "draft"}).status == 201
    place = "/api/v1/adapters/eva/draft/versions"
    assert eva.post(place, {"uploads": [upload], "publish": False}).status == 201
    answers = at_once(lambda _: eva.post(f"{place}/v1/publish"))
    assert statuses(answers) == {200: 1, 409: MANY - 1}
    assert {answer.code for answer in answers if answer.status == 409} == {"already_published"}


@pytest.mark.long
def test_different_files_become_numbered_versions(eva: Caller) -> None:
    assert eva.post("/api/v1/adapters", {"name": "numbered"}).status == 201
    uploads = [
        eva.send(kohya(SD1, metadata={"number": str(n)})).document["id"] for n in range(MANY)
    ]
    assert {eva.final_state(upload) for upload in uploads} == {"accepted"}
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
    assert {eva.final_state(answer.document["id"]) for answer in answers} == {"accepted"}
    after = kept(quiet_hub)
    assert len(after.files) == len(before.files) + 1
    assert after.rows["blob"] == before.rows["blob"] + 1


def released(eva: Caller, name: str, count: int) -> str:
    """Publish an adapter with so many versions; returns its address."""
    place = f"/api/v1/adapters/eva/{name}"
    assert eva.post("/api/v1/adapters", {"name": name}).status == 201
    for number in range(count):
        upload = eva.accepted(kohya(SD1, metadata={name: str(number)}))
        assert eva.post(f"{place}/versions", {"uploads": [upload]}).status == 201
    return place


@pytest.mark.long
def test_an_alias_goes_to_one_of_those_who_saw_it_elsewhere(eva: Caller) -> None:
    place = released(eva, "pointed", 3)
    alias = f"{place}/aliases/stable"
    for seen in (None, "first"):
        expected = eva.get(alias).document["version"] if seen else None
        targets = [name for name in ("v1", "v2", "v3") if name != expected]
        answers = at_once(
            lambda n, to=targets, was=expected: eva.call(  # type: ignore[misc]  # bound at once
                "PUT", alias, {"to": to[n % len(to)], "expected": was}
            )
        )
        assert statuses(answers) == {200: 1, 409: MANY - 1}
        assert {answer.code for answer in answers if answer.status == 409} == {"conflict"}
        (winner,) = [answer.document["version"] for answer in answers if answer.status == 200]
        assert eva.get(alias).document["version"] == winner
    assert len(eva.get(f"{alias}/history").document["results"]) == 2


@pytest.mark.long
def test_a_version_is_withdrawn_for_one_reason(eva: Caller) -> None:
    place = released(eva, "regretted", 1)
    answers = at_once(
        lambda n: eva.post(f"{place}/versions/v1/withdraw", {"reason": f"Reason {n}."})
    )
    assert statuses(answers) == {200: 1, 409: MANY - 1}
    assert {answer.code for answer in answers if answer.status == 409} == {"wrong_state"}
    (reason,) = [answer.document["reason"] for answer in answers if answer.status == 200]
    again = at_once(lambda _: eva.post(f"{place}/versions/v1/withdraw", {"reason": reason}))
    assert statuses(again) == {200: MANY}


@pytest.mark.long
def test_a_publication_and_the_end_of_its_adapter_leave_nothing_half_done(eva: Caller) -> None:
    place = released(eva, "ended", 1)
    uploads = [eva.accepted(kohya(SD1, metadata={"late": str(n)})) for n in range(4)]

    def act(n: int) -> Answer:
        if n == MANY // 2:
            return eva.post(f"{place}/withdraw", {"reason": "Copied."})
        return eva.post(f"{place}/versions", {"uploads": [uploads[n % 4]]})

    answers = at_once(act)
    # Before it 200 and 201; after it gone, or a draft or an upload that went with it meanwhile.
    assert statuses(answers).keys() <= {200, 201, 404, 410, 422}
    states = [row["state"] for row in eva.get(f"{place}/versions").document["results"]]
    assert set(states) == {"withdrawn"}
    assert eva.get(place).status == 410
