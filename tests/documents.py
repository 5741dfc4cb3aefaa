"""The examples of the documentation."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def snippets(document: str, language: str, section: str = "") -> list[str]:
    """Return the examples of a document, such as ``docs/cli.md``.

    Args:
        document: Its path in the repository.
        language: ``python``, ``console``, …
        section: Heading of the second level; empty for the whole document.
    """
    text = (ROOT / document).read_text("utf-8")
    if section:
        _, heading, rest = text.partition(f"\n## {section}\n")
        assert heading, section
        text = rest.partition("\n## ")[0]
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def sections(document: str) -> list[str]:
    """Return the headings of the second level."""
    return re.findall(r"^## (.+)$", (ROOT / document).read_text("utf-8"), re.MULTILINE)
