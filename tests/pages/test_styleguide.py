"""The style guide shows what the style sheets have."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from django.test import Client

pytestmark = pytest.mark.django_db

CSS = Path("hub/static/css")


def test_it_shows_every_colour_and_icon_in_both_themes(client: Client) -> None:
    page = client.get("/styleguide").content.decode()
    text = (CSS / "tokens.css").read_text("utf-8")
    colours = set(re.findall(r"--([a-z0-9-]+)\s*:\s*light-dark\(#", text))
    assert {"paper", "ink", "pencil", "pencil-wash"} <= colours
    for name in colours:
        assert page.count(f'fill="var(--{name})"') == 2
    assert 'data-theme="light"' in page
    assert 'data-theme="dark"' in page
    for icon in ("search", "copy", "caret"):
        assert f"icons.svg#{icon}" in page


COMPONENTS = [
    "btn", "btn solid", "chip word", "seg", "in", "err", "tick", "note", "code", "tbl", "tabs",
    "strip", "card stack g2", "print", "findings", "prose", "scale", "pager", "drop",
    "permissions",
]  # fmt: skip


def test_it_has_every_component(client: Client, subtests: pytest.Subtests) -> None:
    for component in COMPONENTS:
        with subtests.test(component=component):
            page = client.get("/styleguide").content.decode()
            assert re.search(rf'class="{component}[" ]', page)


def test_search_engines_leave_it_out_and_no_page_links_to_it(client: Client) -> None:
    assert '<meta name="robots" content="noindex">' in client.get("/styleguide").content.decode()
    assert "/styleguide" not in client.get("/").content.decode()


def test_its_ids_are_unique(client: Client) -> None:
    ids = re.findall(r'\sid="([^"]+)"', client.get("/styleguide").content.decode())
    assert len(ids) == len(set(ids))
