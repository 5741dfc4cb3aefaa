"""The adapters that a node of ComfyUI loads, by the names of its inputs.

```
lora_name, strength_model                     ComfyUI, and most loaders
lora_1: {on, lora, strength}                  rgthree's Power Lora Loader
lora_01, strength_01                          rgthree's stack
lora_count, lora_name_1, lora_wt_1, model_str_1     Efficiency nodes
switch_1, lora_name_1, model_weight_1         Comfyroll
toggle, num_loras, lora_1_name, lora_1_strength     Easy Use
loras: [{name, strength, active}]             LoRA Manager
text: <lora:noir:0.8>                         loaders of tags, wildcards
```
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from lorary.pictures.claims import a1111
from lorary.pictures.claims.facts import WEIGHT_ENDINGS, Resource

_KEY = re.compile(
    r"(?:\w{0,24}_)?lora(?P<name>_?name)?_?(?P<n>\d{1,3})?(?P<name_after>_?name)?\Z", re.IGNORECASE
)
_NUMBER = re.compile(r"\d{1,3}")
_STRENGTH = re.compile(r"strength|weight|wt|_str(_|\Z)", re.IGNORECASE)
_SWITCH = re.compile(r"switch|enable|toggle|active|(\A|_)on(_|\Z)", re.IGNORECASE)
_OFF = frozenset({"off", "false", "no", "disable", "disabled", "none", "0"})
#: Maximum number of inputs of a node; a stack of 50 adapters has about 200.
MAX_INPUTS = 500
_COUNTS = ("lora_count", "num_loras")
_READS_TAGS = re.compile(r"lora|wildcard|prompt ?control|pclazy", re.IGNORECASE)
_NOTHING = frozenset({"", "none", "null", "[none]", "undefined", "select a lora", "choose"})


class Node(dict[str, Any]):
    """The inputs of a node by name, each a value or ``[id, output]``.

    Attributes:
        kind: Its class.
        is_off: Whether it is muted or bypassed: its links count, its values do not.
    """

    def __init__(self, inputs: Mapping[str, Any], kind: str, *, is_off: bool = False) -> None:
        super().__init__(islice(inputs.items(), MAX_INPUTS))
        self.kind = kind
        self.is_off = is_off


def loras_of(node: Node) -> Iterator[Resource]:
    """Yield the adapters that a node loads."""
    if node.is_off or any(_is_off(node.get(key)) for key in ("toggle", "enabled")):
        return
    groups = _Groups(node)
    count = next((node[key] for key in _COUNTS if isinstance(node.get(key), int)), None)
    for key, value in node.items():
        match = _KEY.match(key)
        number = int(match["n"]) if match and match["n"] else None
        if isinstance(value, str) and match:
            is_used = count is None or number is None or number <= count
            if is_used and _is_name(value, match) and not groups.is_switched_off(number):
                yield Resource(value.strip(), "lora", groups.strength(number))
        elif isinstance(value, dict | list):
            yield from _of_table(key, value)
    if not any(_rows_of(key, value) for key, value in node.items()) and _READS_TAGS.search(
        node.kind
    ):
        # Of a node with wildcards, the text that was chosen counts, not all the choices.
        texts = [node["populated_text"]] if "populated_text" in node else node.values()
        for value in texts:
            if isinstance(value, str):
                yield from a1111.tags(value)


def _is_name(value: str, match: re.Match[str]) -> bool:
    """Return whether a value names a file; without its ending only as a ``name``."""
    text = value.strip().lower()
    if text in _NOTHING:
        return False
    is_file = text.endswith(WEIGHT_ENDINGS) or text.startswith("urn:air:")
    return is_file or bool(match["name"] or match["name_after"])


def _of_table(key: str, value: dict[str, Any] | list[Any]) -> Iterator[Resource]:
    """Yield the adapters of ``{on, lora, strength}``, and of a list of such tables."""
    rows = _rows_of(key, value)
    for row in rows:
        yield from _of_row(row, ("lora", "lora_name", "name"))
    if isinstance(value, dict) and not rows:
        yield from _of_row(value, ("lora", "lora_name"))


def _rows_of(key: str, value: object) -> list[dict[str, Any]]:
    """Return the tables of a list of adapters; they say the same as tags beside them."""
    if isinstance(value, dict):
        value = value.get("__value__")
    if not isinstance(value, list) or "lora" not in key.casefold():
        return []
    return [row for row in value if isinstance(row, dict)]


def _of_row(row: dict[str, Any], names: tuple[str, ...]) -> Iterator[Resource]:
    name = next((row[key] for key in names if isinstance(row.get(key), str)), "")
    if name.strip().lower() in _NOTHING:
        return
    if not any(_is_off(row.get(key)) for key in ("on", "active", "enabled")):
        strength = row.get("strength", row.get("strength_model", row.get("weight")))
        yield Resource(name.strip(), "lora", strength)


def _is_off(value: object) -> bool:
    return value is False or (isinstance(value, str) and value.strip().casefold() in _OFF)


class _Groups:
    """The inputs of a node by their number; those without one have None. Each is read once."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._inputs: dict[int | None, dict[str, Any]] = {}
        for key, value in node.items():
            match = _NUMBER.search(key)
            self._inputs.setdefault(int(match[0]) if match else None, {})[key] = value
        self._off: dict[int, bool] = {}
        self._strengths: dict[int | None, object] = {}

    def is_switched_off(self, number: int | None) -> bool:
        """Return whether the adapter with a number is switched off."""
        if number is None:
            return False
        if number not in self._off:
            inputs = self._inputs.get(number, {}).items()
            self._off[number] = any(_SWITCH.search(key) and _is_off(value) for key, value in inputs)
        return self._off[number]

    def strength(self, number: int | None) -> object:
        """Return the strength of the adapter with a number."""
        if number not in self._strengths:
            self._strengths[number] = _strength(self._node, self._inputs.get(number, {}))
        return self._strengths[number]


def _strength(node: Node, inputs: Mapping[str, Any]) -> object:
    """Return the strength among inputs of a number, for the denoiser if there are two."""
    found = {
        key.casefold(): value
        for key, value in inputs.items()
        if _STRENGTH.search(key)
        and "clip" not in key.casefold()
        and isinstance(value, int | float)
        and not isinstance(value, bool)
    }
    of_model = [value for key, value in found.items() if "model" in key]
    plain = [value for key, value in found.items() if "model" not in key]
    mode = node.get("input_mode", node.get("mode"))
    order = [*plain, *of_model] if mode == "simple" else [*of_model, *plain]
    return order[0] if order else None
