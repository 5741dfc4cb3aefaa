"""How many headers are inspected at once, and how long those of strangers may be."""

from __future__ import annotations

import json
import struct
import threading
from typing import TYPE_CHECKING, Any

import pytest

from hub.http import limits
from registry.lineages.services import import_table
from registry.scan import checks
from tests.builders.adapters import DENOISERS, kohya

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.api.conftest import Caller

pytestmark = pytest.mark.django_db

BYTES = "application/octet-stream"


def head(chars: int) -> bytes:
    tensor = {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}
    raw = json.dumps({"__metadata__": {"x": "a" * chars}, "a": tensor}).encode()
    return struct.pack("<Q", len(raw)) + raw


def ask(caller: Caller, data: bytes, most: int | None = None) -> Any:
    address = f"inspect?name=a.safetensors&size={len(data) + 1}"
    return caller.send("post", address, data[:most], content_type=BYTES)


def test_strangers_send_shorter_headers_than_users(
    stranger: Caller, as_ada: Caller, own_settings: Callable[..., None]
) -> None:
    own_settings(stranger_header_bytes=2**16)
    data = head(2**17)
    refused = ask(stranger, data)
    assert (refused.status_code, refused.json()["code"]) == (413, "too_large")
    assert refused.json()["limit"] == 2**16 + 8
    for said in (str(2**16 + 8), str(checks.head_bytes()), "Sign in"):
        assert said in refused.json()["detail"]
    assert ask(stranger, data, 2**16).json()["limit"] == 2**16 + 8  # the beginning alone
    assert ask(as_ada, data).status_code == 200
    assert ask(stranger, head(2**15)).status_code == 200


def test_users_send_no_longer_headers_than_the_hub_takes(
    as_ada: Caller, own_settings: Callable[..., None]
) -> None:
    own_settings(max_header_bytes=2**16)
    refused = ask(as_ada, head(2**17))
    assert (refused.status_code, refused.json()["limit"]) == (413, 2**16 + 8)
    assert "Sign in" not in refused.json()["detail"]


def test_who_comes_while_all_places_are_taken_is_asked_to_come_again(
    stranger: Caller, own_settings: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    own_settings(inspections=2)
    monkeypatch.setattr(limits, "WAIT_S", 0.05)
    limits._slots.cache_clear()
    busy, done = threading.Barrier(3), threading.Event()
    look = checks.inspect_head

    def slow(*args: Any, **named: Any) -> Any:
        if threading.current_thread() is not threading.main_thread():
            busy.wait(10)
            done.wait(10)
        return look(*args, **named)

    monkeypatch.setattr(checks, "inspect_head", slow)
    data = head(10)
    threads = [
        threading.Thread(
            target=limits.inspect_head, args=(data,), kwargs={"name": "a", "size": len(data) + 1}
        )
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    busy.wait(10)
    refused = ask(stranger, data)
    done.set()
    for thread in threads:
        thread.join()
    assert (refused.status_code, refused.json()["code"]) == (503, "unavailable")
    assert refused.headers["Retry-After"] == "5"
    assert refused.headers["Content-Type"] == "application/problem+json"
    assert ask(stranger, data).status_code == 200


def test_an_inspection_tells_what_the_operator_knows_of_a_hash(
    stranger: Caller, tmp_path: Path
) -> None:
    table = tmp_path / "known.csv"
    table.write_text("number,lineage,source\n4711,House mix,the studio\n")
    import_table(path=table)
    data = kohya(DENOISERS["sdxl", "sgm"], metadata={"ss_sd_model_name": "4711.safetensors"})
    address = f"inspect?name=a.safetensors&size={len(data)}"
    base = stranger.send("post", address, data, content_type=BYTES).json()["base"]
    assert [(one["rule"], one["lineage"]) for one in base["lineage_evidence"]] == [
        ("known_hash", "House mix")
    ]
    assert (base["lineage"], base["confidence"]) == (None, "proven")
