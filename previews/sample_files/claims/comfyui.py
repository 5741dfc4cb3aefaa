"""Reads ComfyUI's graphs, from the sampler upstream.

``prompt`` is the graph that ran: id → class and inputs, each a value or ``[id, output]``.
``workflow`` is the graph on the screen; its common nodes are converted to the format of ``prompt``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from previews.sample_files.claims.facts import Facts, Resource

MAX_NODES = 4000

#: Inputs with text, by priority.
_WORDS = (
    "text",
    "text_g",
    "t5xxl",
    "clip_l",
    "text_l",
    "prompt",
    "string",
    "value",
    "text_positive",
)
_SEEDS = ("seed", "noise_seed")
_MODELS = ("ckpt_name", "unet_name", "model_name")

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
}

Node = dict[str, Any]


def read(prompt: str, workflow: str = "") -> Facts | None:
    """Return the facts in a graph; None if there are none."""
    nodes = _nodes(_json(prompt)) or _drawn(_json(workflow))
    if not nodes:
        return None
    sampler = next((node for node in nodes.values() if _is_sampler(node)), None)
    upstream = list(_upstream(nodes, sampler)) if sampler else list(nodes.values())
    values: dict[str, object] = {}
    for node in upstream:
        for name, value in node.items():
            if not isinstance(value, list | dict):
                values.setdefault(name, value)
    guider = next((node for node in upstream if {"positive", "conditioning"} & node.keys()), {})
    positive = guider.get("positive", guider.get("conditioning"))
    return Facts(
        tool="comfyui",
        prompt=_words(nodes, positive),
        negative=_words(nodes, guider.get("negative")),
        seed=next((values[name] for name in _SEEDS if name in values), None),
        steps=values.get("steps"),
        sampler=" ".join(_texts(values.get("sampler_name"), values.get("scheduler"))),
        guidance=values.get("guidance", values.get("cfg")),
        width=values.get("width"),
        height=values.get("height"),
        model=next(_texts(*(values.get(name) for name in _MODELS)), ""),
        resources=[*_loras(upstream), *_models(upstream)],
    )


def _json(text: str) -> Any:  # noqa: ANN401 - JSON
    try:
        return json.loads(text) if text else None
    except (ValueError, RecursionError):
        return None


def _nodes(graph: Any) -> dict[str, Node]:  # noqa: ANN401 - JSON
    """Return the inputs of each node."""
    if not isinstance(graph, dict) or len(graph) > MAX_NODES:
        return {}
    found = {
        str(key): node["inputs"]
        for key, node in graph.items()
        if isinstance(node, dict) and isinstance(node.get("inputs"), dict)
    }
    nodes = [node for node in graph.values() if isinstance(node, dict)]
    return found if any("class_type" in node for node in nodes) else {}


def _drawn(workflow: Any) -> dict[str, Node]:  # noqa: ANN401 - JSON
    """Return the inputs of each node in a workflow, as far as its widgets are known."""
    drawn = workflow.get("nodes") if isinstance(workflow, dict) else None
    links = workflow.get("links") if isinstance(workflow, dict) else None
    if not isinstance(drawn, list) or not isinstance(links, list) or len(drawn) > MAX_NODES:
        return {}
    sources = {
        link[0]: [str(link[1]), 0]
        for link in links
        if isinstance(link, list) and len(link) > 2 and isinstance(link[0], int)
    }
    return {
        str(node.get("id")): _widgets(node) | _linked(node, sources)
        for node in drawn
        if isinstance(node, dict)
    }


def _widgets(node: Node) -> Node:
    names = _WIDGETS.get(str(node.get("type")), ())
    values = node.get("widgets_values")
    pairs = zip(names, values, strict=False) if isinstance(values, list) else ()
    return {name: value for name, value in pairs if name}


def _linked(node: Node, sources: dict[int, list[Any]]) -> Node:
    inputs = node.get("inputs")
    entries = (
        [entry for entry in inputs if isinstance(entry, dict)] if isinstance(inputs, list) else []
    )
    return {
        str(entry.get("name")): sources[entry["link"]]
        for entry in entries
        if isinstance(entry.get("link"), int) and entry["link"] in sources
    }


def _is_sampler(node: Node) -> bool:
    has_seed = any(name in node for name in _SEEDS) and "positive" in node
    return has_seed or {"noise", "guider", "sigmas"} <= node.keys()


def _upstream(nodes: dict[str, Node], start: Node) -> Iterator[Node]:
    """Yield a node and all nodes that it depends on, nearest first."""
    waiting, seen = [start], {id(start)}
    for node in waiting:
        yield node
        for value in node.values():
            source = _source(nodes, value)
            if source is not None and id(source) not in seen:
                seen.add(id(source))
                waiting.append(source)


def _source(nodes: dict[str, Node], value: object) -> Node | None:
    if isinstance(value, list) and len(value) == 2 and isinstance(value[0], str | int):
        return nodes.get(str(value[0]))
    return None


def _words(nodes: dict[str, Node], link: object) -> str:
    """Return the first text upstream of a conditioning."""
    start = _source(nodes, link)
    for node in _upstream(nodes, start) if start is not None else ():
        found = next(_texts(*(node.get(name) for name in _WORDS)), "")
        if found:
            return found
    return ""


def _texts(*values: object) -> Iterator[str]:
    return (value for value in values if isinstance(value, str) and value)


def _loras(nodes: list[Node]) -> Iterator[Resource]:
    for node in nodes:
        if isinstance(node.get("lora_name"), str):
            strength = node.get("strength_model", node.get("strength"))
            yield Resource(node["lora_name"], "lora", strength)
        for value in node.values():  # rgthree's loader has a table for each LoRA
            if isinstance(value, dict) and isinstance(value.get("lora"), str) and value.get("on"):
                yield Resource(value["lora"], "lora", value.get("strength"))


def _models(nodes: list[Node]) -> Iterator[Resource]:
    for node in nodes:
        for name in _texts(*(node.get(key) for key in ("ckpt_name", "unet_name"))):
            yield Resource(name, "checkpoint")
