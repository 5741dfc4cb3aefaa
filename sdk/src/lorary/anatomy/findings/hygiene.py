"""Texts that should not be published as they are: private, hostile, unreadable or too much.

Values are never repeated in findings; only the names of keys are.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache

from lorary.anatomy.findings.finding import Finding, counted, finding
from lorary.anatomy.findings.privacy import UNSEEN, Leak, is_plain, leaks, safe_name

__all__ = ["metadata_findings", "name_findings"]

_LARGE_CHARS = 256 * 1024
_LARGE_VALUE_CHARS = 32 * 1024
_SHOWN = 20
_PICTURE_HEAD = 24
_MOST_KEPT = 6_000  # names
_NAME_SIGNS = ("<", "!", "=", ":")  # that every hostile text of printable ASCII has
_PICTURE = re.compile(r"\s{0,1024}data:image/[\w.+\-]{1,40};base64,", re.IGNORECASE)
_JSON_KEYS = ("ss_tag_frequency", "ss_dataset_dirs", "ss_datasets", "ss_network_args")
_WHOLE_JSON = {"{": "}", "[": "]"}
_ABSENT = ("null", "None")

_MARKUP = re.compile(
    r"<\s{0,8}/?(?:script|iframe|img|svg|applet|frameset|noscript|xml-stylesheet)\b"
    r"|<\s{0,8}/?(?:object|embed|style|link|meta|form|input|button|base|video|audio|body|html"
    r"|template|math|details|a)\b(?:\s{0,8}/?>|[\s/][^<>]{0,400}=)"
    r"|<!--|<!\[CDATA\[|<!doctype|<!entity",
    re.IGNORECASE,
)
_SCRIPT = re.compile(
    r"(?:java|vb|live)script:|data:(?:text/html|image/svg|application/xhtml|text/javascript)"
    r"|\bon(?:error|load|click|mouse[a-z]{1,12}|pointer[a-z]{1,12})\s{0,8}=",
    re.IGNORECASE,
)
_REMOTE = re.compile(r"\]\s?[(\[]")
_ALT_CHARS = 200
# Joiners belong to the spelling of some scripts and of emoji, and tags to the flags of regions.
_MEANT = re.compile(
    "(?<=[\u0590-\u109f\u1780-\u17ff\u2190-\U0003ffff])[\u200c-\u200f]"
    "(?=[\u0590-\u109f\u1780-\u17ff\u2190-\U0003ffff])"
    "|(?<=\U0001f3f4)[\U000e0020-\U000e007f]{1,8}|\r(?=\n)|^\ufeff"
)

_ADVICE: Mapping[str, str] = {
    "privacy_config": (
        "The metadata holds the whole configuration of a training program, with its paths and "
        "names. Remove it unless it is meant to be public."
    ),
    "privacy_email": (
        "The metadata holds an e-mail address. Remove it unless it is meant to be public."
    ),
    "privacy_path": (
        "The metadata holds paths of a computer, which can name its user. Remove them before "
        "publishing."
    ),
    "privacy_secret": (
        "The metadata holds what looks like a password or token. Treat it as leaked: renew it, "
        "then remove it."
    ),
    "privacy_user": (
        "The metadata names a user or a computer. Remove it unless it is meant to be public."
    ),
}


def metadata_findings(metadata: Mapping[str, str]) -> Iterator[Finding]:
    """Check every text of the metadata.

    Pictures (base64 `data:` values) are left out: they are never shown, and take most of the space.
    """
    pictures = [key for key, text in metadata.items() if _is_picture(text)]
    texts = dict(metadata)
    for key in pictures:
        texts[key] = metadata[key][:_PICTURE_HEAD]  # which tells SVG, that can hold scripts
    yield from _privacy(leaks(texts))
    yield from _hostility(texts)
    yield from _size(metadata)
    if pictures:
        chars = sum(len(metadata[key]) for key in pictures)
        message = (
            f"The metadata holds pictures of {chars:,} characters; they are not shown. Add them "
            "as samples instead."
        )
        yield finding("thumbnail_left_out", message, chars=chars, keys=_keys(pictures))
    yield from _unreadable(metadata)


def _is_picture(text: str) -> bool:
    return "data:" in text[:16].lower() and _PICTURE.match(text) is not None


def _keys(keys: Iterable[str]) -> list[str]:
    return [safe_name(key) or "(hidden)" for key in list(keys)[:_SHOWN]]


def _privacy(found: list[Leak]) -> Iterator[Finding]:
    for code, message in _ADVICE.items():
        of_code = [{"key": leak.key, "kind": leak.kind} for leak in found if leak.code == code]
        if of_code:
            yield finding(code, message, count=len(of_code), leaks=of_code[:_SHOWN])


_Check = Callable[[str], object]


def _invisible(text: str) -> bool:
    if text.isascii() and is_plain(text):
        return False
    if UNSEEN.search(text) is None:
        return False
    return UNSEEN.search(_MEANT.sub("", text)) is not None


def _markup(text: str) -> bool:
    return "<" in text and _MARKUP.search(text) is not None


_SCHEME_MARKS = ("ipt:", "data:")
_HANDLER_MARKS = ("nerro", "nload", "nclic", "nmous", "npoin")
_HANDLER_CHARS = 40  # before its sign; none is longer


def _script(text: str) -> bool:
    low = text.lower()
    # A handler stands before a sign that is rare.
    handlers = "=".join([part[-_HANDLER_CHARS:] for part in low.split("=")[:-1]])
    is_suspect = any(mark in low for mark in _SCHEME_MARKS) or any(
        mark in handlers for mark in _HANDLER_MARKS
    )
    return is_suspect and _SCRIPT.search(text) is not None


def _remote(text: str) -> bool:
    """Tell whether a picture is linked in Markdown; looked for from its end, in linear time."""
    if "![" not in text:
        return False
    for found in _REMOTE.finditer(text):
        end = found.start()
        start = text.rfind("![", max(0, end - _ALT_CHARS - 2), end)
        if start >= 0 and "\n" not in text[start:end]:
            return True
    return False


_HOSTILE: Mapping[str, _Check] = {
    "invisible_characters": _invisible,
    "markup": _markup,
    "script": _script,
    "remote_picture": _remote,
}


def _hostility(texts: Mapping[str, str]) -> Iterator[Finding]:
    whole = "\n".join([*texts, *texts.values()])
    kinds = [kind for kind, check in _HOSTILE.items() if check(whole)]
    found = [
        {"key": safe_name(key) or "(hidden)", "kind": kind}
        for kind in kinds
        for key, text in texts.items()
        if _HOSTILE[kind](text) or _HOSTILE[kind](key)
    ]
    if found:
        message = (
            "The metadata holds markup, scripts, remote pictures or invisible characters. It is "
            "shown as plain text. Remove what is not meant."
        )
        yield finding("hostile_text", message, count=len(found), texts=found[:_SHOWN])


def name_findings(names: Iterable[str]) -> Iterator[Finding]:
    """Check the names of tensors, which are texts of a stranger as well."""
    names = tuple(names)
    if (_are_harmless if len(names) <= _MOST_KEPT else _are_harmless.__wrapped__)(names):
        return
    whole = "\n".join(names)
    checks = [check for check in _HOSTILE.values() if check(whole)]
    odd = [name for name in names if any(check(name) for check in checks)] if checks else []
    if odd:
        message = (
            f"{counted(len(odd), 'tensor', 'has a name', 'have names')} with markup, scripts or "
            "invisible characters, shown as plain text. No trainer writes such names."
        )
        shown = [safe_name(name) or "(hidden)" for name in odd[:_SHOWN]]
        yield finding("hostile_text", message, count=len(odd), tensors=shown)


@lru_cache(maxsize=8)
def _are_harmless(names: tuple[str, ...]) -> bool:
    """Kept as `plan` keeps its groups, for the names that come again and again."""
    whole = "\n".join(names)
    return whole.isascii() and not any(sign in whole for sign in _NAME_SIGNS)


def _size(metadata: Mapping[str, str]) -> Iterator[Finding]:
    chars = sum(len(key) + len(text) for key, text in metadata.items())
    if chars <= _LARGE_CHARS:
        return
    large = sorted(metadata, key=lambda key: len(metadata[key]), reverse=True)
    large = [key for key in large[:_SHOWN] if len(metadata[key]) > _LARGE_VALUE_CHARS]
    message = (
        f"The metadata has {chars:,} characters, which every program reads before the first "
        "tensor. Remove what nobody needs."
    )
    yield finding("metadata_large", message, chars=chars, keys=_keys(large))


def _unreadable(metadata: Mapping[str, str]) -> Iterator[Finding]:
    """Keys that trainers fill with JSON, whose value does not even look like it."""
    broken = [key for key in _JSON_KEYS if key in metadata and not _looks_whole(metadata[key])]
    if broken:
        message = "Values that should be JSON are not, so that tags or settings may be missing."
        yield finding("metadata_unreadable", message, keys=broken)


def _looks_whole(text: str) -> bool:
    """Tell by its ends whether a text may be JSON; Python's single quotes are none."""
    start, end = text[:64].lstrip(), text[-64:].rstrip()
    if not start or start.startswith(_ABSENT):
        return True
    return _WHOLE_JSON.get(start[0]) == end[-1:] and start[1:2] != "'"
