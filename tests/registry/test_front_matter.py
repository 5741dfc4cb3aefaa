"""Values of a front matter that change, and everything else, which stays as it was written."""

from __future__ import annotations

import pytest

from registry.cards import front_matter

TEXT = """---
# top
license: mit  # why
version: 1.10
at: 12:30:00
tags:
- lora   # x
- film

# about the base
base_model: a/b
widget:
- text: "noir"
  output: {url: x.png}
---

Body
"""


@pytest.mark.parametrize(
    ("changes", "before", "after"),
    [
        ({"license": "apache-2.0"}, "license: mit  # why\n", "license: apache-2.0\n"),
        ({"base_model": None}, "base_model: a/b\n", ""),
        ({"widget": None}, '- text: "noir"\n  output: {url: x.png}\n', ""),
        ({"tags": ["a"]}, "- lora   # x\n- film\n\n# about the base\n", "- a\n"),
        ({"new": "x: y"}, "x.png}\n---", "x.png}\nnew: 'x: y'\n---"),
    ],
)
def test_only_what_changes_is_written_anew(
    changes: dict[str, object], before: str, after: str
) -> None:
    expected = TEXT.replace(before, after)
    if changes == {"widget": None}:
        expected = expected.replace("widget:\n", "")
    assert front_matter.patched(TEXT, changes) == expected


def test_line_ends_and_a_byte_order_mark_stay() -> None:
    text = "\ufeff" + TEXT.replace("\n", "\r\n")
    found = front_matter.patched(text, {"license": "x", "more": [1]})
    assert found == text.replace("license: mit  # why", "license: x").replace(
        "x.png}\r\n", "x.png}\r\nmore:\r\n- 1\r\n"
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Body", "---\nlicense: x\n---\nBody"),
        ("", "---\nlicense: x\n---\n"),
        ("\n\n---\n---\nB", "\n\n---\nlicense: x\n---\nB"),
        ("---\n# c\n---\nB", "---\n# c\nlicense: x\n---\nB"),
        ("---\n{license: mit, a: 1}\n---\nB", "---\na: 1\nlicense: x\n---\nB"),
        ("---\nlicense: mit\nlicense: b\n---\nB", "---\nlicense: x\n---\nB"),
        ("---\n? license\n: mit\n---\nB", "---\nlicense: x\n---\nB"),
        ("---\nlicense: |\n  a\n  b\nc: 1\n---\nB", "---\nlicense: x\nc: 1\n---\nB"),
        ("---\nc: 1\nlicense:\n---\nB", "---\nc: 1\nlicense: x\n---\nB"),
    ],
)
def test_every_way_to_write_a_block_is_understood(text: str, expected: str) -> None:
    assert front_matter.patched(text, {"license": "x"}) == expected
