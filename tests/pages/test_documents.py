"""Links between the documents, whose headings have the same ids on the hub, the site and GitHub."""

from __future__ import annotations

import html
import re
from functools import lru_cache
from pathlib import Path

import pytest

from hub.pages.help import guides
from registry.cards import markdown

ROOT = Path(__file__).parents[2]
DOCUMENTS = [*sorted((ROOT / "docs").rglob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
NAMES = [path.relative_to(ROOT).as_posix() for path in DOCUMENTS]
_ID = re.compile('<h[2-6] id="([^"]*)"')
_HREF = re.compile(r'<a href="([^"]*)"')


@lru_cache
def rendered(path: Path) -> str:
    """A document as the hub renders it, with ids."""
    body = guides._CODE_ROW.sub(guides._ROW_ID, markdown.render(path.read_text("utf-8")))
    return guides._HEADING.sub(guides._with_id, body)


@pytest.mark.parametrize("name", NAMES)
def test_links_of_documents_lead_to_what_is_there(name: str) -> None:
    path = ROOT / name
    for href in map(html.unescape, _HREF.findall(rendered(path))):
        place, _hash, anchor = href.partition("#")
        target = path if not place else (path.parent / place).resolve()
        if re.match("[a-z]+:", href):
            continue
        assert target.exists(), href
        if anchor and target.suffix == ".md":
            assert f'id="{anchor}"' in rendered(target), href


def test_headings_that_links_name_are_unique() -> None:
    """Of two equal headings, only the first has the same id everywhere."""
    links: dict[Path, set[str]] = {}
    for path in DOCUMENTS:
        for href in map(html.unescape, _HREF.findall(rendered(path))):
            place, _hash, anchor = href.partition("#")
            target = (path.parent / place).resolve() if place else path
            links.setdefault(target, set()).add(anchor)
    for path in DOCUMENTS:
        ids = _ID.findall(rendered(path))
        twice = {one for one in ids if ids.count(one) > 1}
        assert not twice & links.get(path, set()), path
