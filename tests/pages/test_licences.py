"""The page of licences."""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import hub

if TYPE_CHECKING:
    from django.test import Client

STATIC = Path(hub.__file__).parent / "static"


@pytest.mark.django_db
def test_every_part_has_a_licence(client: Client) -> None:
    assert 'href="/help/licences"' in client.get("/").text
    rows = [
        [re.sub(r"<[^>]+>", "", cell).strip() for cell in re.findall(r"<t[hd][^>]*>(.*?)</t", row)]
        for row in re.findall(
            r"<tr>(.*?)</tr>", " ".join(client.get("/help/licences").text.split())
        )
    ]
    parts = {name: (version, licence) for name, version, licence in rows[1:]}
    assert parts["Django"] == (metadata.version("django"), "BSD-3-Clause")
    assert parts["Lorary"][1] == "Apache-2.0"
    assert {"blake3", "psycopg", "whitenoise", "brotli"} <= {name.lower() for name in parts}
    assert "pytest" not in parts
    assert [name for name, (_version, licence) in parts.items() if not licence] == []


@pytest.mark.django_db
def test_vendored_files_are_named_with_their_versions_and_texts(client: Client) -> None:
    page = client.get("/help/licences").text
    readme = (STATIC / "fonts" / "README.md").read_text("utf-8")
    for name, version in (("Lora", "3.008"), ("Inter", "4.001")):
        assert f"{name} {version}" in readme
        assert f">{version}</td>" in page
    (script,) = (STATIC / "vendor").glob("htmx-*.js")
    (version,) = re.findall(r"htmx</th>\s*<td[^>]*>([^<]+)<", page)
    assert script.name == f"htmx-{version}.min.js"
    texts = re.findall(r'href="/static/([^"]+\.txt)"', page)
    assert len(texts) == 3
    assert all((STATIC / path).is_file() for path in texts)
