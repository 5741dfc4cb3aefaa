"""Private things in metadata: whose they are, and where, but never what they are.

Trainers write their arguments into the file: paths with the name of a user, whole configurations,
and now and then a token. The rules are in `privacy_rules.py`; e-mail addresses are found here.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from lorary.anatomy.findings.privacy_rules import RULES, Rule

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

__all__ = ["UNSEEN", "Leak", "kinds_in", "leaks", "redact", "safe_name"]

_MOST_JSON_CHARS = 1024 * 1024
_MOST_TEXTS = 20_000
_MOST_DEPTH = 12
_MOST_LEAKS = 1_000
_NAME_CHARS = 60


UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f"
    "\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff0-\ufffb\ud800-\udfff"
    "\U000e0000-\U000e0fff]"
)
"""Characters without a shape: controls, directions, joiners, fillers, tags and lone surrogates."""


_SEEN = bytes(range(0x20, 0x7F)) + b"\n\t"


class Leak(NamedTuple):
    """One private thing.

    Attributes:
        code: Code of its finding.
        key: Metadata key, followed by the names inside a JSON value: `ot_config.concepts.path`.
        kind: What it is, such as `user_path`.
    """

    code: str
    key: str
    kind: str


_NO_HOSTS = (
    "png|jpe?g|webp|gif|avif|bmp|svg|mp4|mov|webm|safetensors|sft|ckpt|pth?|bin|gguf|onnx|txt|json"
    "|jsonl|toml|ya?ml|md|py|sh|bat|zip|csv|npz"
)
_MAIL = re.compile(
    r"@(?:[\w\-]{1,63}\.){1,8}(?!(?:" + _NO_HOSTS + r")\b)[A-Za-z]{2,24}(?![\w\-]|\.\w)"
)
_MAIL_USER = re.compile(r"[\w.%+\-]{0,63}[\w%+\-]\Z")
_NOBODY = frozenset({"git", "noreply", "no-reply", "ssh"})
_MAIL_USER_CHARS = 65

_EMAIL = ("privacy_email", "email")

_ESCAPED = re.compile(r"\\{1,8}u00([2-7a-fA-F][0-9a-fA-F])")
_UNUSUAL = re.compile(r"\\{1,8}/")
_JSON_START = ("{", "[")

# Whole configurations are told by their key, and by what stands in those of training programs.
_CONFIG_KEYS = ("config", "configuration", "workflow", "prompt", "job", "_args")
_ADAPTER_CONFIGS = frozenset({"lycoris_config", "adapter_config", "lora_config", "ss_network_args"})
_CONFIG_WORDS = ("concept", "dataset", "optimizer", "learning_rate", "batch_size", "class_type",
                 "workspace", '"nodes"')  # fmt: skip
_CONFIG_CHARS = 200
_LONG_CHARS = 2_000
_SHORT_CHARS = 100


def plain(text: str) -> str:
    """Text without the escapes of JSON and the unseen characters that could hide something."""
    if "\\" in text:
        if "\\u00" in text:
            text = _ESCAPED.sub(lambda found: chr(int(found[1], 16)), text)
        if "\\/" in text:
            text = _UNUSUAL.sub("/", text)
    return text if is_plain(text) else UNSEEN.sub("", text)


def is_plain(text: str) -> bool:
    """Tell whether every character is seen or ends a line, as nearly always."""
    if text.isascii():
        return not text.encode().translate(None, _SEEN)
    return text.replace("\n", " ").replace("\t", " ").isprintable()


def _mails(text: str) -> Iterator[tuple[int, int]]:
    """Places of e-mail addresses, found from their @: one pattern would take quadratic time."""
    if "@" not in text:
        return
    for found in _MAIL.finditer(text):
        at = found.start()
        user = _MAIL_USER.search(text, max(0, at - _MAIL_USER_CHARS), at)
        if user is None or user[0].lower() in _NOBODY or "noreply" in found[0].lower():
            continue
        if text[user.start() - 1 : user.start()] != "@":  # a handle: @name@server
            yield user.start(), found.end()


# Characters that stand in no mark: a third of a list of tags with their counts.
_FILLING = dict.fromkeys(map(ord, "0123456789 ,(){}[]"))


def _grouped() -> tuple[list[str], dict[str, list[str]]]:
    """Marks of letters alone, and the others by their first character that is no letter."""
    letters: list[str] = []
    by_sign: dict[str, list[str]] = {}
    for mark in dict.fromkeys(mark for rule in RULES for mark in rule.marks):
        sign = next((sign for sign in mark if not sign.isalpha()), None)
        (letters if sign is None else by_sign.setdefault(sign, [])).append(mark)
    return letters, by_sign


_LETTERS, _BY_SIGN = _grouped()
_NEAR = 8  # characters: no mark is longer
_FEW = 200  # characters for each sign, from which on looking around the signs is faster


def _marks_in(low: str) -> set[str]:
    """Marks that stand in a text; those with a sign are looked for around the signs alone."""
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


def _fitting(text: str) -> list[Rule]:
    """Rules whose pattern is somewhere in the text."""
    low = text.lower().translate(_FILLING)
    # Web addresses are no drives, and `class_tokens` and `max_token_length` no tokens.
    low = low.replace("://", ":").replace("okens", "").replace("oken_", "")
    marks = _marks_in(low)
    if not marks:
        return []
    return [
        rule for rule in RULES if not marks.isdisjoint(rule.marks) and rule.pattern.search(text)
    ]


def kinds_in(text: str) -> list[tuple[str, str]]:
    """Codes and kinds of the private things in a text, each once."""
    return list((_kinds_in if len(text) <= _SHORT_CHARS else _kinds_in.__wrapped__)(text))


@lru_cache(maxsize=4_096)
def _kinds_in(text: str) -> tuple[tuple[str, str], ...]:
    """Cached, because the names of keys and common words repeat from file to file."""
    text = plain(text)
    found = [(rule.code, rule.kind) for rule in _fitting(text)]
    if any(True for _ in _mails(text)):
        found.append(_EMAIL)
    return tuple(_sharp(found))


def _sharp(kinds: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Each kind once; that a path is a computer's needs no word where it names a user."""
    found = dict.fromkeys(kinds)
    if ("privacy_path", "user_path") in found:
        found.pop(("privacy_path", "computer_path"), None)
    return list(found)


def leaks(texts: Mapping[str, str]) -> list[Leak]:
    """Private things in metadata.

    Args:
        texts: Metadata key to value.

    Returns:
        Each key and kind once, in the order of the keys. Nothing of a value is in them; a key
        that is itself private is replaced by its place.
    """
    found = dict.fromkeys(_configs(texts))
    wholes = _wholes(texts)
    fitting = {rule for whole in wholes for rule in _fitting(whole)}
    suspects = [rule for rule in RULES if rule in fitting]
    has_mail = any(True for whole in wholes for _ in _mails(whole))
    budget = [_MOST_TEXTS]
    if suspects or has_mail:
        for number, (key, text) in enumerate(texts.items()):
            entry = plain(f"{key}\t{text}")
            kinds = [(rule.code, rule.kind) for rule in suspects if rule.pattern.search(entry)]
            if has_mail and any(True for _ in _mails(entry)):
                kinds.append(_EMAIL)
            if kinds:
                name = safe_name(key) or f"(key {number + 1})"
                found.update(dict.fromkeys(_placed(name, key, text, _sharp(kinds), budget)))
            if len(found) >= _MOST_LEAKS:
                break
    return list(found)


def _wholes(texts: Mapping[str, str]) -> list[str]:
    """All entries in a few texts: the long ones alone, since lists of tags hold few signs."""
    long = [text for text in texts.values() if len(text) > _LONG_CHARS]
    # Of a long text the beginning stands with its key, too, as some rules look at both.
    short = "\n".join([f"{key}\t{text[:_LONG_CHARS]}" for key, text in texts.items()])
    return [plain(whole) for whole in (*long, short)]


def _placed(
    name: str, key: str, text: str, kinds: list[tuple[str, str]], budget: list[int]
) -> Iterator[Leak]:
    """Name the places inside a JSON value; the key alone where that does not work."""
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
    """Path and text of every text inside a JSON value, JSON inside of it included.

    The text is `name<tab>value` under a name, since some rules look at both. The budget is the
    number of values that may still be looked at, in this and all further texts.
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
    """A name that is fit to be shown, or an empty text when it is private itself.

    Args:
        text: A metadata key, or a name inside a JSON value.
        most: Length in characters at which it is cut.
    """
    shown = text[: 4 * most]
    if not shown.isprintable():
        shown = "".join(filter(str.isprintable, shown))
    if kinds_in(shown):
        return ""
    return shown if len(shown) <= most else shown[: most - 1] + "…"


def redact(text: str) -> str:
    """Text without its private things: paths keep their last part, all else is a mark.

    Use it before a text is shortened, since the first half of a token says enough.
    """
    seen = plain(text)
    rules = _fitting(seen)
    spans = [span for rule in rules for span in _spans(rule, seen)]
    spans += [(start, end, "[e-mail]") for start, end in _mails(seen)]
    if not spans:
        return text
    pieces = []
    place = 0
    for start, end, mark in sorted(spans):
        if start >= place:
            pieces += [seen[place:start], mark]
        place = max(place, end)
    return "".join([*pieces, seen[place:]])


def _spans(rule: Rule, text: str) -> Iterator[tuple[int, int, str]]:
    for found in rule.pattern.finditer(text):
        mark = _last_part(found[0]) if rule.code == "privacy_path" else "[removed]"
        start = found.start()
        if found[0][0] == ":" and rule.code == "privacy_path":
            start -= 1  # the drive's letter
        yield start, found.end(), mark


# Root and owner of a path: the parts that name a computer or a person.
_ROOTS = re.compile(
    r"(?:file:)?[\\/]{0,16}(?:(?:[A-Za-z]?:[\\/]{1,8})?(?:(?:users|documents and settings|home|mnt"
    r"|media|volumes|root)[\\/]{1,8})?)[^\\/]*",
    re.IGNORECASE,
)
_SEPARATOR = re.compile(r"[\\/]+")


def _last_part(path: str) -> str:
    """The last part of a path, when something lies between it and the path's owner."""
    rest = _ROOTS.sub("", path, count=1)
    parts = [part for part in _SEPARATOR.split(rest) if part]
    return f"…/{parts[-1]}" if parts else "[path]"
