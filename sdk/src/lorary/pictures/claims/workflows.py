"""Reads ComfyUI's graphs on the screen, as far as the names of widgets are known.

```
nodes: [{id, type, mode, inputs: [{name, link, widget}], widgets_values: […]}, …]
links: [[id, from, its output, to, its input, type], …], or tables with these names
definitions: {subgraphs: [{id, nodes, links, inputs, outputs}, …]}
```

A node whose type is the id of a subgraph stands for its nodes. Inside, -10 is the origin of what
comes from outside, and -20 the target of what goes there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from lorary.pictures.claims.facts import WEIGHT_ENDINGS, without_ending
from lorary.pictures.claims.nodes import Node

MAX_NODES = 4000
#: Maximum number of links; those of a subgraph count each time it is used.
_MAX_LINKS = 100_000
#: Maximum depth of subgraphs.
_MAX_DEPTH = 8
_OUTER, _RESULT = -10, -20
#: Modes of nodes that do not run: muted, bypassed.
_OFF = (2, 4)
#: Values of the widget that follows a seed.
_AFTER_SEED = ("fixed", "increment", "decrement", "randomize")

_EFFICIENT = ("ckpt_name", "vae_name", "clip_skip", "lora_name", "lora_model_strength")
_EASY = ("toggle", "mode", "num_loras")
#: Widgets of nodes, in order; None stands for one that is not used here.
_WIDGETS: dict[str, tuple[str | None, ...]] = {
    "KSampler": ("seed", None, "steps", "cfg", "sampler_name", "scheduler"),
    "KSamplerAdvanced": (None, "noise_seed", None, "steps", "cfg", "sampler_name", "scheduler"),
    "CLIPTextEncode": ("text",),
    "CheckpointLoaderSimple": ("ckpt_name",),
    "UNETLoader": ("unet_name",),
    "LoraLoader": ("lora_name", "strength_model"),
    "LoraLoaderModelOnly": ("lora_name", "strength_model"),
    "EmptyLatentImage": ("width", "height", "batch_size"),
    "EmptySD3LatentImage": ("width", "height", "batch_size"),
    "RandomNoise": ("noise_seed",),
    "KSamplerSelect": ("sampler_name",),
    "BasicScheduler": ("scheduler", "steps"),
    "FluxGuidance": ("guidance",),
    "Efficient Loader": _EFFICIENT,
    "easy a1111Loader": _EFFICIENT,
    "LoRA Stacker": (
        "input_mode",
        "lora_count",
        *(
            f"{name}_{number}"
            for number in range(1, 50)
            for name in ("lora_name", "lora_wt", "model_str", "clip_str")
        ),
    ),
    "easy loraStack": (
        *_EASY,
        *(
            f"lora_{number}_{name}"
            for number in range(1, 11)
            for name in ("name", "strength", "model_strength", "clip_strength")
        ),
    ),
}


@dataclass(frozen=True, slots=True)
class _Level:
    """A workflow, or the inside of a subgraph."""

    prefix: str  # of the ids of its nodes
    depth: int
    is_off: bool  # whether the node that stands for it is off
    outer: tuple[Any, ...]  # what comes from outside, by slot


_TOP = _Level("", 0, is_off=False, outer=())


@dataclass(slots=True)
class _Room:
    """How many links may still be read."""

    links: int = _MAX_LINKS


def nodes_of(workflow: Any) -> dict[str, Node]:  # noqa: ANN401 - JSON
    """Return id → inputs of each node of a workflow; {} if it is none."""
    if not isinstance(workflow, dict) or not isinstance(workflow.get("links", []), list):
        return {}
    definitions = workflow.get("definitions")
    subgraphs = definitions.get("subgraphs") if isinstance(definitions, dict) else None
    known = {
        one["id"]: one
        for one in (subgraphs if isinstance(subgraphs, list) else [])
        if isinstance(one, dict) and isinstance(one.get("id"), str)
    }
    found: dict[str, Node] = {}
    room = _Room()
    # Nodes are counted, not their ids: those of a hostile workflow may all have the same.
    for count, (key, node) in enumerate(_walk(workflow, known, _TOP, room), 1):
        found[key] = node
        if count > MAX_NODES or room.links < 0:
            return {}
    return found


def hashes_in(workflow: Any) -> dict[str, tuple[str, ...]]:  # noqa: ANN401 - JSON
    """Return name of a file, without its ending → hashes that nodes give for it.

    Templates say where their models can be downloaded: `properties.models` of a node is a list of
    name, url, directory, hash and its type.
    """
    found: dict[str, tuple[str, ...]] = {}
    for node in _tables(workflow.get("nodes") if isinstance(workflow, dict) else None):
        properties = node.get("properties")
        for model in _tables(properties.get("models") if isinstance(properties, dict) else None):
            name, digest = model.get("name"), model.get("hash")
            if isinstance(name, str) and isinstance(digest, str) and len(found) < MAX_NODES:
                kind = str(model.get("hash_type", "sha256")).casefold()
                found[without_ending(name.casefold())] = (f"{kind}:{digest}",)
    return found


def _walk(
    graph: dict[str, Any], known: dict[str, dict[str, Any]], level: _Level, room: _Room
) -> Iterator[tuple[str, Node]]:
    links = graph.get("links")
    room.links -= len(links) if isinstance(links, list) else 0
    if room.links < 0:
        return
    sources = _origins(graph, level)
    for node in _tables(graph.get("nodes")):
        key = f"{level.prefix}{node.get('id')}"
        is_off = level.is_off or node.get("mode") in _OFF
        linked = _linked(node, sources)
        inner = known.get(str(node.get("type")))
        if inner is None or level.depth >= _MAX_DEPTH:
            values = {} if is_off else _widgets(node)
            yield key, Node(values | linked, str(node.get("type")), is_off=is_off)
            continue
        values = _widgets(node) | linked
        slots = [entry.get("name") for entry in _tables(inner.get("inputs"))]
        outer = tuple(values.get(name) if isinstance(name, str) else None for name in slots)
        below = _Level(f"{key}:", level.depth + 1, is_off, outer)
        yield key, Node(_results(inner, f"{key}:") | linked, "", is_off=True)
        yield from _walk(inner, known, below, room)


def _links(graph: dict[str, Any]) -> Iterator[tuple[object, object, object, object]]:
    """Yield id, origin, its output, and target of each link."""
    links = graph.get("links")
    for link in links if isinstance(links, list) else []:
        if isinstance(link, list) and len(link) > 3:
            yield link[0], link[1], link[2], link[3]
        elif isinstance(link, dict):
            names = ("id", "origin_id", "origin_slot", "target_id")
            number, origin, slot, target = (link.get(name) for name in names)
            yield number, origin, slot, target


def _origins(graph: dict[str, Any], level: _Level) -> dict[int, Any]:
    """Return link → what comes over it: ``[id, output]``, or a value from outside."""
    found: dict[int, Any] = {}
    for number, origin, slot, _target in _links(graph):
        if not isinstance(number, int):
            continue
        if origin == _OUTER:
            if isinstance(slot, int) and 0 <= slot < len(level.outer):
                found[number] = level.outer[slot]
        else:
            found[number] = [f"{level.prefix}{origin}", 0]
    return found


def _results(graph: dict[str, Any], prefix: str) -> dict[str, Any]:
    """Return links to the nodes whose outputs leave a subgraph."""
    return {
        f"result {number}": [f"{prefix}{origin}", 0]
        for number, origin, _slot, target in _links(graph)
        if target == _RESULT
    }


def _linked(node: dict[str, Any], sources: dict[int, Any]) -> dict[str, Any]:
    return {
        str(entry.get("name")): sources[entry["link"]]
        for entry in _tables(node.get("inputs"))
        if isinstance(entry.get("link"), int) and sources.get(entry["link"]) is not None
    }


def _tables(value: object) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _widgets(node: dict[str, Any]) -> dict[str, Any]:
    """Return the values of a node's widgets by name."""
    values, kind = node.get("widgets_values"), str(node.get("type"))
    if isinstance(values, dict):
        return dict(values)
    if not isinstance(values, list):
        return {}
    names = _declared(node, values) or _WIDGETS.get(kind)
    if names is None:
        return _guessed(values) if "lora" in kind.casefold() else _first_text(values)
    return {name: value for name, value in zip(names, values, strict=False) if name}


def _declared(node: dict[str, Any], values: list[Any]) -> list[str | None] | None:
    """Return the names of all widgets, if the node lists them; None otherwise.

    Older versions list only the widgets that are inputs.
    """
    names = [
        str(entry.get("name"))
        for entry in _tables(node.get("inputs"))
        if isinstance(entry.get("widget"), dict)
    ]
    found: list[str | None] = []
    waiting = iter(names)
    for value in values:
        is_after_seed = bool(found) and str(found[-1]).endswith("seed") and value in _AFTER_SEED
        name = None if is_after_seed else next(waiting, None)
        if name is None and not is_after_seed:
            return None  # more values than names
        found.append(name)
    return found if names and next(waiting, None) is None else None


def _first_text(values: Iterable[Any]) -> dict[str, Any]:
    """Return the text of a node with one value, which may be linked to a widget elsewhere."""
    return {"value": next((value for value in values if isinstance(value, str)), "")}


def _guessed(values: Iterable[Any]) -> dict[str, Any]:
    """Return the values of a loader of adapters by names that ``nodes`` knows.

    After the name of a file comes its strength; a switch may come before it.
    """
    found: dict[str, Any] = {}
    before: object = None
    number = 0
    for place, value in enumerate(values):
        if isinstance(value, str) and value.lower().endswith(WEIGHT_ENDINGS):
            number += 1
            found[f"lora_name_{number}"] = value
            is_switch = isinstance(before, bool) or str(before).casefold() in {"on", "off"}
            if is_switch:
                found[f"switch_{number}"] = before
        elif isinstance(value, int | float) and not isinstance(value, bool):
            if number:
                found.setdefault(f"strength_{number}", value)
        elif isinstance(value, dict | list | str):
            found[f"loras {place}"] = value
        before = value
    return found
