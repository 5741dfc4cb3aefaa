"""What browsers are sent besides pages: small, our own, and fit for the strict policy."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import hub

HUB = Path(hub.__file__).parent
STATIC = HUB / "static"
TEMPLATES = sorted((HUB / "templates").rglob("*.html"))
MAX_COLUMNS = 120


def test_styles_stay_under_forty_thousand_bytes() -> None:
    assert sum(path.stat().st_size for path in (STATIC / "css").iterdir()) < 40_000


def test_the_script_of_every_page_stays_under_eight_thousand_bytes() -> None:
    assert (STATIC / "js" / "ui.js").stat().st_size < 8_000


def test_vendored_files_are_the_ones_that_their_list_names() -> None:
    listed = (STATIC / "vendor" / "README.md").read_text("utf-8")
    for path in (STATIC / "vendor").glob("*.js"):
        assert hashlib.sha256(path.read_bytes()).hexdigest() in listed


def test_nothing_is_fetched_from_elsewhere() -> None:
    for path in [*(STATIC / "css").iterdir(), *(STATIC / "js").iterdir()]:
        for address in re.findall(r"https?://[^\s'\")]+", path.read_text("utf-8")):
            assert address.startswith("http://www.w3.org/"), (path.name, address)


def test_fonts_come_with_their_licences() -> None:
    for name in ("OFL-Lora.txt", "OFL-Inter.txt"):
        assert "SIL OPEN FONT LICENSE" in (STATIC / "fonts" / name).read_text("utf-8")


def test_templates_hold_no_inline_script_or_style() -> None:
    inline = re.compile(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son[a-z]+=|\|safe|hx-on")
    assert not [path.name for path in TEMPLATES if inline.search(path.read_text("utf-8"))]


def test_lines_of_templates_have_at_most_120_characters() -> None:
    long = [
        f"{path.relative_to(HUB)}:{number}"
        for path in TEMPLATES
        for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1)
        if len(line) > MAX_COLUMNS
    ]
    assert not long


def test_words_in_templates_can_be_translated() -> None:
    found = {path.name: bare_words(path.read_text("utf-8")) for path in TEMPLATES}
    assert not {name: words for name, words in found.items() if words}


def bare_words(text: str) -> list[str]:
    """Return the words of a template that are not marked for translation."""
    text = re.sub(r"\{%\s*blocktranslate.*?endblocktranslate\s*%\}", "", text, flags=re.DOTALL)
    tables = re.findall(r"\{%\s*table\s+\"([^\"]*)", text)
    text = re.sub(
        r"\{%\s*comment.*?endcomment\s*%\}|\{%.*?%\}|\{\{.*?\}\}", "", text, flags=re.DOTALL
    )
    told = re.findall(r"\s(?:title|alt|placeholder|aria-label|data-say-[\w-]+)=\"([^\"]*)", text)
    text = re.sub(r"<(code|kbd|svg|title)\b.*?</\1>", "", text, flags=re.DOTALL)
    text = re.sub(r"<[^>]*>", " ", text, flags=re.DOTALL)
    text = re.sub(r"data-hx-[\w-]+=\"[^\"]*\"", "", text)  # a fragment of attributes
    words = " ".join([*tables, *told, text])
    words = re.sub(r"SHA-256|Lorary|lorary|safety film|&\w+;|\{\w+\}", "", words)
    return re.findall(r"[A-Za-z]{2,}", words)
