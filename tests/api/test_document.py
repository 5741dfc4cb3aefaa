"""The API document and its page."""

from __future__ import annotations

import re
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from django.core.management import call_command
from django.urls import get_resolver

from hub.api.samples import sample
from hub.api.urls import v1

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
    assert set(document["paths"]) == routes
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
        assert sample(document, schema) is not None, name


def test_routes_below_api_come_before_the_pages() -> None:
    assert get_resolver().resolve("/api/v1/adapters").view_name == "api-adapters"
