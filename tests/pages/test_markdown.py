"""Cards become safe HTML."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest

from hub.markdown import render


def test_headings_hang_below_the_title_of_the_page() -> None:
    html = render("# How\n\n## Where\n\n###### Deep")
    assert "<h2>How</h2>" in html
    assert "<h3>Where</h3>" in html
    assert "<h6>Deep</h6>" in html


def test_a_card_that_starts_low_still_starts_at_the_second_level() -> None:
    assert "<h2>Only</h2>" in render("#### Only")


def test_links_are_nofollow_and_user_content() -> None:
    html = render("[docs](https://example.org/a)")
    assert 'rel="nofollow ugc noopener"' in html
    assert 'href="https://example.org/a"' in html


def test_a_picture_from_elsewhere_becomes_a_link() -> None:
    html = render("![tracker](https://evil.example/pixel.png)")
    assert "<img" not in html
    assert '<a href="https://evil.example/pixel.png"' in html
    assert "tracker" in html


def test_a_picture_of_this_hub_is_shown() -> None:
    assert '<img src="/media/images/7.png" alt="a cat">' in render("![a cat](/media/images/7.png)")


def test_tables_and_lists_are_kept() -> None:
    html = render("| a | b |\n|---|---|\n| 1 | 2 |\n\n- x")
    assert "<td>2</td>" in html
    assert "<li>x</li>" in html


ATTACKS = {
    "script": "<script>alert(1)</script>",
    "event handler": '<img src=x onerror="alert(1)">',
    "javascript link": "[x](javascript:alert(1))",
    "javascript link with entity": "[x](javascript&#58;alert(1))",
    "data link": "[x](data:text/html;base64,PHNjcmlwdD4=)",
    "javascript picture": "![x](javascript:alert(1))",
    "style": "<style>body{display:none}</style>",
    "iframe": "<iframe src=https://evil.example></iframe>",
    "attribute break": '[x](https://e.example/" onmouseover="alert(1))',
    "title break": '[x](https://e.example "\\" onclick=alert(1) ")',
    "picture text break": '![" onload="alert(1)](/media/images/1.png)',
    "own picture look-alike": "![x](//evil.example/media/images/1.png)",
}


class Elements(HTMLParser):
    """Collects what a browser would make of the HTML."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _value in attrs}
        self.addresses += [value or "" for name, value in attrs if name in {"href", "src"}]


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS.keys())
def test_nothing_that_runs_comes_out(attack: str) -> None:
    found = Elements()
    found.feed(render(attack))
    assert found.tags <= {"p", "a", "img"}
    assert found.attributes <= {"href", "src", "alt", "title", "rel"}
    for address in found.addresses:
        assert address.startswith(("https://", "/media/images/", "//evil.example/media"))
    if "img" in found.tags:
        assert all(address.startswith("/media/images/") for address in found.addresses)


def test_quotes_nested_beyond_reason_end_quickly() -> None:
    assert len(render(">" * 5000 + " deep")) < 200_000
