"""ComfyUI: a workflow as the canvas opens it, made from the one in API form.

Links are lists: id, node and output they come from, node and input they go to, type. Values of
widgets are in the order in which a node declares them (version 0.4 of the format).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from lorary.exports import comfyui

if TYPE_CHECKING:
    from lorary.exports.comfyui import Graph
    from lorary.exports.look import Look

#: Node to its inputs by name, in order: the type of those that are linked, "" for widgets.
_INPUTS: Mapping[str, Mapping[str, str]] = {
    "CheckpointLoaderSimple": {"ckpt_name": ""},
    "UNETLoader": {"unet_name": "", "weight_dtype": ""},
    "CLIPLoader": {"clip_name": "", "type": ""},
    "DualCLIPLoader": {"clip_name1": "", "clip_name2": "", "type": ""},
    "VAELoader": {"vae_name": ""},
    "LoraLoader": {
        "model": "MODEL", "clip": "CLIP", "lora_name": "", "strength_model": "",
        "strength_clip": "",
    },
    "LoraLoaderModelOnly": {"model": "MODEL", "lora_name": "", "strength_model": ""},
    "ModelSamplingDiscrete": {"model": "MODEL", "sampling": "", "zsnr": ""},
    "ModelSamplingSD3": {"model": "MODEL", "shift": ""},
    "ModelSamplingAuraFlow": {"model": "MODEL", "shift": ""},
    "PrimitiveString": {"value": ""},
    "StringReplace": {"string": "", "find": "", "replace": "STRING"},
    "CLIPTextEncode": {"clip": "CLIP", "text": "STRING"},
    "FluxGuidance": {"conditioning": "CONDITIONING", "guidance": ""},
    "ConditioningZeroOut": {"conditioning": "CONDITIONING"},
    "EmptyLatentImage": {"width": "", "height": "", "batch_size": ""},
    "EmptySD3LatentImage": {"width": "", "height": "", "batch_size": ""},
    "EmptyHunyuanLatentVideo": {"width": "", "height": "", "length": "", "batch_size": ""},
    "KSampler": {
        "model": "MODEL", "positive": "CONDITIONING", "negative": "CONDITIONING",
        "latent_image": "LATENT", "seed": "", "steps": "", "cfg": "", "sampler_name": "",
        "scheduler": "", "denoise": "",
    },
    "VAEDecode": {"samples": "LATENT", "vae": "VAE"},
    "SaveImage": {"images": "IMAGE", "filename_prefix": ""},
    "SaveAnimatedWEBP": {
        "images": "IMAGE", "filename_prefix": "", "fps": "", "lossless": "", "quality": "",
        "method": "",
    },
}  # fmt: skip
#: Inputs that are a widget and can be linked as well: an empty value stays in the widget.
_BOTH = frozenset({"text", "replace"})
#: Node to the types of its outputs.
_OUTPUTS: Mapping[str, tuple[str, ...]] = {
    "CheckpointLoaderSimple": ("MODEL", "CLIP", "VAE"),
    "UNETLoader": ("MODEL",),
    "CLIPLoader": ("CLIP",),
    "DualCLIPLoader": ("CLIP",),
    "VAELoader": ("VAE",),
    "LoraLoader": ("MODEL", "CLIP"),
    "LoraLoaderModelOnly": ("MODEL",),
    "ModelSamplingDiscrete": ("MODEL",),
    "ModelSamplingSD3": ("MODEL",),
    "ModelSamplingAuraFlow": ("MODEL",),
    "PrimitiveString": ("STRING",),
    "StringReplace": ("STRING",),
    "CLIPTextEncode": ("CONDITIONING",),
    "FluxGuidance": ("CONDITIONING",),
    "ConditioningZeroOut": ("CONDITIONING",),
    "EmptyLatentImage": ("LATENT",),
    "EmptySD3LatentImage": ("LATENT",),
    "EmptyHunyuanLatentVideo": ("LATENT",),
    "KSampler": ("LATENT",),
    "VAEDecode": ("IMAGE",),
    "SaveImage": (),
    "SaveAnimatedWEBP": (),
}
#: Widgets that the canvas adds after another one: what becomes of a seed after a run.
_AFTER = {"seed": "randomize"}
_WIDTH, _HEIGHT, _GAP = 340, 240, 60


def workflow(look: Look) -> dict[str, Any]:
    """Return the workflow of a variant that is not refused."""
    graph = comfyui.workflow(look)
    links = list(_links(graph))
    columns = _columns(graph)
    rows: dict[int, int] = {}
    nodes = []
    for order, (name, node) in enumerate(graph.items()):
        row = rows.setdefault(columns[name], 0)
        rows[columns[name]] += 1
        place = [columns[name] * (_WIDTH + _GAP), row * (_HEIGHT + _GAP)]
        nodes.append(_node(int(name), node, links, order, place))
    return {
        "last_node_id": len(graph),
        "last_link_id": len(links),
        "nodes": nodes,
        "links": links,
        "groups": [],
        "config": {},
        "extra": {"lorary": {"pack": look.pack, "version": look.version, "variant": look.variant}},
        "version": 0.4,
    }


def _links(graph: Graph) -> Iterator[list[Any]]:
    number = 0
    for name, node in graph.items():
        for slot, (key, kind) in enumerate(_linked(node)):
            number += 1
            source, output = node["inputs"][key]
            yield [number, int(source), output, int(name), slot, kind]


def _linked(node: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return name and type of the inputs of a node that are linked."""
    declared = _INPUTS[node["class_type"]].items()
    return [(key, kind) for key, kind in declared if isinstance(node["inputs"][key], list)]


def _columns(graph: Graph) -> dict[str, int]:
    """Return the column of each node: one more than those that its inputs come from."""
    found: dict[str, int] = {}

    def column(name: str) -> int:
        if name not in found:
            sources = [one[0] for one in graph[name]["inputs"].values() if isinstance(one, list)]
            found[name] = 1 + max(map(column, sources)) if sources else 0
        return found[name]

    return {name: column(name) for name in graph}


def _node(
    number: int, node: Mapping[str, Any], links: list[list[Any]], order: int, place: list[int]
) -> dict[str, Any]:
    kind, linked = node["class_type"], _linked(node)
    into = [link[0] for link in links if link[3] == number]
    out = _OUTPUTS[kind]
    return {
        "id": number,
        "type": kind,
        **({"title": node["_meta"]["title"]} if "_meta" in node else {}),
        "pos": place,
        "size": [_WIDTH, _HEIGHT],
        "flags": {},
        "order": order,
        "mode": 0,
        "inputs": [
            {
                "name": key,
                "type": name,
                "link": link,
                **({"widget": {"name": key}} if key in _BOTH else {}),
            }
            for (key, name), link in zip(linked, into, strict=True)
        ],
        "outputs": [
            {
                "name": name,
                "type": name,
                "links": [link[0] for link in links if link[1:3] == [number, slot]],
                "slot_index": slot,
            }
            for slot, name in enumerate(out)
        ],
        "properties": {"Node name for S&R": kind},
        "widgets_values": list(_widgets(node)),
    }


def _widgets(node: Mapping[str, Any]) -> Iterator[object]:
    for key in _INPUTS[node["class_type"]]:
        value = node["inputs"][key]
        if not isinstance(value, list):
            yield value
        elif key in _BOTH:
            yield ""
        if key in _AFTER:
            yield _AFTER[key]
