"""Files in the form that a tool loads: asked for, made by the worker, downloaded."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest

import lorary
from lorary.safetensors import parse_header
from registry.jobs import worker_process
from registry.models import Adapter, Blob, Job
from tests import catalogue
from tests.builders.adapters import DENOISERS, kohya

if TYPE_CHECKING:
    from pathlib import Path

    from registry.models import Version
    from tests.api.conftest import Caller

pytestmark = pytest.mark.django_db

PLACE = "adapters/ada/noir/versions/v1/derived"
METADATA = {"ss_network_dim": "16", "ss_tag_frequency": "{}", "modelspec.title": "Noir"}


@pytest.fixture
def version(noir: Adapter) -> Version:
    data = kohya(DENOISERS["sd1", "diffusers"], rank=16, alpha=8.0, metadata=METADATA)
    return noir.versions.first() or catalogue.release(noir, data)  # the first from a snapshot


RESTORED = "version"


def made(caller: Caller, **wanted: object) -> dict[str, Any]:
    """Request a file, have the worker make it, and return its facts."""
    asked = caller.send("post", PLACE, wanted)
    assert asked.status_code == 202, asked.json()
    assert asked.json()["state"] == "queued"
    worker_process.drain("checks")
    answer = caller.send("get", asked.json()["url"].partition("/api/v1/")[2])
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found


def test_a_converted_file_is_made_once_and_sent_by_range(
    version: Version, stranger: Caller, tmp_path: Path
) -> None:
    offered = stranger.send("get", PLACE).json()
    assert offered["naming"] == "kohya"
    assert offered["namings"] == ["peft", "diffusers", "comfyui"]
    assert offered["max_ranks"] == [4, 8]
    assert offered["strip"] is True
    facts = made(stranger, naming="comfyui")
    assert facts["name"] == "noir.comfyui.safetensors"
    assert facts["certificate"]["conversion"]["renamed"] == 7
    assert facts["certificate"]["conversion"]["max_relative_error"] == 0
    again = stranger.send("post", PLACE, {"naming": "original"})
    assert (again.status_code, again.json()["sha256"]) == (200, facts["sha256"])
    content = facts["download_url"].partition("/api/v1/")[2]
    whole = stranger.send("get", content)
    data = b"".join(whole.streaming_content)
    assert hashlib.sha256(data).hexdigest() == facts["sha256"]
    assert whole["ETag"] == f'"{facts["sha256"]}"'
    assert whole["Repr-Digest"].startswith("sha-256=:")
    assert 'filename="noir.comfyui.safetensors"' in whole["Content-Disposition"]
    part: Any = stranger.get(f"/api/v1/{content}", headers={"Range": "bytes=8-15"})
    assert (part.status_code, b"".join(part.streaming_content)) == (206, data[8:16])
    place = tmp_path / "noir.safetensors"
    place.write_bytes(data)
    anatomy = lorary.inspect(place).anatomy
    assert anatomy is not None
    assert (anatomy.convention, anatomy.family) == ("comfyui_diffusion_model", "sd1")


def test_naming_rank_and_metadata_combine(version: Version, stranger: Caller) -> None:
    facts = made(stranger, naming="diffusers", max_rank=8, strip=True)
    assert facts["variant"] == "diffusers.r8.stripped"
    certificate = facts["certificate"]
    assert certificate["resize"]["resized"] == 7
    assert 0.9 < certificate["resize"]["energy_kept"] < 1
    assert set(certificate["strip"]["removed"]) >= {"ss_network_dim", "ss_tag_frequency"}
    answer = stranger.send("get", facts["download_url"].partition("/api/v1/")[2])
    header = parse_header(b"".join(answer.streaming_content))
    downs = [name for name in header.tensors if name.endswith("lora_A.weight")]
    ranks = {header.tensors[name].shape[0] for name in downs}
    assert ranks == {8}
    assert not [key for key in header.metadata if key.startswith("ss_")]
    assert header.metadata["modelspec.title"] == "Noir"


def test_a_file_for_peft_comes_with_its_configuration(version: Version, stranger: Caller) -> None:
    facts = made(stranger, naming="peft", max_rank=4)
    config = json.loads(facts["config"])
    assert (config["r"], config["lora_alpha"], config["peft_type"]) == (4, 4, "LORA")
    answer = stranger.send("get", f"{PLACE}/peft.r4/config")
    assert answer.json() == config
    assert "adapter_config.json" in answer["Content-Disposition"]
    Blob.objects.filter(made_as__isnull=False).update(is_stored=False)  # lost
    assert stranger.send("get", f"{PLACE}/peft.r4/config").status_code == 404
    again = stranger.send("post", PLACE, {"naming": "peft", "max_rank": 4}).json()
    assert (again["state"], again["config"], again["certificate"]) == ("queued", None, {})


def test_what_the_file_has_already_is_the_file_itself(version: Version, stranger: Caller) -> None:
    answer = stranger.send("post", PLACE, {"naming": "kohya", "max_rank": 16})
    assert answer.status_code == 200
    facts = answer.json()
    assert (facts["original"], facts["variant"], facts["name"]) == (True, "", "noir.safetensors")
    assert version.primary_file is not None
    assert facts["sha256"] == version.primary_file.sha256
    assert facts["download_url"].endswith("/files/noir.safetensors")
    assert not Job.objects.filter(task="make_derived_file").exists()


def test_who_may_not_have_the_file_may_not_have_its_forms(
    version: Version, stranger: Caller, as_ada: Caller
) -> None:
    made(as_ada, naming="comfyui")
    Adapter.objects.update(access="gated-manual")
    for method, place in (("get", PLACE), ("post", PLACE), ("get", f"{PLACE}/comfyui/file")):
        assert stranger.send(method, place).status_code == 403
    Adapter.objects.update(access="open", visibility="private")
    assert stranger.send("get", f"{PLACE}/comfyui/file").status_code == 404
    private = as_ada.send("get", f"{PLACE}/comfyui/file")
    assert (private.status_code, private["Cache-Control"]) == (200, "private, no-store")


def test_odd_requests_are_refused(
    version: Version, stranger: Caller, subtests: pytest.Subtests
) -> None:
    bodies = [{"naming": "a1111"}, {"max_rank": 7}, {"max_rank": "x"}, {"strip": 2}, {"rank": 8}]
    for body in bodies:
        with subtests.test(str(body)):
            assert stranger.send("post", PLACE, body).status_code == 400
    for variant in ("r7", "comfyui.r8", "comfyui/x"):
        with subtests.test(variant):
            assert stranger.send("get", f"{PLACE}/{variant}").status_code == 404
    assert stranger.send("get", f"{PLACE}?path=README.md").status_code == 404
