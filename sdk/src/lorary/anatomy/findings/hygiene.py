"""Checks texts that should not be published as they are: private, hostile, unreadable or too long.

Findings name only the keys, never their values.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache

from lorary.anatomy.findings.finding import Finding, counted, finding
from lorary.anatomy.findings.privacy import INVISIBLE, is_plain, leaks, safe_name

_LARGE_CHARS = 256 * 1024
_LARGE_VALUE_CHARS = 32 * 1024
_SHOWN = 20
_PICTURE_HEAD = 24
_MAX_CACHED = 6_000  # names
_HOSTILE_SIGNS = ("<", "!", "=", ":")  # hostile printable ASCII has one of these
_PICTURE = re.compile(r"\s{0,1024}data:image/[\w.+\-]{1,40};base64,", re.IGNORECASE)
_JSON_KEYS = ("ss_tag_frequency", "ss_dataset_dirs", "ss_datasets", "ss_network_args")
_JSON_ENDS = {"{": "}", "[": "]"}
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
# Some scripts and emoji need joiners, and flags of regions need tags.
_LEGITIMATE = re.compile(
    "(?<=[\u0590-\u109f\u1780-\u17ff\u2190-\U0003ffff])[\u200c-\u200f]"
    "(?=[\u0590-\u109f\u1780-\u17ff\u2190-\U0003ffff])"
    "|(?<=\U0001f3f4)[\U000e0020-\U000e007f]{1,8}|\r(?=\n)|^\ufeff"
)

_ADVICE: Mapping[str, str] = {
    "privacy_config": (
        "The metadata contains the whole configuration of a training program, with its paths and "
        "names. Remove it unless it is meant to be public."
    ),
    "privacy_email": (
        "The metadata contains an e-mail address. Remove it unless it is meant to be public."
    ),
    "privacy_path": (
        "The metadata contains file paths from a computer, which may include a user's name. Remove "
        "them before publishing."
    ),
    "privacy_secret": (
        "The metadata contains what looks like a password or token. Treat it as leaked: revoke "
        "it, then remove it."
    ),
    "privacy_user": (
        "The metadata names a user or a computer. Remove it unless it is meant to be public."
    ),
}


def metadata_findings(metadata: Mapping[str, str]) -> Iterator[Finding]:
    """Yield findings about the texts of the metadata.

    Images (base64 `data:` values) are skipped: they are never shown, and take most of the
    space.
    """
    pictures = [key for key, text in metadata.items() if _is_picture(text)]
    texts = dict(metadata)
    for key in pictures:
        texts[key] = metadata[key][
            :_PICTURE_HEAD
        ]  # enough to recognise SVG, which can have scripts
    yield from privacy_findings(texts)
    yield from _hostility(texts)
    yield from _size(metadata)
    if pictures:
        chars = sum(len(metadata[key]) for key in pictures)
        message = (
            f"The metadata contains images ({chars:,} characters), which are not shown. Add them "
            "to the gallery instead."
        )
        yield finding("thumbnail_left_out", message, chars=chars, keys=_keys(pictures))
    yield from _unreadable(metadata)


def _is_picture(text: str) -> bool:
    return "data:" in text[:16].lower() and _PICTURE.match(text) is not None


def _keys(keys: Iterable[str]) -> list[str]:
    return [safe_name(key) or "(hidden)" for key in list(keys)[:_SHOWN]]


def privacy_findings(texts: Mapping[str, str]) -> Iterator[Finding]:
    """Yield findings about private data in texts, by their names."""
    found = leaks(texts)
    for code, message in _ADVICE.items():
        own = [{"key": leak.key, "kind": leak.kind} for leak in found if leak.code == code]
        if own:
            yield finding(code, message, count=len(own), leaks=own[:_SHOWN])


_Check = Callable[[str], object]


def _invisible(text: str) -> bool:
    if (text.isascii() and is_plain(text)) or INVISIBLE.search(text) is None:
        return False
    return INVISIBLE.search(_LEGITIMATE.sub("", text)) is not None


def _markup(text: str) -> bool:
    return "<" in text and _MARKUP.search(text) is not None


_SCHEME_MARKS = ("ipt:", "data:")
_HANDLER_MARKS = ("nerro", "nload", "nclic", "nmous", "npoin")
_HANDLER_CHARS = 40  # before the equals sign; no handler is longer


def _script(text: str) -> bool:
    low = text.lower()
    # A handler precedes an equals sign, which is rare.
    handlers = "=".join([part[-_HANDLER_CHARS:] for part in low.split("=")[:-1]])
    is_suspect = any(mark in low for mark in _SCHEME_MARKS) or any(
        mark in handlers for mark in _HANDLER_MARKS
    )
    return is_suspect and _SCRIPT.search(text) is not None


def _remote(text: str) -> bool:
    """Return whether Markdown links an image; searched from the end of the link, in linear time."""
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
    text = "\n".join([*texts, *texts.values()])
    kinds = [kind for kind, check in _HOSTILE.items() if check(text)]
    found = [
        {"key": safe_name(key) or "(hidden)", "kind": kind}
        for kind in kinds
        for key, text in texts.items()
        if _HOSTILE[kind](text) or _HOSTILE[kind](key)
    ]
    if found:
        message = (
            "The metadata contains markup, scripts, links to images or invisible characters. It "
            "is shown as plain text. Remove what you didn't intend."
        )
        yield finding("hostile_text", message, count=len(found), texts=found[:_SHOWN])


def name_findings(names: Iterable[str]) -> Iterator[Finding]:
    """Yield findings about the names of tensors, which are untrusted texts too."""
    names = tuple(names)
    if (_are_harmless if len(names) <= _MAX_CACHED else _are_harmless.__wrapped__)(names):
        return
    text = "\n".join(names)
    checks = [check for check in _HOSTILE.values() if check(text)]
    hostile = [name for name in names if any(check(name) for check in checks)] if checks else []
    if hostile:
        message = (
            f"{counted(len(hostile), 'tensor', 'has a name', 'have names')} with markup, scripts "
            "or invisible characters, shown as plain text. No trainer writes such names."
        )
        shown = [safe_name(name) or "(hidden)" for name in hostile[:_SHOWN]]
        yield finding("hostile_text", message, count=len(hostile), tensors=shown)


@lru_cache(maxsize=8)
def _are_harmless(names: tuple[str, ...]) -> bool:
    """Return whether no name is hostile. Cached, because files often have the same names."""
    text = "\n".join(names)
    return text.isascii() and not any(sign in text for sign in _HOSTILE_SIGNS)


def _size(metadata: Mapping[str, str]) -> Iterator[Finding]:
    chars = sum(len(key) + len(text) for key, text in metadata.items())
    if chars <= _LARGE_CHARS:
        return
    large = sorted(metadata, key=lambda key: len(metadata[key]), reverse=True)
    large = [key for key in large[:_SHOWN] if len(metadata[key]) > _LARGE_VALUE_CHARS]
    message = (
        f"The metadata has {chars:,} characters, which every program reads before the first "
        "tensor. Remove what isn't needed."
    )
    yield finding("metadata_large", message, chars=chars, keys=_keys(large))


def _unreadable(metadata: Mapping[str, str]) -> Iterator[Finding]:
    """Yield a finding about keys that should contain JSON but don't."""
    broken = [key for key in _JSON_KEYS if key in metadata and not _looks_whole(metadata[key])]
    if broken:
        message = "Some values should be JSON but aren't. Tags or settings may be missing."
        yield finding("metadata_unreadable", message, keys=broken)


def _looks_whole(text: str) -> bool:
    """Return whether a text may be JSON, by its ends. Python's single quotes are not JSON."""
    start, end = text[:64].lstrip(), text[-64:].rstrip()
    if not start or start.startswith(_ABSENT):
        return True
    return _JSON_ENDS.get(start[0]) == end[-1:] and start[1:2] != "'"
