"""The YAML between two lines of dashes at the beginning of a README.

It is read with PyYAML's safe loader and under limits: a block has at most ``MAX_BYTES``,
``MAX_NODES`` values and ``MAX_DEPTH`` levels, and no anchors, aliases or tags. So no input is
amplified, and the result has only texts, numbers, booleans, lists and mappings. Dates stay texts,
because the values go into JSON.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import yaml
from django.utils.translation import gettext as _

from registry.errors import Invalid

MAX_BYTES = 64 * 1024
MAX_NODES = 3000
#: Limit of integers; YAML 1.1 reads “1:1:1” as one, of any length.
MAX_NUMBER = 2**63
MAX_DEPTH = 16
BOM = "\ufeff"

_FENCE = re.compile(r"^---[ \t]{0,1024}\r?$", re.MULTILINE)
_TIMESTAMP = "tag:yaml.org,2002:timestamp"


class _Loader(yaml.SafeLoader):
    """The safe loader, without dates."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, form) for tag, form in found if tag != _TIMESTAMP]
    for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def split(text: str) -> tuple[str, str]:
    """Return the front matter of a README, "" without one, and the text after it.

    It begins with the line break after the dashes, so that line numbers stay correct.
    """
    text = text.removeprefix(BOM).lstrip()
    opening = _FENCE.match(text)
    closing = _FENCE.search(text, opening.end()) if opening else None
    if opening is None or closing is None:
        return "", text
    return text[opening.end() : closing.start()], text[closing.end() :].lstrip()


def parse(raw: str) -> dict[str, Any]:
    """Return the values of a front matter as JSON values.

    Raises:
        Invalid: it is not YAML or not a mapping, or exceeds a limit; the message has the line.
    """
    if len(raw.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise _invalid(_("it has more than %(limit)d bytes") % {"limit": MAX_BYTES})
    try:
        _require_safe(raw)
        found = yaml.load(raw, Loader=_Loader)  # noqa: S506 - a subclass of the safe loader
    except yaml.YAMLError as error:
        raise _invalid(_reason(error)) from error
    except (ValueError, OverflowError) as error:  # 0x_, thousands of digits, 1:1:1:…1.5
        raise _bad_number() from error
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise _invalid(_("it must have names with values, as in “license: mit”"))
    return {_key(key): _json_value(value) for key, value in found.items()}


def _block(fields: Mapping[str, Any]) -> str:
    """Return values as lines of YAML."""
    if not fields:
        return ""
    return yaml.safe_dump(dict(fields), sort_keys=False, allow_unicode=True, width=1000)


def patched(text: str, changes: Mapping[str, Any]) -> str:
    """Return a README with changed values in its front matter; the rest stays as written.

    Args:
        text: A README with a valid front matter or none.
        changes: Key → value; None deletes it.
    """
    raw, _body = split(text)
    new = {key: value for key, value in changes.items() if value is not None}
    if not raw:
        return f"---\n{_block(new)}---\n{text.removeprefix(BOM)}"
    first = text.index(raw, text.index("---") + 3)
    lines = _patched(raw[1:], changes)  # after the line break
    wanted = {key: value for key, value in parse(raw).items() if key not in changes} | new
    if not _parses_to(lines, wanted):  # keys without lines of their own
        lines = _block(wanted)
    if "\r\n" in raw:
        lines = lines.replace("\r\n", "\n").replace("\n", "\r\n")
    return f"{text[: first + 1]}{lines}{text[first + len(raw) :]}"


def _patched(raw: str, changes: Mapping[str, Any]) -> str:
    """Return a block with changed lines for some keys, and new keys at its end."""
    left = {key: value for key, value in changes.items() if value is not None}
    root, pieces, at = yaml.compose(raw, Loader=_Loader), [], 0
    for key, value in root.value if root is not None else ():
        if key.value in changes:
            pieces.append(raw[at : key.start_mark.index])
            pieces.append(_block({key.value: left.pop(key.value)}) if key.value in left else "")
            at = _end_of(raw, value.end_mark.index)
    return "".join([*pieces, raw[at:], _block(left)])


def _parses_to(raw: str, wanted: Mapping[str, Any]) -> bool:
    try:
        return parse(raw) == wanted
    except Invalid:
        return False


def _end_of(raw: str, at: int) -> int:
    """Return the end of a value's last line; a block value ends where the next line begins."""
    if at and raw[at - 1] == "\n":
        return at
    found = raw.find("\n", at)
    return len(raw) if found < 0 else found + 1


def _require_safe(raw: str) -> None:
    """Refuse YAML that could be amplified or create other objects, before it is loaded."""
    depth = 0
    for count, event in enumerate(yaml.parse(raw, Loader=_Loader)):
        line = event.start_mark.line + 1 if event.start_mark else 0
        if isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        elif isinstance(event, yaml.NodeEvent):
            depth += isinstance(event, yaml.CollectionStartEvent)
            _require_small(count, depth, line)
            if event.anchor is not None or getattr(event, "tag", None) is not None:
                text = _("line %(line)d has an anchor, an alias or a tag, which are not supported")
                raise _invalid(text % {"line": line})


def _require_small(count: int, depth: int, line: int) -> None:
    if count > 2 * MAX_NODES:
        raise _invalid(_("it has more than %(limit)d values") % {"limit": MAX_NODES})
    if depth > MAX_DEPTH:
        raise _invalid(_("line %(line)d is nested too deeply") % {"line": line})


def _reason(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or _("it has characters that YAML does not allow")
    if mark is None:
        return str(problem)
    text = _("line %(line)d: %(problem)s")
    return text % {"line": mark.line + 1, "problem": problem}


def _invalid(reason: str) -> Invalid:
    text = _("The front matter of README.md cannot be read: %(reason)s.") % {"reason": reason}
    return Invalid(text, fields={"README.md": text})


def _bad_number() -> Invalid:
    return _invalid(_("it has a number that is invalid or too large"))


def _key(value: object) -> str:
    return str(_json_value(value))


def _json_value(value: Any) -> Any:  # noqa: ANN401 - any value of YAML
    """Return a value for JSON: keys become texts, and infinite numbers None."""
    if isinstance(value, dict):
        return {_key(key): _json_value(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_json_value(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, int) and abs(value) >= MAX_NUMBER:
        raise _bad_number()
    return value
