"""``Content-Disposition``: under which name bytes are saved.

Source: RFC 6266 §4.3 and appendix D (a plain name for old readers, the true one beside it),
RFC 8187 §3.2 (``filename*``), RFC 9110 §5.6.4 (quoted strings).
"""

from __future__ import annotations

import unicodedata
from urllib.parse import quote

__all__ = ["content_disposition"]

#: RFC 8187's attr-char besides letters and digits; everything else travels as %XX of UTF-8.
_PLAIN = "!#$&+-.^_`|~"
#: Readers disagree on these inside a quoted string, and some take %41 for A.
_DOUBTFUL = '"\\%'


def content_disposition(filename: str, *, kind: str = "attachment") -> str:
    """Return the header's value, printable ASCII whatever the name holds.

    Args:
        filename: Last segment of a path. Control characters and slashes become ``_``.
        kind: ``attachment`` or ``inline``.
    """
    name = "".join(_safe(char) for char in filename)
    plain = "".join(_ascii(char) for char in name)
    value = f'{kind}; filename="{plain}"'
    if plain != name:
        value += f"; filename*=UTF-8''{quote(name, safe=_PLAIN)}"
    return value


def _safe(char: str) -> str:
    return "_" if char in "/\\" or unicodedata.category(char) in {"Cc", "Cs"} else char


def _ascii(char: str) -> str:
    """Return a character for old readers: without its accents, or ``_``."""
    base = unicodedata.normalize("NFKD", char)[:1]
    return base if " " <= base <= "~" and base not in _DOUBTFUL else "_"
