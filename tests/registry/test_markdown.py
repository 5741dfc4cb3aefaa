"""Cards become safe HTML, at a bounded cost."""

from __future__ import annotations

import itertools
import time
from html.parser import HTMLParser

import pytest
from django.urls import reverse

from previews.derived import WIDTHS
from registry.cards.markdown import MAX_MARKS, MAX_SECONDS, Unrenderable, is_own_picture, render
from registry.models import CardProblem


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
    html = render("![a cat](/media/images/7.png)")
    assert '<img src="/media/images/7.png" alt="a cat" loading="lazy">' in html


def test_every_address_of_a_stored_picture_is_one_that_a_card_may_show() -> None:
    smaller = {"image_id": 7, "digest": "0123456789ab", "width": WIDTHS[0]}
    for place in (
        reverse("image", args=[7]),
        reverse("animation", args=[7]),
        reverse("image-thumbnail", kwargs={**smaller, "kind": "avif"}),
        reverse("image-thumbnail", kwargs={**smaller, "kind": "webp"}),
        reverse("sample", args=[7, "webp"]),
        f"/media/samples/7-{WIDTHS[0]}.avif",
        f"/media/samples/7-{WIDTHS[0]}.webp",
    ):
        assert is_own_picture(place), place
        assert f'src="{place}"' in render(f"![]({place})")


#: Each begins like the address of a picture, or leads to one elsewhere.
FOREIGN = [
    "/media/images/../../api/v1/adapters/ada/noir/versions/v1/files/noir.safetensors",
    "/media/images/7.png/../../../../signout",
    "/media/images/%2e%2e/%2e%2e/api/v1/search",
    "/media/images/7/%2e%2e/8.png",
    "/media/images/..%2f..%2fapi%2fv1%2fsearch",
    "/media/images/7.png?token=x",
    "/media/images/7.png#/../../x",
    "/media/images/7.png/",
    "/media/images//7.png",
    "/media/images/./7.png",
    "/media/images/٧.png",
    "/media/images/7.svg",
    "/media/cards/7.png",
    "/media/covers/7.svg",
    "/media/sheets/7.png",
    "/media/samples/7.mp4",
    "media/images/7.png",
    "//evil.example/media/images/7.png",
    "https://evil.example/media/images/7.png",
    "/\\evil.example/media/images/7.png",
    "http:/media/images/7.png",
    "/MEDIA/images/7.png",
]


def test_any_other_address_is_no_picture(subtests: pytest.Subtests) -> None:
    for place in FOREIGN:
        with subtests.test(place=place):
            assert not is_own_picture(place)
            for text in (f"![x]({place})", f"![x](<{place}>)", f"![x][a]\n\n[a]: <{place}>"):
                assert "<img" not in render(text)


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
    assert found.attributes <= {"href", "src", "alt", "title", "rel", "loading"}
    for address in found.addresses:
        assert address.startswith(("https://", "/media/images/", "//evil.example/media"))
    if "img" in found.tags:
        assert all(address.startswith("/media/images/") for address in found.addresses)


#: Kind of abuse, and why the card is not formatted. Each cost seconds, memory or text before.
COSTLY = {
    "pictures that never end": ("![" * 99_999, CardProblem.MARKS),
    "brackets": ("[" * 199_998, CardProblem.MARKS),
    "emphasis": ("*_" * 99_999, CardProblem.MARKS),
    "pictures in pictures": ("![[]()" * 33_333, CardProblem.MARKS),
    "cells": ("|a" * 1000 + "\n" + "|-" * 1000 + "\n" + "|\n" * 90_000, CardProblem.MARKS),
    "a long address used often": (
        "[a]: " + "b" * 1000 + "\n" + "[a] " * 9_000, CardProblem.LONG,
    ),
    "quotes": (">" * 5000 + " deep", CardProblem.DEEP),
    "lists": ("- " * 10 + "deep", CardProblem.DEEP),
}  # fmt: skip


@pytest.mark.parametrize(("text", "problem"), COSTLY.values(), ids=COSTLY.keys())
def test_what_costs_too_much_is_refused_soon(text: str, problem: CardProblem) -> None:
    with pytest.raises(Unrenderable) as refused:
        render(text)
    assert refused.value.problem == problem


@pytest.mark.parametrize(
    "text",
    ["a\n" * 90_000, "a  \n" * 40_000, "\\a" * (MAX_MARKS - 1), "> a\n" + "b\n" * 90_000],
    ids=["lines", "breaks", "escapes", "quoted lines"],
)
def test_parsing_ends_with_its_time(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """The clock goes on by a millisecond whenever the parser looks at it."""
    looks = itertools.count()
    monkeypatch.setattr(time, "thread_time", lambda: next(looks) / 1000)
    with pytest.raises(Unrenderable) as refused:
        render(text)
    assert refused.value.problem == CardProblem.SLOW
    assert next(looks) <= 1000 * MAX_SECONDS + 3


def test_what_is_nested_as_deep_as_allowed_keeps_its_text() -> None:
    assert "deep" in render("- " * 9 + "deep")
    assert "deep" in render("> " * 19 + "deep")
    assert "deep" in render("**" * 50 + "deep" + "**" * 50)


def test_a_long_honest_card_is_formatted() -> None:
    chapter = "## Settings\n\nUse **0.8** with `euler`.\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n"
    chapter += "Rain on asphalt, long shadows, and a lamp that flickers. " * 30 + "\n\n"
    html = render((chapter * 200)[:200_000])
    assert html.count("<h2>Settings</h2>") > 100
