"""The API document and its page."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from django.core.management import call_command
from django.urls import get_resolver
from rest_framework.serializers import Serializer

from hub.api.docs import sample
from hub.api.urls import v1
from hub.api.versions.anatomy import InspectionOut, RefusalOut
from lorary.anatomy import inspect_bytes
from tests.builders.adapters import DENOISERS, kohya
from tests.e2e import talk
from tests.running import RunningHub

if TYPE_CHECKING:
    from tests.api.conftest import Caller

pytestmark = pytest.mark.django_db

ROOT = Path(__file__).parents[2]


def test_the_document_in_the_repository_is_the_code_s() -> None:
    written = StringIO()
    call_command("spectacular", "--validate", "--fail-on-warn", stdout=written)
    kept = (ROOT / "docs" / "openapi.yaml").read_text(encoding="utf-8")
    assert written.getvalue().strip() == kept.strip(), "run: make openapi"


def test_every_route_is_documented_with_an_answer_for_errors(stranger: Caller) -> None:
    document = stranger.send("get", "/api/openapi.json").json()
    assert document["openapi"] == "3.1.0"
    routes = {re.sub(r"<\w+:(\w+)>", r"{\1}", f"/api/v1/{route.pattern}") for route in v1}
    assert set(document["paths"]) == routes | {
        "/oauth/device", "/oauth/revoke", "/oauth/token",
    }  # fmt: skip
    for methods in document["paths"].values():
        for operation in methods.values():
            assert operation["description"]
            assert "application/problem+json" in operation["responses"]["default"]["content"]


def test_the_document_is_served_as_yaml_too(stranger: Caller) -> None:
    answer = stranger.send("get", "/api/openapi.yaml")
    assert answer.status_code == 200
    assert answer.content.startswith(b"openapi: 3.1.0")


def test_the_page_shows_every_operation_and_code_without_script(stranger: Caller) -> None:
    document = stranger.send("get", "/api/openapi.json").json()
    answer = stranger.send("get", "/api/docs")
    text = answer.content.decode()
    assert answer.status_code == 200
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert f"<code>{method.upper()} {path}</code>" in text
            assert f'id="{operation["operationId"]}"' in text
    assert '<tr id="upload_refused">' in text
    assert "style=" not in text
    main = text.partition("<main")[2].partition("</main>")[0]
    assert "<script" not in main


def test_every_schema_has_a_sample(stranger: Caller) -> None:
    document: dict[str, Any] = stranger.send("get", "/api/openapi.json").json()
    for name, schema in document["components"]["schemas"].items():
        assert sample(document, schema) is not None or schema == {"type": "null"}, name


def fields_of(shape: Serializer[Any]) -> dict[str, Any]:
    """Return the described fields, nested ones inside, of a list its line's."""
    found: dict[str, Any] = {}
    for name, part in shape.fields.items():
        inner = getattr(part, "child", part)
        found[name] = fields_of(inner) if isinstance(inner, Serializer) else None
    return found


def keys_of(document: object, described: Any) -> Any:
    """Return a document's keys in the form of ``fields_of``, as deep as they are described."""
    if described is None:
        return None
    if isinstance(document, list):
        return keys_of(document[0], described)
    assert isinstance(document, dict)
    return {name: keys_of(part, described.get(name)) for name, part in document.items()}


def test_the_described_fields_are_those_of_the_document() -> None:
    metadata = {
        "ss_base_model_version": "flux1",
        "ss_sd_model_name": "ponyDiffusionV6XL.safetensors",
        "ss_sd_model_hash": "e577480d",
        "ss_training_started_at": "1717200000",
        "modelspec.trigger_phrase": "noir",
        "ss_tag_frequency": '{"10_noir": {"night": 3}}',
        "ss_dataset_dirs": '{"10_noir": {"n_repeats": 10, "img_count": 4}}',
    }
    data = kohya(DENOISERS["sdxl", "sgm"], metadata=metadata)
    for shape, told in (
        (InspectionOut(), inspect_bytes(data)),
        (RefusalOut(), inspect_bytes(data[:9])),
    ):
        described = fields_of(shape)
        assert keys_of(told.to_dict(), described) == described


def test_routes_below_api_come_before_the_pages() -> None:
    assert get_resolver().resolve("/api/v1/adapters").view_name == "api-adapters"


@pytest.mark.long
@pytest.mark.e2e
@pytest.mark.slow
def test_many_may_ask_a_new_process_for_the_document_at_once(tmp_path: Path) -> None:
    """drf-spectacular answered 500 to some of them."""
    with (
        RunningHub(tmp_path / "hub", "--no-worker", "--workers", "1") as hub,
        ThreadPoolExecutor(8) as several,
    ):
        answers = list(several.map(talk.Caller(hub.port).get, ["/api/openapi.json"] * 8))
    assert {answer.status for answer in answers} == {200}
    assert len({answer.body for answer in answers}) == 1
