"""“For your tool” on the page of an adapter, without and with scripts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from hub.pages.adapters.derived import proofs_of
from registry.jobs import worker_process
from registry.models import DerivedFile
from tests import catalogue
from tests.builders.adapters import DENOISERS, Target, kohya

if TYPE_CHECKING:
    from django.test import Client

    from registry.models import Adapter, Version

pytestmark = pytest.mark.django_db
PLACE = "/ada/noir/versions/v2/derived"
SCRIPTED = {"HX-Request": "true"}


@pytest.fixture
def version(noir: Adapter) -> Version:
    data = kohya(DENOISERS["sdxl", "sgm"], rank=16, metadata={"ss_network_dim": "16"})
    return catalogue.release(noir, data)


def text(answer: Any) -> str:
    return str(answer.content.decode())


def test_the_page_offers_what_can_be_made(version: Version, client: Client) -> None:
    page = text(client.get("/ada/noir"))
    for naming in ("comfyui", "diffusers", "peft"):
        assert f'<input type="radio" name="naming" value="{naming}">' in page
    assert "As uploaded: the file has these names." in page
    assert "at most rank 8" in page
    assert 'name="strip"' in page
    other = catalogue.release(version.adapter, kohya([Target("made.up", (8, 8))], rank=4))
    assert 'id="for-tool"' not in text(client.get(f"/ada/noir?v={other.name}"))


def test_a_file_is_prepared_without_scripts(version: Version, client: Client) -> None:
    sent = {"naming": "diffusers", "max_rank": "8", "strip": "1"}
    begun = client.post(PLACE, sent)
    assert (begun.status_code, begun["Location"]) == (302, f"{PLACE}/diffusers.r8.stripped")
    waiting = text(client.get(begun["Location"]))
    assert '<meta http-equiv="refresh"' in waiting
    worker_process.drain("checks")
    ready = text(client.get(begun["Location"]))
    assert "Ready for diffusers" in ready
    assert "modules renamed, bit for bit." in ready
    assert "/derived/diffusers.r8.stripped/file" in ready
    assert "lorary pull ada/noir@v2 --naming diffusers --max-rank 8 --strip" in ready.replace(
        "<wbr>", ""
    )
    kohya_page = text(client.get(f"{PLACE}/kohya"))
    assert "<h1>noir.safetensors</h1>" in kohya_page
    assert client.post(PLACE, {"naming": ""})["Location"].endswith("/files/noir.safetensors")


def test_a_script_gets_the_panel(version: Version, client: Client, own_settings: Any) -> None:
    panel = text(client.post(PLACE, {"naming": "comfyui"}, headers=SCRIPTED))
    assert f'data-hx-get="{PLACE}/comfyui" data-hx-trigger="every 1s"' in panel
    assert "<html" not in panel
    DerivedFile.objects.update(state="refused", reason="The module “x” is LoHa.")
    refused = text(client.get(f"{PLACE}/comfyui", headers=SCRIPTED))
    assert "The module “x” is LoHa." in refused
    assert "hx-trigger" not in refused
    own_settings(derived_per_hour=0)
    answer = client.post(PLACE, {"naming": "peft"}, headers=SCRIPTED)
    assert (answer.status_code, "lorary convert" in text(answer)) == (409, True)


def test_another_site_cannot_send_the_form(version: Version, client: Client) -> None:
    del version
    crossing = {"Sec-Fetch-Site": "cross-site"}
    assert client.post(PLACE, {"naming": "comfyui"}, headers=crossing).status_code == 403
    assert not DerivedFile.objects.exists()


def test_a_certificate_is_told_in_sentences() -> None:
    conversion = {"renamed": 264, "split": 3, "fused": 1, "max_relative_error": 2.1e-8}
    assert list(proofs_of({"conversion": conversion})) == [
        "264 modules renamed, bit for bit.",
        "4 split and fused modules differ by at most 2e-8 of their size.",
    ]
