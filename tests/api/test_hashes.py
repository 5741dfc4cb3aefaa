"""``/hashes``: which adapter a file is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hub.http.throttles import ScopeThrottle
from registry.adapters import services as adapters
from registry.blobs import by_hash
from registry.models import Adapter, BlobHash

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_django import DjangoAssertNumQueries

    from registry.models import User, Version
    from tests.api.conftest import Caller

pytestmark = pytest.mark.django_db


@pytest.fixture
def known(noir: Adapter, released: Callable[..., Version], lora: bytes) -> dict[str, str]:
    """Kind → hash of a published file."""
    released(noir, lora)
    return dict(BlobHash.objects.values_list("kind", "value"))


def test_a_hash_answers_with_version_and_file(stranger: Caller, known: dict[str, str]) -> None:
    for kind, value in known.items():
        told = stranger.send("get", f"hashes/{value.upper()}").json()
        assert told["hash"] == value.upper()
        (match,) = told["matches"]
        assert (match["kind"], match["hash"]) == (kind, value)
        assert (match["version"]["adapter"], match["version"]["version"]) == ("ada/noir", "v1")
        assert (match["file"]["path"], match["file"]["sha256"]) == (
            "noir.safetensors",
            known["sha256"],
        )
        assert match["file"]["download_url"].startswith("http://testserver/api/v1/adapters/ada/")


def test_what_is_not_here_is_not_found(stranger: Caller, known: dict[str, str]) -> None:
    answer = stranger.send("get", f"hashes/{'0' * 64}")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    answer = stranger.send("get", f"hashes/{known['sha256']}?kind=blake3")
    assert answer.status_code == 404
    assert stranger.send("get", f"hashes/{known['sha256']}?kind=sha256").status_code == 200


@pytest.mark.parametrize("path", ["hashes/xyz", "hashes/abc", "hashes/" + "a" * 63, "hashes/%00"])
def test_what_can_be_no_hash_is_refused(stranger: Caller, path: str) -> None:
    answer = stranger.send("get", path)
    assert answer.status_code in {404, 400}
    assert answer.json()["code"] in {"validation_failed", "not_found"}


def test_an_unknown_kind_is_refused(stranger: Caller, known: dict[str, str]) -> None:
    answer = stranger.send("get", f"hashes/{known['sha256']}?kind=md5")
    assert answer.status_code == 400
    assert "kind" in answer.json()["fields"]


def test_private_files_are_as_if_absent(
    ada: User, as_ada: Caller, as_bob: Caller, released: Callable[..., Version], lora: bytes
) -> None:
    released(adapters.create(actor=ada, name="mine", visibility="private"), lora)
    for value in BlobHash.objects.values_list("value", flat=True):
        assert as_bob.send("get", f"hashes/{value}").status_code == 404
        assert as_ada.send("get", f"hashes/{value}").status_code == 200
    asked = {"hashes": list(BlobHash.objects.values_list("value", flat=True))}
    results = as_bob.send("post", "hashes", asked).json()["results"]
    assert all(result["matches"] == [] for result in results)


def test_several_are_answered_in_their_order(stranger: Caller, known: dict[str, str]) -> None:
    asked = [known["autov2"].upper(), "0" * 12, known["crc32"], known["autov2"].upper()]
    answer = stranger.send("post", "hashes", {"hashes": asked})
    assert answer.status_code == 200
    results = answer.json()["results"]
    assert [result["hash"] for result in results] == asked
    assert [len(result["matches"]) for result in results] == [1, 0, 1, 1]
    only = stranger.send("post", "hashes", {"hashes": asked, "kind": "crc32"}).json()["results"]
    assert [len(result["matches"]) for result in only] == [0, 0, 1, 0]


BODIES = [
    {},
    {"hashes": []},
    {"hashes": ["0" * 64] * 2001},
    {"hashes": ["nothing"]},
    {"hashes": [1.5]},
    {"hashes": ["0" * 64], "kind": "md5"},
    {"hashes": ["a" * 64], "more": 1},
    {"hashes": "a" * 64},
]


def test_a_list_that_does_not_fit_is_refused(stranger: Caller, subtests: pytest.Subtests) -> None:
    for body in BODIES:
        with subtests.test(body=body):
            answer = stranger.send("post", "hashes", body)
            assert (answer.status_code, answer.json()["code"]) == (400, "validation_failed")


def test_a_version_tells_the_hashes_of_its_files(stranger: Caller, known: dict[str, str]) -> None:
    file = stranger.send("get", "adapters/ada/noir/versions/v1").json()["files"][0]
    assert {**file["hashes"], "sha256": file["sha256"]} == known
    assert file["claimed_hashes"] == {}


def test_two_thousand_hashes_are_answered_by_few_queries(
    stranger: Caller, known: dict[str, str], django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    asked = [f"{number:064x}" for number in range(1998)]
    asked[1000:1000] = [known["sha256"], known["data_sha256"]]
    with django_assert_max_num_queries(12):
        answer = stranger.send("post", "hashes", {"hashes": asked})
    assert answer.status_code == 200, answer.json()
    results = answer.json()["results"]
    assert [result["hash"] for result in results] == asked
    assert [n for n, result in enumerate(results) if result["matches"]] == [1000, 1001]


def test_the_hub_says_how_many_hashes_it_takes(
    stranger: Caller, own_settings: Callable[..., None]
) -> None:
    own_settings(max_hashes=3)
    assert stranger.send("post", "hashes", {"hashes": ["0" * 64] * 3}).status_code == 200
    answer = stranger.send("post", "hashes", {"hashes": ["0" * 64] * 4})
    assert (answer.status_code, answer.json()["code"]) == (400, "validation_failed")
    assert "at most 3 hashes" in answer.json()["detail"]


def test_many_hashes_count_as_several_searches(
    stranger: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ScopeThrottle, "THROTTLE_RATES", {"search": "60/min"})
    monkeypatch.setattr(ScopeThrottle, "timer", lambda _self: 1_000_000.0)
    asked = {"hashes": [f"{number:064x}" for number in range(2000)]}  # 136 kB, 17 searches
    codes = [stranger.send("post", "hashes", asked).status_code for _ in range(4)]
    assert codes == [200, 200, 200, 429]


def test_the_first_published_of_many_matches_are_told(
    ada: User, stranger: Caller, released: Callable[..., Version], lora: bytes,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(by_hash, "MAX_ROWS", 8)
    for number in range(4):
        released(adapters.create(actor=ada, name=f"noir{number}"), lora)
    known = list(BlobHash.objects.values_list("value", flat=True))[:4]
    results = stranger.send("post", "hashes", {"hashes": known}).json()["results"]
    for result in results:
        names = [match["version"]["adapter"] for match in result["matches"]]
        assert names == ["ada/noir0", "ada/noir1"]
