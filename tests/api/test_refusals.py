"""What must not come in: each attack answers with its code and leaves no bytes behind."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from registry.jobs import worker_process
from registry.models import SCHEMA, Blob, Job, Upload
from tests.builders.adapters import DENOISERS, kohya
from tests.builders.malformed import ATTACKS, FEW
from tests.builders.weights import safetensors

if TYPE_CHECKING:
    from collections.abc import Callable

    from registry.models import Adapter, User, Version
    from tests.api.conftest import Caller

pytestmark = pytest.mark.django_db(transaction=True)

Stored = "Callable[[], list[str]]"

CHECKPOINT = safetensors(
    {
        f"model.diffusion_model.{name}.weight": ("F16", (8, 8))
        for name in ("input_blocks.0.0", "middle_block.0.in_layers.2", "out.2")
    }
    | {"first_stage_model.decoder.conv_in.weight": ("F16", (8, 8))}
    | {"cond_stage_model.transformer.text_model.final_layer_norm.weight": ("F16", (8,))}
)
VAE = safetensors(
    {
        f"{side}.{name}.weight": ("F16", (8, 8, 3, 3))
        for side in ("encoder", "decoder")
        for name in ("conv_in", "conv_out", "mid.block_1.conv1", "mid_block.resnets.0.conv1")
    }
)
HOSTILE = {
    **{name: ATTACKS[name] for name in FEW},
    "checkpoint": (CHECKPOINT, "not_an_adapter"),
    "vae": (VAE, "not_an_adapter"),
}


def announce(caller: Caller, data: bytes, path: str = "noir.safetensors", **more: Any) -> Any:
    return caller.send("post", "uploads", {"path": path, "size": len(data), **more})


def send(caller: Caller, data: bytes, path: str = "noir.safetensors", **more: Any) -> Any:
    return caller.put_bytes(announce(caller, data, path, **more).json()["urls"]["content"], data)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused_and_gone(
    as_ada: Caller, stored: Callable[[], list[str]], name: str
) -> None:
    data, code = HOSTILE[name]
    answer = send(as_ada, data)
    told = answer.json()
    assert answer.status_code == 422
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert told["code"] == "upload_refused"
    assert told["status"] == 422
    assert code in [finding["code"] for finding in told["findings"]]
    assert stored() == []
    assert not Blob.objects.exists()
    assert not Job.objects.exists()


@pytest.mark.parametrize("name", FEW)
def test_looking_before_sending_finds_the_same(as_ada: Caller, name: str) -> None:
    data = ATTACKS[name].data
    answer = as_ada.send(
        "post",
        f"inspect?name=a.safetensors&size={len(data)}",
        data,
        content_type="application/octet-stream",
    )
    assert answer.status_code == 200
    told = answer.json()
    assert (told["schema"], told["file"]) == (SCHEMA, {"name": "a.safetensors"})
    assert told["error"]["code"] == ATTACKS[name].code


@pytest.mark.parametrize(
    ("path", "status", "codes"),
    [("train.log", 200, []), ("picture.png", 422, ["content_differs_from_name"])],
)
def test_an_empty_file_beside_the_weights_is_judged_by_its_kind(
    as_ada: Caller, path: str, status: int, codes: list[str]
) -> None:
    url = announce(as_ada, b"", path).json()["urls"]["content"]
    answer = as_ada.put_bytes(url, b"", CONTENT_LENGTH="0")
    assert (answer.status_code, [one["code"] for one in answer.json()["findings"]]) == (
        status,
        codes,
    )


@pytest.mark.parametrize("change", [1, 100_000, -1])
def test_another_number_of_bytes_than_declared_is_refused_and_gone(
    as_ada: Caller, stored: Callable[[], list[str]], lora: bytes, change: int
) -> None:
    place = announce(as_ada, lora).json()["urls"]["content"]
    answer = as_ada.put_bytes(place, lora + bytes(change) if change > 0 else lora[:change])
    assert (answer.status_code, answer.json()["code"]) == (422, "size_mismatch")
    assert answer.json()["expected"] == len(lora)
    assert stored() == []


PATHS = [
    "../noir.safetensors", "a/../../noir.safetensors", "/etc/noir.safetensors", "a//b.safetensors",
    "..\\noir.safetensors", "CON.safetensors", "a\u202eb.safetensors", "a\nb.safetensors",
    ".git/config.json", "x" * 252 + ".json",
]  # fmt: skip


def test_a_name_that_leaves_its_folder_is_refused(
    as_ada: Caller, subtests: pytest.Subtests
) -> None:
    for path in PATHS:
        with subtests.test(path=path):
            answer = as_ada.send("post", "uploads", {"path": path, "size": 10})
            assert answer.status_code == 400
            assert answer.json()["code"] in {"path_invalid", "validation_failed"}
            assert not Upload.objects.exists()


def test_numbers_that_are_not_finite_are_refused_by_the_deep_check(
    as_ada: Caller, stored: Callable[[], list[str]], lora: bytes
) -> None:
    data = lora[:-2] + b"\x00\x7e"
    upload = send(as_ada, data).json()
    worker_process.drain("checks")
    told = as_ada.send("get", upload["urls"]["self"]).json()
    assert told["state"] == "refused"
    assert "numbers_not_finite" in [finding["code"] for finding in told["findings"]]
    assert stored() == []
    body = {"uploads": [upload["id"]]}
    as_ada.send("post", "adapters", {"name": "noir"})
    answer = as_ada.send("post", "adapters/ada/noir/versions", body)
    assert (answer.status_code, answer.json()["code"]) == (422, "upload_refused")
    assert answer.json()["findings"] == told["findings"]


def test_a_private_adapter_is_as_if_absent_for_a_stranger(
    as_ada: Caller,
    as_bob: Caller,
    stranger: Caller,
    noir: Adapter,
    released: Callable[..., Version],
    lora: bytes,
) -> None:
    released(noir, lora)
    as_ada.send("patch", "adapters/ada/noir", {"visibility": "private"})
    places = ["", "/versions", "/versions/v1", "/versions/v1/files/noir.safetensors"]
    for caller in (as_bob, stranger):
        for place in places:
            answer = caller.send("get", f"adapters/ada/noir{place}")
            absent = caller.send("get", f"adapters/ada/absent{place}")
            assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
            said = {**answer.json(), "request_id": absent.json()["request_id"]}
            assert json.dumps(said).replace("noir", "absent", 1) == json.dumps(absent.json())
        assert caller.send("get", "adapters").json()["results"] == []
    assert as_bob.send("patch", "adapters/ada/noir", {"title": "x"}).status_code == 404
    for place in places:
        assert as_ada.send("get", f"adapters/ada/noir{place}").status_code == 200


BODIES = [
    b"{", b"[" * 100_000, b'{"name": NaN}', b"\xff\xfe", b'{"name": "\\ud800"}', b"[]", b'"x"',
    b"null", b'{"name": ["x"]}', b'{"name": "x", "titel": "typo"}', b'{"name": "a\\u0000b"}',
    b'{"name":' + b"9" * 5000 + b"}", b'{"name": "a/b"}', b'{"name": ""}', b'{"name": "-x"}',
]  # fmt: skip


def test_a_body_that_makes_no_sense_is_a_problem_of_the_caller(
    as_ada: Caller, ada: User, subtests: pytest.Subtests
) -> None:
    for body in BODIES:
        with subtests.test(body=body):
            answer = as_ada.send("post", "adapters", body)
            assert answer.status_code == 400
            assert answer.json()["code"] in {
                "malformed_request",
                "validation_failed",
                "name_invalid",
            }
            assert not ada.namespace.adapters.exists()


def test_a_large_json_body_is_refused_unread(as_ada: Caller) -> None:
    body = json.dumps({"name": "x", "card": "y" * 3_000_000})
    answer = as_ada.send("post", "adapters", body)
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


def test_inspection_takes_a_header_and_no_more(
    stranger: Caller, own_settings: Callable[..., None]
) -> None:
    own_settings(max_header_bytes=1000)
    big = stranger.send(
        "post", "inspect?size=9999", bytes(1009), content_type="application/octet-stream"
    )
    assert (big.status_code, big.json()["code"]) == (413, "too_large")
    long = stranger.send(
        "post", "inspect?size=10", bytes(20), content_type="application/octet-stream"
    )
    assert (long.status_code, long.json()["code"]) == (422, "size_mismatch")
    unsized = stranger.send("post", "inspect", b"x", content_type="application/octet-stream")
    assert (unsized.status_code, unsized.json()["fields"]) == (
        400,
        {"size": ["This field is required."]},
    )


def test_a_beginning_that_ends_within_the_header_is_no_damaged_file(stranger: Caller) -> None:
    data = kohya(DENOISERS["sd1", "diffusers"])
    needed = 8 + int.from_bytes(data[:8], "little")
    address = f"inspect?name=a.safetensors&size={len(data)}"
    for count, status in ((8, 422), (needed - 1, 422), (needed, 200), (needed + 1, 200)):
        answer = stranger.send(
            "post", address, data[:count], content_type="application/octet-stream"
        )
        assert answer.status_code == status, answer.content
        if status == 422:
            told = answer.json()
            assert (told["code"], told["expected"], told["received"]) == (
                "size_mismatch", needed, count,
            )  # fmt: skip


def test_a_form_is_told_how_to_send_bytes(stranger: Caller) -> None:
    body = b"--x\r\nContent-Disposition: form-data; name=file\r\n\r\n1\r\n--x--\r\n"
    answer = stranger.send(
        "post", "inspect?size=1", body, content_type="multipart/form-data; boundary=x"
    )
    assert (answer.status_code, answer.json()["code"]) == (400, "validation_failed")
    assert "--data-binary" in answer.json()["detail"]


def test_a_known_digest_with_another_size_is_refused_when_announced(
    as_ada: Caller, ada: User, lora: bytes, accepted: Callable[..., Upload]
) -> None:
    upload = accepted(ada, lora)
    said = {"path": "b.safetensors", "size": len(lora) + 1, "sha256": upload.sha256}
    answer = as_ada.send("post", "uploads", said)
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (422, "size_mismatch")
    assert (problem["expected"], problem["received"]) == (len(lora) + 1, len(lora))
    assert Upload.objects.count() == 1


def test_an_unknown_digest_tells_nothing_of_its_size(
    as_bob: Caller, ada: User, lora: bytes, accepted: Callable[..., Upload]
) -> None:
    said = {"path": "b.safetensors", "size": len(lora) + 1, "sha256": accepted(ada, lora).sha256}
    answer = as_bob.send("post", "uploads", said)
    assert (answer.status_code, answer.json()["state"]) == (201, "receiving")


def test_a_malformed_digest_of_a_part_is_named_as_its_header(as_ada: Caller) -> None:
    place = as_ada.send("post", "uploads", {"path": "a.safetensors", "size": 9}).json()["urls"]
    answer = as_ada.put_bytes(
        place["part"].format(number=1), bytes(9), headers={"X-Part-SHA256": "abc"}
    )
    assert (answer.status_code, answer.json()["code"]) == (400, "validation_failed")
    assert set(answer.json()["fields"]) == {"X-Part-SHA256"}


def test_an_announcement_says_where_the_upload_is(as_ada: Caller) -> None:
    answer = as_ada.send("post", "uploads", {"path": "a.safetensors", "size": 9})
    assert answer["Location"] == answer.json()["urls"]["self"]
    assert as_ada.send("get", answer["Location"]).json()["id"] == answer.json()["id"]
