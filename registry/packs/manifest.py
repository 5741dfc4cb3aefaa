"""Manifests of packs: reading one that somebody wrote, and its canonical form.

```
schema      1
variants    name, family, output, prompt, negative, [steps, guidance, width, height, frames, fps,]
            [tested_with: the recipe that it was tested with,]
            parts   adapter, version, file, sha256, strength, role
```

The canonical form is JSON in UTF-8 with sorted keys and without spaces; its sha256 names the
version. In what people write, a part may leave out ``version`` (the latest), ``file`` or ``sha256``
(the primary weights) and ``strength`` (the recommended one): ``registry.packs.resolve`` adds them.

Faults are collected by JSON path, such as ``variants[0].parts[1].strength``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.utils.translation import gettext as _

from lorary.anatomy import FAMILIES
from registry.errors import Invalid
from registry.models import Output, PartRole
from registry.names import has_control

SCHEMA = 1
#: What stands for the subject in a prompt template.
PLACEHOLDER = "{prompt}"
MAX_VARIANTS = 16
#: Parts of a variant: as many adapters as a try-out mounts at once.
MAX_PARTS = 5
#: Highest strength of a part, as of a layer of a try-out; the lowest is its negative.
MAX_STRENGTH = 2.0
MAX_TEXT = 2000
#: Bytes of a canonical manifest.
MAX_BYTES = 256 * 1024
#: Entries of ``tested_with``, and characters of a text in it.
MAX_TESTED, MAX_TESTED_TEXT = 24, 300
MAX_TESTED_NUMBER = 10**15

#: Settings that a variant may leave to the base: type, lowest and highest value.
SETTINGS: dict[str, tuple[type[int] | type[float], float, float]] = {
    "steps": (int, 1, 1000),
    "guidance": (float, 0, 100),
    "width": (int, 64, 4096),
    "height": (int, 64, 4096),
    "frames": (int, 1, 257),
    "fps": (int, 1, 60),
}

_VARIANT_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,46}[a-z0-9])?\Z")
_TESTED_NAME = re.compile(r"[a-z][a-z0-9_]{0,47}\Z")
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")
_VARIANT_KEYS = frozenset(
    {"name", "family", "output", "parts", "prompt", "negative", "tested_with", *SETTINGS}
)
_PART_KEYS = frozenset({"adapter", "version", "file", "sha256", "strength", "role"})


@dataclass(slots=True)
class Faults:
    """Faults by JSON path."""

    found: dict[str, list[str]] = field(default_factory=dict)

    def add(self, path: str, text: str) -> None:
        """Add a fault."""
        self.found.setdefault(path, []).append(text)

    def refuse(self) -> None:
        """Raise Invalid with all faults, if there are any."""
        if self.found:
            lines = (f"{path}: {' '.join(texts)}" for path, texts in self.found.items())
            raise Invalid(" ".join(lines), fields=self.found)


def canonical(manifest: Mapping[str, Any]) -> bytes:
    """Return the canonical JSON of a manifest.

    Raises:
        Invalid: it has more than ``MAX_BYTES``.
    """
    text = json.dumps(manifest, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    data = text.encode()
    if len(data) > MAX_BYTES:
        message = _("The manifest can have at most %(n)d bytes; it has %(size)d.")
        message %= {"n": MAX_BYTES, "size": len(data)}
        raise Invalid(message, fields={"manifest": [message]})
    return data


def prompt_of(template: str, subject: str) -> str:
    """Return the prompt of a template for a subject; other braces are literal."""
    return template.replace(PLACEHOLDER, subject)


def checked(value: object, faults: Faults) -> dict[str, Any]:
    """Return a manifest with known keys and valid values, without what is null.

    With faults, only what was valid is in it.
    """
    manifest: dict[str, Any] = {"schema": SCHEMA, "variants": []}
    if not isinstance(value, Mapping):
        faults.add("manifest", _("The manifest must be a JSON object."))
        return manifest
    _refuse_unknown(value, {"schema", "variants"}, "", faults)
    if value.get("schema", SCHEMA) != SCHEMA:
        faults.add("schema", _("The schema must be %(n)d.") % {"n": SCHEMA})
    variants = _list(value.get("variants"), MAX_VARIANTS, "variants", faults)
    for position, item in enumerate(variants):
        manifest["variants"].append(_variant(item, f"variants[{position}]", faults))
    _refuse_twins([one.get("name") for one in manifest["variants"]], faults)
    return manifest


def _refuse_twins(names: Sequence[str | None], faults: Faults) -> None:
    for position, name in enumerate(names):
        if name is not None and name in names[:position]:
            text = _("Another variant is called “%(name)s”.")
            faults.add(f"variants[{position}].name", text % {"name": name})


def _variant(value: object, path: str, faults: Faults) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        faults.add(path, _("A variant must be a JSON object."))
        return {"parts": []}
    _refuse_unknown(value, _VARIANT_KEYS, f"{path}.", faults)
    found: dict[str, Any] = {
        "name": _name(value.get("name"), f"{path}.name", faults),
        "family": _family(value.get("family"), f"{path}.family", faults),
        "output": _choice(value.get("output", "image"), Output.values, f"{path}.output", faults),
        "prompt": _template(value.get("prompt"), f"{path}.prompt", faults),
        "negative": _text(value.get("negative") or "", f"{path}.negative", faults),
        "tested_with": _tested(value.get("tested_with"), f"{path}.tested_with", faults),
        **{name: _setting(name, value.get(name), path, faults) for name in SETTINGS},
    }
    _check_size(found, path, faults)
    parts = _list(value.get("parts"), MAX_PARTS, f"{path}.parts", faults)
    found["parts"] = [
        _part(item, f"{path}.parts[{position}]", faults) for position, item in enumerate(parts)
    ]
    return {name: one for name, one in found.items() if one is not None}


def _check_size(found: Mapping[str, Any], path: str, faults: Faults) -> None:
    for side in ("width", "height"):
        if found[side] is not None and found[side] % 8:
            faults.add(f"{path}.{side}", _("Enter a multiple of 8."))
    if (found["width"] is None) != (found["height"] is None):
        missing = "width" if found["width"] is None else "height"
        faults.add(f"{path}.{missing}", _("Set width and height, or neither."))
    for name in ("frames", "fps"):
        if found[name] is not None and found["output"] != Output.VIDEO:
            faults.add(
                f"{path}.{name}", _("This field is only for variants with the output “video”.")
            )


def _part(value: object, path: str, faults: Faults) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        faults.add(path, _("A part must be a JSON object."))
        return {}
    _refuse_unknown(value, _PART_KEYS, f"{path}.", faults)
    found: dict[str, Any] = {
        "adapter": _text(value.get("adapter"), f"{path}.adapter", faults, required=True),
        "role": _choice(value.get("role"), PartRole.values, f"{path}.role", faults),
        "strength": _number(
            value.get("strength"), (float, -MAX_STRENGTH, MAX_STRENGTH), f"{path}.strength", faults
        ),
        "sha256": _digest(value.get("sha256"), f"{path}.sha256", faults),
    }
    for name in ("version", "file"):
        if value.get(name) is not None:
            found[name] = _text(value[name], f"{path}.{name}", faults, required=True)
    return {name: one for name, one in found.items() if one is not None}


def _refuse_unknown(
    value: Mapping[Any, object], known: set[str] | frozenset[str], path: str, faults: Faults
) -> None:
    for name in value:
        if name not in known:
            faults.add(f"{path}{_shown(name)}", _("There is no such field."))


def _shown(name: object) -> str:
    """Return the name of a field for a message."""
    return str(name)[:80].encode("ascii", "backslashreplace").decode()


def _list(value: object, limit: int, path: str, faults: Faults) -> Sequence[object]:
    if not isinstance(value, list) or not 1 <= len(value) <= limit:
        faults.add(path, _("Enter a list of 1 to %(n)d.") % {"n": limit})
        return []
    return value


def _name(value: object, path: str, faults: Faults) -> str | None:
    if isinstance(value, str) and _VARIANT_NAME.match(value):
        return value
    text = _(
        "Enter a name of 1 to 48 lower-case letters, digits, “.”, “_” and “-”, such as “sdxl”."
    )
    faults.add(path, text)
    return None


def _family(value: object, path: str, faults: Faults) -> str | None:
    if isinstance(value, str) and value in FAMILIES:
        return value
    faults.add(path, _("Enter the name of a family of base models, such as “sdxl”."))
    return None


def _choice(value: object, choices: Sequence[str], path: str, faults: Faults) -> str | None:
    if isinstance(value, str) and value in choices:
        return value
    faults.add(path, _("Enter one of: %(all)s.") % {"all": ", ".join(choices)})
    return None


def _text(value: object, path: str, faults: Faults, *, required: bool = False) -> str | None:
    if not isinstance(value, str):
        faults.add(path, _("Enter text."))
    elif required and not value.strip():
        faults.add(path, _("This must not be empty."))
    elif len(value) > MAX_TEXT:
        faults.add(path, _("Enter at most %(n)d characters.") % {"n": MAX_TEXT})
    elif has_control(value):
        faults.add(path, _("This text contains invisible control characters."))
    else:
        return value
    return None


def _template(value: object, path: str, faults: Faults) -> str | None:
    found = _text(value, path, faults, required=True)
    if found is not None and found.count(PLACEHOLDER) != 1:
        text = _("Write %(placeholder)s exactly once, where the subject goes.")
        faults.add(path, text % {"placeholder": PLACEHOLDER})
        return None
    return found


def _digest(value: object, path: str, faults: Faults) -> str | None:
    if value is None or (isinstance(value, str) and _SHA256.match(value)):
        return value
    faults.add(path, _("Enter a sha256 of 64 lower-case hex digits."))
    return None


def _setting(name: str, value: object, path: str, faults: Faults) -> int | float | None:
    return _number(value, SETTINGS[name], f"{path}.{name}", faults)


def _number(
    value: object,
    limits: tuple[type[int] | type[float], float, float],
    path: str,
    faults: Faults,
) -> int | float | None:
    """Return a number, None if there is none; floats have at most 4 decimal places."""
    if value is None:
        return None
    kind, least, most = limits
    number = None if isinstance(value, bool) or not isinstance(value, int | float) else value
    in_range = number is not None and least <= number <= most  # infinity is not
    if number is None or not in_range or (kind is int and number != int(number)):
        facts = {"least": f"{least:g}", "most": f"{most:g}"}
        text = _("Enter a whole number from %(least)s to %(most)s.")
        if kind is float:
            text = _("Enter a number from %(least)s to %(most)s.")
        faults.add(path, text % facts)
        return None
    return round(float(number), 4) + 0.0 if kind is float else int(number)  # -0.0 becomes 0.0


def _tested(value: object, path: str, faults: Faults) -> dict[str, Any] | None:
    """Return the recipe that a variant was tested with: a flat object of names and values."""
    if value is None or value == {}:
        return None
    if not isinstance(value, Mapping) or len(value) > MAX_TESTED:
        text = _("Enter a JSON object with at most %(n)d entries.")
        faults.add(path, text % {"n": MAX_TESTED})
        return None
    for name, one in value.items():
        if not _TESTED_NAME.match(str(name)):
            faults.add(f"{path}.{_shown(name)}", _("Use lower-case letters, digits and “_”."))
        elif not _is_plain(one):
            text = _("Enter a number, true, false, or text of at most %(n)d characters.")
            faults.add(f"{path}.{name}", text % {"n": MAX_TESTED_TEXT})
    return {name: one + 0.0 if isinstance(one, float) else one for name, one in value.items()}


def _is_plain(value: object) -> bool:
    if isinstance(value, str):
        return len(value) <= MAX_TESTED_TEXT and not has_control(value)
    # Databases and browsers keep such numbers as they are written.
    return isinstance(value, bool | int | float) and abs(value) < MAX_TESTED_NUMBER
