"""Names that bytes are saved under."""

from __future__ import annotations

import re
from email.message import Message
from email.utils import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.http.delivery import content_disposition

#: File name → name for old readers, and whether the true one must travel beside it.
NAMES: dict[str, tuple[str, str]] = {
    "noir.safetensors": ("noir.safetensors", ""),
    "film noir (v2), final.safetensors": ("film noir (v2), final.safetensors", ""),
    "nöir.safetensors": ("noir.safetensors", "n%C3%B6ir.safetensors"),
    "雪.safetensors": ("_.safetensors", "%E9%9B%AA.safetensors"),
    "🦊.safetensors": ("_.safetensors", "%F0%9F%A6%8A.safetensors"),
    "straße.json": ("stra_e.json", "stra%C3%9Fe.json"),
    'say "hi".json': ("say _hi_.json", "say%20%22hi%22.json"),
    "100%41.json": ("100_41.json", "100%2541.json"),
    "it's.json": ("it's.json", ""),
    "a;b=c.json": ("a;b=c.json", ""),
    "€ rates.json": ("_ rates.json", "%E2%82%AC%20rates.json"),
    "a\r\nSet-Cookie: x=1.json": ("a__Set-Cookie: x=1.json", ""),
    "nul\0tab\tdel\x7f.json": ("nul_tab_del_.json", ""),
    "../../etc/passwd": (".._.._etc_passwd", ""),
    "..\\up.json": (".._up.json", ""),
    "half\ud800.json": ("half_.json", ""),
    "": ("", ""),
}


@pytest.mark.parametrize("name", NAMES)
def test_a_name_travels_as(name: str) -> None:
    plain, coded = NAMES[name]
    wanted = f'attachment; filename="{plain}"'
    wanted += f"; filename*=UTF-8''{coded}" if coded else ""
    assert content_disposition(name) == wanted


def test_a_name_may_be_for_showing() -> None:
    assert content_disposition("a.mp4", kind="inline") == 'inline; filename="a.mp4"'


@given(st.text(max_size=60))
def test_any_name_is_one_line_of_ascii_that_others_read(name: str) -> None:
    value = content_disposition(name)
    assert re.fullmatch(r'attachment; filename="[ -~]*"(; filename\*=UTF-8\'\'[!-~]+)?', value)
    clean = "".join("_" if ord(c) < 32 or 127 <= ord(c) < 160 or c in "/\\" else c for c in name)
    if "filename*=" in value:  # readers take it before the plain one
        value = "attachment; filename*=" + value.partition("filename*=")[2]
    else:
        clean = unquote(clean)  # as the reader does: it drops angle brackets around a plain name
    message = Message()
    message["Content-Disposition"] = value
    assert (message.get_filename() or "").strip() == clean.strip()
