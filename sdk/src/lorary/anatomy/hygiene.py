"""Metadata that should not be published as it is: private, hostile, unreadable or too much.

Values are never repeated in findings; only the keys are named.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

from lorary.anatomy.findings import Finding, finding
from lorary.anatomy.metadata import INVISIBLE

__all__ = ["metadata_findings"]

_LARGE_BYTES = 256 * 1024
_MOST_KEYS = 20
_MOST_AT_SIGNS = 2_000

_PATH = re.compile(
    r"""[A-Za-z]:[\\/]{1,4}Users[\\/]{1,4}[^\\/"'\s]|/(?:home|Users)/[^/"'\s]|/root/|/mnt/"""
    r"""|file://|(?:^|[\s"'=])\\{2,4}[A-Za-z0-9._-]+\\{1,2}[A-Za-z0-9$]"""
)
_SECRET = re.compile(
    r"hf_[A-Za-z0-9]{30}|\bsk-[A-Za-z0-9_-]{20}|AKIA[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{30}"
    r"|Bearer [A-Za-z0-9._~+/-]{16}|[?&](?:token|access_token|X-Amz-Signature)=[^&\s\"']{8}"
    r"|[Ww][Aa][Nn][Dd][Bb][^\n]{0,60}\b[0-9a-f]{40}\b"
)
_HOSTILE = re.compile(
    r"<\s*(?:script|iframe|img|svg|object|embed|style|link|meta)\b|javascript:|vbscript:"
    r"|data:text/html|\bon(?:error|load|click|mouseover)\s*=|!\[[^\]\n]{0,80}\]\(",
    re.IGNORECASE,
)
_MAIL_USER = re.compile(r"[A-Za-z0-9._%+-]{1,64}$")
_MAIL_HOST = re.compile(r"(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}\b")
_JSON_KEYS = ("ss_tag_frequency", "ss_dataset_dirs", "ss_datasets", "ss_network_args")


def _has_mail(text: str) -> bool:
    """Look around each @ sign: a single pattern would take quadratic time on hostile text."""
    at = text.find("@")
    for _ in range(_MOST_AT_SIGNS):
        if at < 0:
            return False
        if _MAIL_USER.search(text[max(0, at - 64) : at]) and _MAIL_HOST.match(text, at + 1):
            return True
        at = text.find("@", at + 1)
    return False


_Check = Callable[[str], object]
_CHECKS: tuple[tuple[str, str, _Check], ...] = (
    (
        "privacy_path",
        "The metadata holds paths of a computer, which can name its user.",
        _PATH.search,
    ),
    (
        "privacy_secret",
        "The metadata holds what looks like a password or token. Treat it as leaked and renew it.",
        _SECRET.search,
    ),
    ("privacy_email", "The metadata holds an e-mail address.", _has_mail),
    (
        "hostile_text",
        "The metadata holds markup, scripts or invisible characters. It is shown as plain text.",
        lambda text: _HOSTILE.search(text) or INVISIBLE.search(text),
    ),
)


def metadata_findings(metadata: Mapping[str, str]) -> Iterator[Finding]:
    """Check every text of the metadata.

    Pictures (`data:` values) are left out: they are never shown, and take most of the space.
    """
    texts = {key: text for key, text in metadata.items() if not text.startswith("data:")}
    everything = "\n".join([*texts, *texts.values()])
    for code, message, check in _CHECKS:
        if check(everything):
            keys = [key for key, text in texts.items() if check(text) or check(key)][:_MOST_KEYS]
            yield finding(code, message, keys=[INVISIBLE.sub("", key)[:80] for key in keys])
    size = sum(len(key) + len(text) for key, text in metadata.items())
    if size > _LARGE_BYTES:
        yield finding("metadata_large", f"The metadata has {size:,} characters.", chars=size)
    pictures = sorted(set(metadata) - set(texts))
    if pictures:
        message = "The metadata holds a picture; it is not shown."
        yield finding("thumbnail_left_out", message, keys=pictures[:_MOST_KEYS])
    yield from _unreadable(metadata)


def _unreadable(metadata: Mapping[str, str]) -> Iterator[Finding]:
    """Keys that trainers fill with JSON, whose value does not even look like it."""
    broken = [
        key
        for key in _JSON_KEYS
        if key in metadata and not metadata[key].lstrip().startswith(("{", "[", "null", "None"))
    ]
    if any(metadata[key].strip() for key in broken):
        yield finding("metadata_unreadable", "Values that should be JSON are not.", keys=broken)
