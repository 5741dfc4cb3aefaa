"""Reads ComfyUI's graphs, from the sampler upstream.

``prompt`` is the graph that ran: id → class and inputs, each a value or ``[id, output]``.
``workflow`` is the graph on the screen; ``workflows`` converts it to the format of ``prompt``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from typing import Any

from lorary.pictures.claims import workflows
from lorary.pictures.claims.facts import WEIGHT_ENDINGS, Facts, Resource
from lorary.pictures.claims.nodes import Node, loras_of
from lorary.pictures.claims.workflows import MAX_NODES

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
#: Maximum number of nodes in which the name of a file is sought that a link leads to.
_MAX_NEAR = 16
_MODELS = ("ckpt_name", "unet_name", "model_name")


def read(prompt: str, workflow: str = "") -> Facts | None:
    """Return the facts in a graph; None if there are none."""
    return of_graphs(_json(prompt), _json(workflow))


def of_graphs(prompt: object, workflow: object) -> Facts | None:
    """Return the facts in parsed graphs; None if there are none."""
    nodes = _nodes(prompt) or workflows.nodes_of(workflow)
    if not nodes:
        return None
    used = _used(nodes)
    sampler = next((node for node in nodes.values() if _is_sampler(node)), None)
    upstream = list(_upstream(nodes, sampler)) if sampler else list(nodes.values())
    values: dict[str, object] = {}
    for node in upstream:
        for name, value in node.items():
            if not isinstance(value, list | dict):
                values.setdefault(name, value)
    guiders = (node for node in upstream if {"positive", "conditioning"} & node.keys())
    guider = next(guiders, Node({}, ""))
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
        resources=[*_loras(nodes, used, workflow), *_models(used)],
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
    nodes = [node for node in graph.values() if isinstance(node, dict)]
    if not any("class_type" in node for node in nodes):
        return {}
    return {
        str(key): Node(node["inputs"], str(node.get("class_type", "")))
        for key, node in graph.items()
        if isinstance(node, dict) and isinstance(node.get("inputs"), dict)
    }


def _is_sampler(node: Node) -> bool:
    has_seed = any(name in node for name in _SEEDS) and "positive" in node
    return has_seed or {"noise", "guider", "sigmas"} <= node.keys()


def _upstream(nodes: dict[str, Node], *starts: Node) -> Iterator[Node]:
    """Yield nodes and all nodes that they depend on, nearest first."""
    waiting, seen = list(starts), {id(start) for start in starts}
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


def _used(nodes: dict[str, Node]) -> list[Node]:
    """Return the nodes that a result depends on, nearest first; all if no result is known.

    A result is a node whose outputs nobody uses. A loader of adapters is not a result, unless it
    samples.
    """
    sources = {id(source) for node in nodes.values() for source in _sources(nodes, node)}
    ends = [
        node
        for node in nodes.values()
        if id(node) not in sources
        and (_samples(node) or (any(_sources(nodes, node)) and not any(loras_of(node))))
    ]
    ends.sort(key=lambda node: not _is_sampler(node))
    return list(_upstream(nodes, *ends)) if ends else list(nodes.values())


def _sources(nodes: dict[str, Node], node: Node) -> Iterator[Node]:
    found = (_source(nodes, value) for value in node.values())
    return (source for source in found if source is not None)


def _samples(node: Node) -> bool:
    return any(name in node for name in _SEEDS)


def _loras(nodes: dict[str, Node], used: list[Node], workflow: object) -> list[Resource]:
    """Return the adapters of nodes; their hashes are in the workflow, if anywhere."""
    files = _Files(nodes)
    ordered = _in_order(nodes, used)
    found = [one for node in ordered for one in loras_of(_with_linked_names(nodes, node, files))]
    hashes = workflows.hashes_in(workflow)
    for one in found:
        one.hashes = (*one.hashes, *hashes.get(one.key.rpartition("/")[2], ()))
    return found


def _in_order(nodes: dict[str, Node], used: list[Node]) -> list[Node]:
    """Return nodes in the order in which they run: each after those that it depends on."""
    ordered: list[Node] = []
    seen: set[int] = set()
    waiting = [(node, False) for node in reversed(used)]
    while waiting:
        node, are_sources_done = waiting.pop()
        if are_sources_done:
            ordered.append(node)
        elif id(node) not in seen:
            seen.add(id(node))
            waiting.append((node, True))
            waiting += [(source, False) for source in reversed([*_sources(nodes, node)])]
    return ordered


class _Files:
    """The names of files that come from nodes, each sought once."""

    def __init__(self, nodes: dict[str, Node]) -> None:
        self._nodes = nodes
        self._known: dict[int, str] = {}

    def of(self, source: Node) -> str:
        """Return the nearest name of a file upstream of a node; empty if there is none near."""
        if id(source) not in self._known:
            near = islice(_upstream(self._nodes, source), _MAX_NEAR)
            is_loader = any(loras_of(source))
            found = "" if is_loader else next(filter(None, map(_file_of, near)), "")
            self._known[id(source)] = found
        return self._known[id(source)]


def _with_linked_names(nodes: dict[str, Node], node: Node, files: _Files) -> Node:
    """Return a node whose linked names of files are replaced by the text that they come from."""
    names = {
        key: files.of(source)
        for key, value in node.items()
        if "lora" in key.casefold() and (source := _source(nodes, value)) is not None
    }
    linked = {key: name for key, name in names.items() if name}
    return Node({**node, **linked}, node.kind, is_off=node.is_off) if linked else node


def _file_of(node: Node) -> str:
    """Return the first text of a node that names a file of weights."""
    texts = _texts(*node.values())
    return next((text for text in texts if text.lower().endswith(WEIGHT_ENDINGS)), "")


def _models(nodes: list[Node]) -> Iterator[Resource]:
    for node in nodes:
        for name in _texts(*(node.get(key) for key in ("ckpt_name", "unet_name"))):
            yield Resource(name, "checkpoint")
