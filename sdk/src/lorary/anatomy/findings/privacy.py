"""Finds private data in metadata, and reports its position but never its value.

Trainers write their arguments into the file: paths with the name of a user, whole configurations,
and sometimes a token. The rules are in `privacy_rules.py`; e-mail addresses are found here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import NamedTuple

from lorary.anatomy.findings.privacy_rules import RULES, Rule

_MOST_JSON_CHARS = 1024 * 1024
_MAX_VALUES = 20_000
_MOST_DEPTH = 12
_MOST_LEAKS = 1_000
_NAME_CHARS = 60


INVISIBLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f"
    "\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff0-\ufffb\ud800-\udfff"
    "\U000e0000-\U000e0fff]"
)
"""Controls, directions, joiners, fillers, tags and lone surrogates."""


_VISIBLE = bytes(range(0x20, 0x7F)) + b"\n\t"


class Leak(NamedTuple):
    """One piece of private data."""

    code: str  # code of its finding
    key: str  # metadata key with the names inside a JSON value: `ot_config.concepts.path`
    kind: str  # kind of data, such as `user_path`


_FILE_SUFFIXES = (
    "png|jpe?g|webp|gif|avif|bmp|svg|mp4|mov|webm|safetensors|sft|ckpt|pth?|bin|gguf|onnx|txt|json"
    "|jsonl|toml|ya?ml|md|py|sh|bat|zip|csv|npz"
)
_EMAIL_HOST = re.compile(
    r"@(?:[\w\-]{1,63}\.){1,8}(?!(?:" + _FILE_SUFFIXES + r")\b)[A-Za-z]{2,24}(?![\w\-]|\.\w)"
)
_EMAIL_USER = re.compile(r"[\w.%+\-]{0,63}[\w%+\-]\Z")
_NOT_PEOPLE = frozenset({"git", "noreply", "no-reply", "ssh"})
_EMAIL_USER_CHARS = 65

_EMAIL_LEAK = ("privacy_email", "email")

_ESCAPED = re.compile(r"\\{1,8}u00([2-7a-fA-F][0-9a-fA-F])")
_ESCAPED_SLASH = re.compile(r"\\{1,8}/")
_JSON_START = ("{", "[")

# Whole configurations have such a key, and contain such words.
_CONFIG_KEYS = ("config", "configuration", "workflow", "prompt", "job", "_args")
_ADAPTER_CONFIGS = frozenset({"lycoris_config", "adapter_config", "lora_config", "ss_network_args"})
_CONFIG_WORDS = ("concept", "dataset", "optimizer", "learning_rate", "batch_size", "class_type",
                 "workspace", '"nodes"')  # fmt: skip
_CONFIG_CHARS = 200
_LONG_CHARS = 2_000
_SHORT_CHARS = 100


def plain(text: str) -> str:
    """Return text without JSON escapes and invisible characters, which could hide something."""
    if "\\" in text:
        if "\\u00" in text:
            text = _ESCAPED.sub(lambda found: chr(int(found[1], 16)), text)
        if "\\/" in text:
            text = _ESCAPED_SLASH.sub("/", text)
    return text if is_plain(text) else INVISIBLE.sub("", text)


def is_plain(text: str) -> bool:
    """Return whether a text has only visible characters, line feeds and tabs."""
    if text.isascii():
        return not text.encode().translate(None, _VISIBLE)
    return text.replace("\n", " ").replace("\t", " ").isprintable()


def _emails(text: str) -> Iterator[tuple[int, int]]:
    """Yield spans of e-mail addresses. Starts at the @: one pattern takes quadratic time."""
    if "@" not in text:
        return
    for found in _EMAIL_HOST.finditer(text):
        at = found.start()
        user = _EMAIL_USER.search(text, max(0, at - _EMAIL_USER_CHARS), at)
        if user is None or user[0].lower() in _NOT_PEOPLE or "noreply" in found[0].lower():
            continue
        if text[user.start() - 1 : user.start()] != "@":  # not a handle: @name@server
            yield user.start(), found.end()


# Characters that no mark has: a third of a list of tags with their counts.
_NOT_IN_MARKS = dict.fromkeys(map(ord, "0123456789 ,(){}[]"))


def _group_marks() -> tuple[list[str], dict[str, list[str]]]:
    """Return marks that have only letters, and the others by their first other character."""
    letters: list[str] = []
    by_sign: dict[str, list[str]] = {}
    for mark in dict.fromkeys(mark for rule in RULES for mark in rule.marks):
        sign = next((sign for sign in mark if not sign.isalpha()), None)
        (letters if sign is None else by_sign.setdefault(sign, [])).append(mark)
    return letters, by_sign


_LETTERS, _BY_SIGN = _group_marks()
_NEAR = 8  # characters; no mark is longer
_FEW = 200  # characters per sign, above which a search around the signs is faster


def _marks_in(low: str) -> set[str]:
    """Return the marks in a text; those with a sign are searched only around that sign."""
    found = {mark for mark in _LETTERS if mark in low}
    for sign, marks in _BY_SIGN.items():
        if sign not in low:
            continue
        near = low
        if len(low) > _FEW * low.count(sign):
            parts = low.split(sign)
            near = sign.join(
                part if len(part) <= 2 * _NEAR else f"{part[:_NEAR]} {part[-_NEAR:]}"
                for part in parts
            )
        found.update(mark for mark in marks if mark in near)
    return found


def _matching_rules(text: str) -> list[Rule]:
    """Return the rules whose pattern occurs in the text."""
    low = text.lower().translate(_NOT_IN_MARKS)
    # `https:/` isn't a drive, and `class_tokens` and `max_token_length` aren't tokens.
    low = low.replace("://", ":").replace("okens", "").replace("oken_", "")
    marks = _marks_in(low)
    if not marks:
        return []
    return [
        rule for rule in RULES if not marks.isdisjoint(rule.marks) and rule.pattern.search(text)
    ]


def kinds_in(text: str) -> list[tuple[str, str]]:
    """Return codes and kinds of the private data in a text, without repeats."""
    return list((_kinds_in if len(text) <= _SHORT_CHARS else _kinds_in.__wrapped__)(text))


@lru_cache(maxsize=4_096)
def _kinds_in(text: str) -> tuple[tuple[str, str], ...]:
    """Cached, because keys and common words repeat from file to file."""
    text = plain(text)
    found = [(rule.code, rule.kind) for rule in _matching_rules(text)]
    if any(True for _ in _emails(text)):
        found.append(_EMAIL_LEAK)
    return tuple(_without_repeats(found))


def _without_repeats(kinds: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return each kind once, and `computer_path` only without the more specific `user_path`."""
    found = dict.fromkeys(kinds)
    if ("privacy_path", "user_path") in found:
        found.pop(("privacy_path", "computer_path"), None)
    return list(found)


def leaks(texts: Mapping[str, str]) -> list[Leak]:
    """Find private data in metadata.

    Returns:
        Each key and kind once, in the order of the keys. A key that is itself private is replaced
        by its position. Values are not included.
    """
    found = dict.fromkeys(_configs(texts))
    joined = _joined(texts)
    fitting = {rule for text in joined for rule in _matching_rules(text)}
    rules = [rule for rule in RULES if rule in fitting]
    has_email = any(True for text in joined for _ in _emails(text))
    budget = [_MAX_VALUES]
    if rules or has_email:
        for number, (key, text) in enumerate(texts.items()):
            entry = plain(f"{key}\t{text}")
            kinds = [(rule.code, rule.kind) for rule in rules if rule.pattern.search(entry)]
            if has_email and any(True for _ in _emails(entry)):
                kinds.append(_EMAIL_LEAK)
            if kinds:
                name = safe_name(key) or f"(key {number + 1})"
                found.update(
                    dict.fromkeys(_located(name, key, text, _without_repeats(kinds), budget))
                )
            if len(found) >= _MOST_LEAKS:
                break
    return list(found)


def _joined(texts: Mapping[str, str]) -> list[str]:
    """Return all entries in a few texts, the long ones by themselves.

    Lists of tags are long and have few signs, which makes the search for marks faster.
    """
    long = [text for text in texts.values() if len(text) > _LONG_CHARS]
    # Some rules match key and value, so the beginning of a long text follows its key too.
    short = "\n".join([f"{key}\t{text[:_LONG_CHARS]}" for key, text in texts.items()])
    return [plain(text) for text in (*long, short)]


def _located(
    name: str, key: str, text: str, kinds: list[tuple[str, str]], budget: list[int]
) -> Iterator[Leak]:
    """Yield leaks with their path inside a JSON value, or with the key alone."""
    missing = dict.fromkeys(kinds)
    if text.lstrip()[:1] in _JSON_START and len(text) <= _MOST_JSON_CHARS:
        for path, entry in _entries(text, name, key, budget):
            for kind in kinds_in(entry):
                if kind in kinds:
                    missing.pop(kind, None)
                    yield Leak(kind[0], path, kind[1])
    for kind in missing:
        yield Leak(kind[0], name, kind[1])


def _entries(text: str, name: str, key: str, budget: list[int]) -> Iterator[tuple[str, str]]:
    """Yield path and text of every text inside a JSON value, including nested JSON.

    The text is `name<tab>value` because some rules match both. The budget is the number of values
    that may still be read, in this and all further texts.
    """
    todo: list[tuple[str, str, object, int]] = [(name, key, text, 0)]
    while todo and budget[0] > 0:
        budget[0] -= 1
        path, label, value, depth = todo.pop()
        if isinstance(value, str):
            inner = _parsed(value) if value.lstrip()[:1] in _JSON_START else None
            if inner is None:
                yield path, f"{label}\t{value}"
            elif depth < _MOST_DEPTH:
                todo.append((path, label, inner, depth + 1))
        elif isinstance(value, dict) and depth < _MOST_DEPTH:
            for inner_name, inner in value.items():
                shown = safe_name(inner_name)
                deeper = f"{path}.{shown}" if shown else path
                if not isinstance(inner, str):
                    yield deeper, inner_name
                todo.append((deeper, inner_name, inner, depth + 1))
        elif isinstance(value, list) and depth < _MOST_DEPTH:
            todo += [(path, label, inner, depth + 1) for inner in value]


def _parsed(text: str) -> object | None:
    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, (dict, list)) else None


def _configs(texts: Mapping[str, str]) -> Iterator[Leak]:
    for key, text in texts.items():
        if not key.endswith(_CONFIG_KEYS) or len(text) < _CONFIG_CHARS:
            continue
        if key in _ADAPTER_CONFIGS or text.lstrip()[:1] not in _JSON_START:
            continue
        if any(word in text for word in _CONFIG_WORDS):
            yield Leak("privacy_config", safe_name(key) or "(hidden)", "whole_config")


def safe_name(text: str, most: int = _NAME_CHARS) -> str:
    """Return a name that may be shown, or "" if it is private itself.

    Args:
        text: A metadata key, or a name inside a JSON value.
        most: Maximum length in characters.
    """
    shown = text[: 4 * most]
    if not shown.isprintable():
        shown = "".join(filter(str.isprintable, shown))
    if kinds_in(shown):
        return ""
    return shown if len(shown) <= most else shown[: most - 1] + "…"


def redact(text: str) -> str:
    """Return text without private data: paths keep their last part, other data becomes a mark.

    Redact a text before it is shortened: half of a token still says too much.
    """
    visible = plain(text)
    rules = _matching_rules(visible)
    spans = [span for rule in rules for span in _spans(rule, visible)]
    spans += [(start, end, "[e-mail]") for start, end in _emails(visible)]
    if not spans:
        return text
    pieces = []
    position = 0
    for start, end, mark in sorted(spans):
        if start >= position:
            pieces += [visible[position:start], mark]
        position = max(position, end)
    return "".join([*pieces, visible[position:]])


def _spans(rule: Rule, text: str) -> Iterator[tuple[int, int, str]]:
    for found in rule.pattern.finditer(text):
        mark = _last_part(found[0]) if rule.code == "privacy_path" else "[removed]"
        start = found.start()
        if found[0][0] == ":" and rule.code == "privacy_path":
            start -= 1  # the drive's letter
        yield start, found.end(), mark


# The parts of a path that name a computer or a person.
_ROOTS = re.compile(
    r"(?:file:)?[\\/]{0,16}(?:(?:[A-Za-z]?:[\\/]{1,8})?(?:(?:users|documents and settings|home|mnt"
    r"|media|volumes|root)[\\/]{1,8})?)[^\\/]*",
    re.IGNORECASE,
)
_SEPARATOR = re.compile(r"[\\/]+")


def _last_part(path: str) -> str:
    """Return the last part of a path, if it isn't the name of the owner."""
    rest = _ROOTS.sub("", path, count=1)
    parts = [part for part in _SEPARATOR.split(rest) if part]
    return f"…/{parts[-1]}" if parts else "[path]"
