"""The Xet endpoints, asked by hand as ``hf_xet`` asks them."""

from __future__ import annotations

import dataclasses
import random
from typing import TYPE_CHECKING

import pytest

from hub.http.throttles import WriteThrottle
from hub.protocols.huggingface.xet import assembling, endpoints
from registry.accounts import quotas
from registry.adapters import services as adapters
from registry.jobs import leases
from registry.models import Namespace, Upload, UploadState
from registry.uploads import by_digest, check
from tests.builders.xet import file_records, name_of, shard, xorb
from tests.protocols.xet_senders import Sender, content, digest, sender_of, waiting

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client

    from registry.models import Adapter, User

pytestmark = pytest.mark.django_db


@pytest.fixture
def adapter(ada: User) -> Adapter:
    return adapters.create(actor=ada, name="noir", title="Noir", kind="style")


@pytest.fixture
def sender(adapter: Adapter, as_ada: Client) -> Sender:
    return sender_of(as_ada)


def test_files_come_in_whole_and_can_be_named(sender: Sender, ada: User, lora: bytes) -> None:
    other = content(1)
    assert sender.files(lora, other).json() == {"result": 1}
    assert not waiting()
    upload = by_digest.assign_path(actor=ada, sha256=digest(lora), path="noir.safetensors")
    assert check.run_checks(upload=upload).state == UploadState.ACCEPTED
    assert by_digest.begin(actor=ada, sha256=digest(other), size_bytes=len(other)) is None


def test_a_file_may_take_chunks_from_anywhere_and_twice(sender: Sender, ada: User) -> None:
    chunks = [content(seed, 1000 + seed) for seed in range(4)]
    one = sender.xorb(xorb(*chunks[:3], scheme=0))
    two = sender.xorb(xorb(chunks[3]))
    whole = chunks[1] + chunks[3] + chunks[1] + chunks[2] + chunks[0]
    segments = [
        (one, len(chunks[1]), 1, 2),
        (two, len(chunks[3]), 0, 1),
        (one, len(chunks[1]) + len(chunks[2]), 1, 3),
        (one, len(chunks[0]), 0, 1),
    ]
    body = shard(file_records(digest(whole), segments, is_verified=False))
    assert sender.post("/v1/shards", body).status_code == 200
    assert by_digest.begin(actor=ada, sha256=digest(whole), size_bytes=len(whole)) is None


def test_a_shard_that_is_sent_again_is_fine(sender: Sender) -> None:
    body = sender.shard(content(1))
    for _ in range(2):
        assert sender.post("/v1/shards", body).json() == {"result": 1}
    assert Upload.objects.count() == 1


def test_a_chunk_that_is_named_over_and_over_is_refused(sender: Sender, ada: User) -> None:
    zeros = bytes(128 * 1024)
    name = sender.xorb(xorb(zeros))
    body = shard(file_records(digest(zeros * 512), [(name, len(zeros), 0, 1)] * 512))
    refused = sender.post("/v1/shards", body)
    assert refused.status_code == 413
    assert "at most 32 times" in refused.headers["X-Error-Message"]
    assert quotas.used_by(Namespace.objects.get(user=ada)) == 0
    body = shard(file_records(digest(zeros * 4), [(name, len(zeros), 0, 1)] * 4))
    assert sender.post("/v1/shards", body).status_code == 413  # 512 kB of 1 kB


def test_the_ratio_of_files_to_bytes_received_is_a_setting(
    sender: Sender, own_settings: Callable[..., None]
) -> None:
    own_settings(xet_ratio=10_000)
    zeros = bytes(128 * 1024)
    name = sender.xorb(xorb(zeros))
    body = shard(file_records(digest(zeros * 4), [(name, len(zeros), 0, 1)] * 4))
    assert sender.post("/v1/shards", body).status_code == 200


def test_refused_shards_count_towards_the_ratio_of_their_upload(
    sender: Sender, own_settings: Callable[..., None]
) -> None:
    own_settings(xet_ratio=4)
    data = content(1, 100_000)
    name = sender.xorb(xorb(data, scheme=0))
    wrong = shard(file_records("ab" * 32, [(name, len(data), 0, 1)] * 2))  # 200 kB, then refused
    right = shard(file_records(digest(data), [(name, len(data), 0, 1)]))
    codes = [sender.post("/v1/shards", wrong).status_code for _ in range(4)]
    assert codes == [422, 422, 413, 413]
    assert sender.post("/v1/shards", right).status_code == 413
    sender.xorb(xorb(content(2, 100_000), scheme=0))  # what comes gives room
    assert sender.post("/v1/shards", right).status_code == 200
    assert not waiting()


def test_xorbs_that_wait_need_room_in_the_quota(sender: Sender, ada: User) -> None:
    Namespace.objects.filter(user=ada).update(quota_bytes=5_000)
    assert sender.post(*named(xorb(content(1, 4_000), scheme=0))).status_code == 200
    refused = sender.post(*named(xorb(content(2, 4_000), scheme=0)))
    assert (refused.status_code, len(waiting())) == (413, 1)
    assert "larger quota" in refused.headers["X-Error-Message"]


def named(data: bytes) -> tuple[str, bytes]:
    return f"/v1/xorbs/default/{name_of(data)}", data


def test_writes_of_a_user_are_counted(
    sender: Sender, own_settings: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(WriteThrottle, "timer", lambda _self: 1200.0)
    own_settings(writes_per_minute=2)
    answers = [sender.post(*named(xorb(content(seed, 100)))) for seed in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[2].headers["Retry-After"] == "60"


def test_a_xorb_that_is_sent_again_is_told_so(sender: Sender) -> None:
    data = xorb(b"noir")
    path = f"/v1/xorbs/default/{name_of(data)}"
    assert sender.post(path, data).json() == {"was_inserted": True}
    assert sender.post(path, data).json() == {"was_inserted": False}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/chunks/default/" + "ab" * 32),
        ("POST", "/v1/xorb-grants/default/" + "ab" * 32),
        ("POST", "/v2/shards"),
        ("GET", "/v1/reconstructions/" + "ab" * 32),
        ("POST", "/v1/xorbs/other/" + "ab" * 32),
        ("POST", ""),
    ],
)
def test_other_calls_do_not_exist(sender: Sender, method: str, path: str) -> None:
    answer = sender.client.generic(method, sender.place + path, b"{}")
    assert answer.status_code == 404
    assert answer.json()["code"] == "not_found"


def test_telemetry_is_listened_to(sender: Sender) -> None:
    assert sender.post("/v1/telemetry", b"{}").status_code == 200
    assert dataclasses.replace(sender, place="").post("/v1/telemetry", b"{}").status_code == 200
    assert sender.post("/v1/telemetry", bytes(2**20 + 1)).status_code == 413


def test_what_clients_ask_in_vain_is_no_warning(
    sender: Sender, as_ada: Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("WARNING")
    sender.client.get(f"{sender.place}/v1/chunks/default/{'ab' * 32}")
    assert not caplog.records
    as_ada.get("/api/models/ada/absent/xet-write-token/main")
    sender.client.post(f"{sender.place}/v1/shards", b"", content_type="text/plain")
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]


@pytest.mark.parametrize("size", [1, 7, 40, 60])
def test_bytes_that_are_no_xorb_are_refused(sender: Sender, size: int) -> None:
    answer = sender.post(f"/v1/xorbs/default/{'ab' * 32}", b"\1" * size)
    assert answer.status_code == 400
    assert answer.json()["error"]
    assert not waiting()


@pytest.mark.parametrize("size", [1, 47, 48, 1000])
def test_bytes_that_are_no_shard_are_refused(sender: Sender, size: int) -> None:
    answer = sender.post("/v1/shards", b"\1" * size)
    assert answer.status_code == 400
    assert answer.json()["error"]


def test_what_is_too_long_is_refused_unread(
    sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoints, "MAX_SHARD_BYTES", 20)
    monkeypatch.setattr(endpoints, "MAX_XORB_BYTES", 20)
    for path in ("/v1/shards", f"/v1/xorbs/default/{'ab' * 32}"):
        assert sender.post(path, bytes(21)).status_code == 413
        assert sender.post(path, bytes(20)).status_code == 400


def test_a_length_has_to_be_announced(sender: Sender) -> None:
    answer = sender.client.generic(
        "POST", sender.place + "/v1/shards", b"", CONTENT_LENGTH="",
        headers={"Authorization": f"Bearer {sender.secret}"},
    )  # fmt: skip
    assert answer.status_code == 411


def test_other_bytes_than_the_shard_says_are_refused_and_the_rest_stays(
    sender: Sender, ada: User
) -> None:
    good, bad = content(1), content(2)
    first = sender.shard(good)
    wrong = sender.shard(bad, sha256=digest(b"other"))
    records = first[48 : first.index(b"\xff" * 32)] + wrong[48 : wrong.index(b"\xff" * 32)]
    answer = sender.post("/v1/shards", shard(records))
    assert answer.status_code == 422
    assert answer.json()["code"] == "digest_mismatch"
    assert by_digest.begin(actor=ada, sha256=digest(good), size_bytes=len(good)) is None
    assert set(Upload.objects.values_list("state", flat=True)) == {"receiving", "cancelled"}
    assert len(waiting()) == 4
    assert sender.post("/v1/shards", first).status_code == 200


def test_a_file_without_its_sha256_is_refused(sender: Sender) -> None:
    name = sender.xorb(xorb(b"noir"))
    answer = sender.post("/v1/shards", shard(file_records(None, [(name, 4, 0, 1)])))
    assert answer.status_code == 400
    assert "no sha256" in answer.json()["error"]


def test_chunks_that_are_missing_are_named(sender: Sender) -> None:
    body = shard(file_records(digest(b"noir"), [("ab" * 32, 4, 0, 1)]))
    answer = sender.post("/v1/shards", body)
    assert answer.status_code == 400
    assert "abababab" in answer.json()["error"]
    assert not Upload.objects.filter(state=UploadState.RECEIVING).exists()


def test_limits_of_files_hold_before_anything_is_put_together(
    sender: Sender, own_settings: Callable[..., None]
) -> None:
    own_settings(max_file_bytes=2**20)
    name = sender.xorb(xorb(*[bytes(100_000)] * 11))
    body = shard(file_records("cd" * 32, [(name, 1_100_000, 0, 11)]))
    answer = sender.post("/v1/shards", body)
    assert answer.status_code == 413
    assert not Upload.objects.exists()


def test_a_bomb_of_repeated_chunks_is_refused(sender: Sender) -> None:
    name = sender.xorb(xorb(*[bytes(100_000)] * 100))
    body = shard(file_records("cd" * 32, [(name, 10_000_000, 0, 100)] * 1000))
    assert len(body) < 100_000
    answer = sender.post("/v1/shards", body)  # 10 GB
    assert answer.status_code == 413


def test_many_large_files_of_few_chunks_are_refused(
    sender: Sender, own_settings: Callable[..., None]
) -> None:
    own_settings(xet_bytes=2**20)
    name = sender.xorb(xorb(bytes(100_000)))
    records = [file_records(f"{n:064x}", [(name, 100_000, 0, 1)] * 10) for n in range(3)]
    answer = sender.post("/v1/shards", shard(*records))
    assert answer.status_code == 413
    assert "fewer files at a time" in answer.json()["error"]
    assert not Upload.objects.exists()


def test_who_has_too_much_waiting_is_told(
    sender: Sender, own_settings: Callable[..., None]
) -> None:
    own_settings(xet_bytes=1000)
    answer = sender.post(f"/v1/xorbs/default/{'ab' * 32}", xorb(content(1, 2000)))
    assert answer.status_code == 413
    assert "of unfinished uploads" in answer.json()["error"]
    assert not waiting()


def test_a_busy_session_is_worth_another_try(sender: Sender) -> None:
    body = sender.shard(content(1))
    with leases.holding(f"xet {sender.place.rpartition('/')[2]}"):
        answer = sender.post("/v1/shards", body)
        assert answer.status_code == 503
        assert int(answer.headers["Retry-After"]) > 0
    assert sender.post("/v1/shards", body).status_code == 200


def test_xorbs_stay_behind_a_shard_that_may_be_one_of_several(
    sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(assembling, "LONG_BYTES", 100)
    first, second = sender.shard(content(1)), sender.shard(content(2))
    assert sender.post("/v1/shards", first).status_code == 200
    assert len(waiting()) == 4
    assert sender.post("/v1/shards", second).status_code == 200


def test_damaged_bodies_are_refused_or_taken_and_break_nothing(sender: Sender) -> None:
    chance, seen = random.Random(6), set()
    bodies = {
        "/v1/shards": sender.shard(content(1, 9000)),
        f"/v1/xorbs/default/{'ab' * 32}": xorb(b"noir" * 99, b"blanc" * 99, scheme=2),
    }
    for path, whole in bodies.items():
        for _ in range(80):
            data = bytearray(whole)
            for _ in range(chance.randint(1, 4)):
                data[chance.randrange(len(data))] = chance.randrange(256)
            del data[chance.choice([len(data), chance.randrange(1, len(data))]) :]
            seen.add(sender.post(path, bytes(data)).status_code)
    assert {200, 400} <= seen <= {200, 400, 413, 422}
    assert not Upload.objects.filter(state=UploadState.RECEIVING, parts__isnull=True).exists()
