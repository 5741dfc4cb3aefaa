"""``GET /packs/{owner}/{name}/versions/{version}/export``, and what a variant is rendered with."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from registry.adapters import services as adapters
from registry.models import PackVersion
from registry.packs import publish, states
from tests import packs
from tests.packs import manifest, part, variant
from tests.served import serve

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytest_django import Settings

    from registry.models import Adapter, User, Version
    from tests.api.conftest import Caller

pytestmark = pytest.mark.django_db

PLACE = "packs/ada/dusk/versions"
RESTORED = "dusk"


@pytest.fixture
def dusk(ada: User, noir: Adapter, released: Callable[..., Version], lora: bytes) -> PackVersion:
    if made := PackVersion.objects.first():
        return made
    released(noir, lora)
    return packs.published(ada, noir)


def exported(caller: Caller, query: str, version: str = "v1", status: int = 200) -> Any:
    answer = caller.send("get", f"{PLACE}/{version}/export?{query}")
    assert answer.status_code == status, answer.content
    return answer


@pytest.mark.parametrize(
    ("query", "kind", "name"),
    [
        ("for=comfyui", "application/json", "ada--dusk.sd1.comfyui-api.json"),
        ("for=comfyui&form=ui", "application/json", "ada--dusk.sd1.comfyui.json"),
        ("for=a1111", "text/plain", "ada--dusk.sd1.a1111.txt"),
        ("for=forge&variant=sd1", "text/plain", "ada--dusk.sd1.forge.txt"),
        ("for=diffusers", "text/x-python", "ada--dusk.sd1.py"),
        ("for=invokeai", "application/json", "ada--dusk.sd1.invokeai.json"),
        ("for=swarmui", "application/json", "ada--dusk.sd1.swarmui.json"),
    ],
)
@pytest.mark.usefixtures("dusk")
def test_a_variant_is_downloaded_as_a_file(
    stranger: Caller, query: str, kind: str, name: str
) -> None:
    answer = exported(stranger, query, "latest")
    assert answer.headers["Content-Type"] == f"{kind}; charset=utf-8"
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{name}"'
    text = answer.content.decode()
    assert "film grain" in text
    if kind == "application/json":
        assert json.loads(text)


@pytest.mark.usefixtures("dusk")
def test_it_is_what_the_client_makes_of_the_version(stranger: Caller) -> None:
    from lorary.client.packs import PackVersion as Document  # noqa: PLC0415 - another PackVersion
    from lorary.exports import export, look_of  # noqa: PLC0415 - beside it

    version = Document.read(stranger.send("get", f"{PLACE}/v1").json())
    made = export(look_of(version), "diffusers")
    assert exported(stranger, "for=diffusers").content.decode() == made.text


def test_refusals_name_what_there_is(stranger: Caller, ada: User, dusk: PackVersion) -> None:
    film = variant(part("ada/noir"), name="film", output="video")
    both = manifest(variant(part("ada/noir")), film)
    publish.publish(actor=ada, pack=dusk.pack, manifest=both)
    for query, status, words in (
        ("", 400, "for"),
        ("for=fooocus", 400, "comfyui, a1111, forge, diffusers, invokeai, swarmui"),
        ("for=forge&form=xml", 400, "api, ui"),
        ("for=forge", 400, "sd1 (sd1, image), film (sd1, video)"),
        ("for=forge&variant=film", 400, "Forge does not render videos"),
        ("for=forge&variant=sdxl", 404, "It has sd1 (sd1, image), film (sd1, video)"),
        ("for=forge&variant=sd1&more=1", 400, "There is no such parameter"),
    ):
        answer = exported(stranger, query, "v2", status)
        assert words in json.dumps(answer.json(), ensure_ascii=False), query


def test_parts_that_are_gone_are_left_out(
    stranger: Caller, ada: User, noir: Adapter, dusk: PackVersion
) -> None:
    adapters.describe(actor=ada, adapter=noir, visibility="private")
    answer = exported(stranger, "for=forge", status=404)
    assert "All parts" in answer.json()["detail"]
    adapters.describe(actor=ada, adapter=noir, visibility="public")
    states.yank(actor=ada, version=dusk, reason="Old")
    exported(stranger, "for=forge")
    states.withdraw(actor=ada, version=dusk, reason="Copied")
    assert "Copied" in exported(stranger, "for=forge", status=410).json()["detail"]


def test_a_variant_says_what_it_is_rendered_with(
    stranger: Caller, ada: User, dusk: PackVersion, settings: Settings, tmp_path: Path
) -> None:
    """Settings are the variant's, then those of the hub's base, then the family's usual ones."""
    own = manifest(variant(part("ada/noir"), steps=40, width=1024, height=768, guidance=3.5))
    publish.publish(actor=ada, pack=dusk.pack, manifest=own)

    def rendered(version: str) -> dict[str, Any]:
        (one,) = stranger.send("get", f"{PLACE}/{version}").json()["variants"]
        found: dict[str, Any] = one["rendered_with"]
        return found

    usual = rendered("v1")
    assert (usual["base"], usual["steps"], usual["width"], usual["frames"]) == ("", 25, 512, 0)
    assert usual["arguments"] == {
        "num_inference_steps": 25, "guidance_scale": 7.0, "width": 512, "height": 512,
        "negative_prompt": "blurry",
    }  # fmt: skip
    wanted = rendered("v2")
    assert [wanted[name] for name in ("steps", "guidance", "width", "height")] == [
        40, 3.5, 1024, 768,
    ]  # fmt: skip
    serve(settings, tmp_path, "sd1")
    served = rendered("v2")
    assert served["base"] == "sd1-base"
    assert (served["width"], served["height"]) != (1024, 768)  # more than the base renders


@pytest.mark.usefixtures("dusk")
def test_settings_above_those_of_recipes_are_reduced(
    stranger: Caller, ada: User, dusk: PackVersion
) -> None:
    own = manifest(variant(part("ada/noir"), steps=1000, guidance=100))
    publish.publish(actor=ada, pack=dusk.pack, manifest=own)
    answer = stranger.send("get", f"{PLACE}/v2")
    (one,) = answer.json()["variants"]
    assert (one["settings"]["steps"], one["settings"]["guidance"]) == (1000, 100)
    assert (one["rendered_with"]["steps"], one["rendered_with"]["guidance"]) == (200, 50)
    exported(stranger, "for=forge", "v2")
