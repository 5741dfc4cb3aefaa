"""Workflows and metadata of many tools, made in code, with the adapters that they use."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

_WORDS = ("noir", "ink", "dusk", "Film Grain", "neon-v2", "pastel.v3", "ärgernis", "oil_paint",
          "crt", "detail tweaker", "1990s", "waterColor")  # fmt: skip
_FOLDERS = ("", "", "style/", "sdxl\\", "a b/c/")


@dataclass(frozen=True)
class Used:
    """An adapter that a workflow uses."""

    stem: str
    folder: str
    strength: float
    digest: str  # 64 hex digits

    @property
    def file(self) -> str:
        """Its path as ComfyUI writes it."""
        return f"{self.folder}{self.stem}.safetensors"


@dataclass
class Made:
    """Texts by keyword, and what they name: stem → (strength, hashes)."""

    texts: dict[str, str]
    truth: dict[str, tuple[float | None, set[str]]] = field(default_factory=dict)


def chosen(random: Random) -> tuple[list[Used], list[Used]]:
    """Return up to five adapters that are used, and some that are not."""
    stems = random.sample(_WORDS, 8)
    made = [
        Used(
            f"{stem}_{random.randrange(100)}",
            random.choice(_FOLDERS),
            random.choice([0.8, 1.0, -0.5, 0.35, 1.25]),
            f"{random.getrandbits(256):064x}",
        )
        for stem in stems
    ]
    count = random.randrange(6)
    return made[:count], made[count:]


def truth(
    used: list[Used], digits: int = 0, *, has_strength: bool = True
) -> dict[str, tuple[float | None, set[str]]]:
    return {
        one.stem: (
            one.strength if has_strength else None,
            {one.digest[:digits]} if digits else set(),
        )
        for one in used
    }


# ComfyUI, as it ran


class Graph:
    """A graph of ComfyUI in both forms, built node by node."""

    def __init__(self) -> None:
        self.nodes: dict[str, dict[str, Any]] = {}
        self.drawn: list[dict[str, Any]] = []
        self.links: list[list[Any]] = []

    def add(self, kind: str, inputs: dict[str, Any], values: Any = None, mode: int = 0) -> str:
        number = len(self.drawn) + 1
        entries = []
        for name, value in inputs.items():
            if isinstance(value, list) and len(value) == 2 and isinstance(value[0], str):
                self.links.append([len(self.links) + 1, int(value[0]), value[1], number, 0, "*"])
                entries.append({"name": name, "type": "*", "link": len(self.links)})
        widgets = [v for v in inputs.values() if not isinstance(v, list)]
        if mode == 0:
            self.nodes[str(number)] = {"class_type": kind, "inputs": inputs}
        self.drawn.append(
            {
                "id": number, "type": kind, "mode": mode, "inputs": entries,
                "widgets_values": widgets if values is None else values,
            }
        )  # fmt: skip
        return str(number)

    def api(self) -> dict[str, Any]:
        return self.nodes

    def ui(self) -> dict[str, Any]:
        return {"last_node_id": 99, "version": 0.4, "nodes": self.drawn, "links": self.links}


Chain = tuple[str, int]


def _plain(graph: Graph, source: list[Any], used: list[Used]) -> list[Any]:
    for one in used:
        number = graph.add(
            "LoraLoader",
            {"lora_name": one.file, "strength_model": one.strength, "strength_clip": 0.9,
             "model": source, "clip": ["1", 1]},
        )  # fmt: skip
        source = [number, 0]
    return source


def _model_only(graph: Graph, source: list[Any], used: list[Used]) -> list[Any]:
    for one in used:
        inputs = {"lora_name": one.file, "strength_model": one.strength, "model": source}
        source = [graph.add("LoraLoaderModelOnly", inputs), 0]
    return source


def _power(graph: Graph, source: list[Any], used: list[Used]) -> list[Any]:
    rows = [{"on": True, "lora": one.file, "strength": one.strength} for one in used]
    rows.append({"on": False, "lora": "switched_off.safetensors", "strength": 1})
    rows.append({"on": True, "lora": "None", "strength": 1})
    inputs = {f"lora_{number + 1}": row for number, row in enumerate(rows)}
    header = {"PowerLoraLoaderHeaderWidget": {"type": "PowerLoraLoaderHeaderWidget"}}
    values = [{}, *header.values(), *rows, {}, ""]
    name = "Power Lora Loader (rgthree)"
    return [graph.add(name, {**header, **inputs, "model": source}, values), 0]


def _efficiency(graph: Graph, source: list[Any], used: list[Used]) -> list[Any]:
    inputs: dict[str, Any] = {"input_mode": "simple", "lora_count": len(used)}
    for number in range(1, 8):
        one = used[number - 1] if number <= len(used) else None
        inputs |= {
            f"lora_name_{number}": one.file if one else "beyond_the_count.safetensors",
            f"lora_wt_{number}": one.strength if one else 1.0,
            f"model_str_{number}": 0.11,
            f"clip_str_{number}": 0.12,
        }
    stack = graph.add("LoRA Stacker", inputs)
    applied = {"model": source, "lora_stack": [stack, 0]}
    return [graph.add("CR Apply LoRA Stack", applied), 0]


def _comfyroll(graph: Graph, source: list[Any], used: list[Used]) -> list[Any]:
    stack: list[Any] | None = None
    for start in range(0, max(1, len(used)), 3):
        inputs: dict[str, Any] = {}
        for number in range(1, 4):
            rest = used[start + number - 1 : start + number]
            inputs |= {
                f"switch_{number}": "On" if rest else "Off",
                f"lora_name_{number}": rest[0].file if rest else "off.safetensors",
                f"model_weight_{number}": rest[0].strength if rest else 1.0,
                f"clip_weight_{number}": 0.5,
            }
        inputs |= {"lora_stack": stack} if stack else {}
        stack = [graph.add("CR LoRA Stack", inputs), 0]
    return [graph.add("CR Apply LoRA Stack", {"model": source, "lora_stack": stack}), 0]


def _easy(graph: Graph, source: list[Any], used: list[Used]) -> list[Any]:
    inputs: dict[str, Any] = {"toggle": True, "mode": "simple", "num_loras": len(used)}
    for number in range(1, 11):
        one = used[number - 1] if number <= len(used) else None
        inputs |= {
            f"lora_{number}_name": one.file if one else "None",
            f"lora_{number}_strength": one.strength if one else 1.0,
            f"lora_{number}_model_strength": 0.11,
            f"lora_{number}_clip_strength": 0.12,
        }
    stack = graph.add("easy loraStack", inputs)
    return [graph.add("easy loraStackApply", {"model": source, "lora_stack": [stack, 0]}), 0]


def _manager(graph: Graph, source: list[Any], used: list[Used]) -> list[Any]:
    rows = [{"name": one.stem, "strength": one.strength, "active": True} for one in used]
    rows.append({"name": "inactive", "strength": 1.0, "active": False})
    text = " ".join(f"<lora:{row['name']}:{row['strength']}>" for row in rows)
    inputs = {"text": text, "loras": {"__value__": rows}, "model": source}
    return [graph.add("Lora Loader (LoraManager)", inputs, [text, rows]), 0]


def _tags(graph: Graph, source: list[Any], used: list[Used]) -> list[Any]:
    text = "a harbour " + " ".join(f"<lora:{one.stem}:{one.strength}>" for one in used)
    return [graph.add("LoraTagLoader", {"text": text, "model": source}), 0]


def _video(graph: Graph, source: list[Any], used: list[Used]) -> list[Any]:
    before: list[Any] | None = None
    for one in used:
        inputs = {"lora": one.file, "strength": one.strength, "low_mem_load": False}
        inputs |= {"prev_lora": before} if before else {}
        before = [graph.add("WanVideoLoraSelect", inputs), 0]
    return [graph.add("WanVideoModelLoader", {"model": source, "lora": before or "x"}), 0]


LOADERS = (_plain, _model_only, _power, _efficiency, _comfyroll, _easy, _manager, _tags, _video)


def graph_with(random: Random, used: list[Used], unused: list[Used]) -> Graph:
    """Return a graph whose sampler depends on the used adapters alone."""
    graph = Graph()
    graph.add("CheckpointLoaderSimple", {"ckpt_name": "base_of_all.safetensors"})
    source: list[Any] = ["1", 0]
    rest = list(used)
    while rest or random.random() < 0.3:
        count = random.randint(0, len(rest))
        source = random.choice(LOADERS)(graph, source, rest[:count])
        rest = rest[count:]
    for one in unused[:2]:  # nothing depends on it, or it is bypassed
        if random.random() < 0.5:
            graph.add("LoraLoaderModelOnly", {"lora_name": one.file, "strength_model": 1,
                                              "model": source})  # fmt: skip
        else:
            inputs = {"lora_name": one.file, "strength_model": 1, "model": source}
            graph.add("LoraLoaderModelOnly", inputs, mode=random.choice((2, 4)))
    text = graph.add("CLIPTextEncode", {"text": "a harbour <lora:inert:1>", "clip": ["1", 1]})
    size = graph.add("EmptyLatentImage", {"width": 512, "height": 768, "batch_size": 1})
    sampler = graph.add(
        "KSampler",
        {"seed": 5, "control": "fixed", "steps": 20, "cfg": 7.0, "sampler_name": "euler",
         "scheduler": "normal", "denoise": 1.0, "model": source, "positive": [text, 0],
         "negative": [text, 0], "latent_image": [size, 0]},
    )  # fmt: skip
    decoded = graph.add("VAEDecode", {"samples": [sampler, 0], "vae": ["1", 2]})
    graph.add("SaveImage", {"filename_prefix": "lora_name", "images": [decoded, 0]})
    graph.add("Note", {"text": "used_by_nobody.safetensors"})
    return graph


def comfy_api(random: Random) -> Made:
    used, unused = chosen(random)
    prompt = json.dumps(graph_with(random, used, unused).api())
    return Made({"prompt": prompt}, truth(used))


def comfy_ui(random: Random) -> Made:
    used, unused = chosen(random)
    workflow = graph_with(random, used, unused).ui()
    return Made({"workflow": json.dumps(workflow)}, truth(used))


def comfy_both(random: Random) -> Made:
    used, unused = chosen(random)
    graph = graph_with(random, used, unused)
    workflow = graph.ui()
    for one in used[:1]:  # a template says where its model can be downloaded
        workflow["nodes"][0]["properties"] = {
            "models": [
                {"name": f"{one.stem}.safetensors", "hash": one.digest, "hash_type": "SHA256"}
            ]
        }
    found = truth(used)
    for one in used[:1]:
        found[one.stem] = (one.strength, {one.digest})
    texts = {"prompt": json.dumps(graph.api()), "workflow": json.dumps(workflow)}
    return Made(texts, found)


def comfy_subgraph(random: Random) -> Made:
    """One loader inside of a subgraph takes the name of its file from outside."""
    used, unused = chosen(random)
    graph = graph_with(random, used[1:], unused)
    workflow = graph.ui()
    if not used:
        return Made({"workflow": json.dumps(workflow)}, {})
    one, uuid = used[0], "1b2c3d4e-0000-4000-8000-000000000001"
    inner = {
        "id": uuid,
        "inputs": [{"name": "model"}, {"name": "lora_name"}],
        "outputs": [{"name": "MODEL"}],
        "nodes": [
            {"id": 1, "type": "LoraLoaderModelOnly", "mode": 0,
             "inputs": [
                 {"name": "model", "link": 1},
                 {"name": "lora_name", "link": 2, "widget": {"name": "lora_name"}},
                 {"name": "strength_model", "link": None, "widget": {"name": "strength_model"}}],
             "widgets_values": ["stale.safetensors", one.strength]},
        ],
        "links": [
            {"id": 1, "origin_id": -10, "origin_slot": 0, "target_id": 1, "target_slot": 0},
            {"id": 2, "origin_id": -10, "origin_slot": 1, "target_id": 1, "target_slot": 1},
            {"id": 3, "origin_id": 1, "origin_slot": 0, "target_id": -20, "target_slot": 0},
        ],
    }  # fmt: skip
    sampler = next(node for node in workflow["nodes"] if node["type"] == "KSampler")
    link = next(entry for entry in sampler["inputs"] if entry["name"] == "model")
    row = next(row for row in workflow["links"] if row[0] == link["link"])
    workflow["links"].append([900, row[1], row[2], 500, 0, "MODEL"])
    row[1], row[2] = 500, 0
    workflow["nodes"].append(
        {"id": 500, "type": uuid, "mode": 0,
         "inputs": [{"name": "model", "link": 900},
                    {"name": "lora_name", "link": None, "widget": {"name": "lora_name"}}],
         "widgets_values": [one.file]}
    )  # fmt: skip
    workflow["definitions"] = {"subgraphs": [inner]}
    return Made({"workflow": json.dumps(workflow)}, truth(used))


# A1111 and Civitai


def a1111(random: Random) -> Made:
    used, _unused = chosen(random)
    form = random.choice(
        ["<lora:{}:{}>", "<lora:{}:{}:0.5>", "<lyco:{}:{}>", "<lora:{}:{}:lbw=ALL>"]
    )
    tags = "".join(f" {form.format(one.stem, one.strength)}" for one in used)
    has_hashes = random.random() < 0.7
    settings = [
        "Steps: 20", "Sampler: DPM++ 2M", "CFG scale: 7", "Seed: 5", "Size: 512x768",
        "Model hash: 0123456789", "Model: base",
    ]  # fmt: skip
    digits = 0
    if has_hashes and used:
        digits = random.choice([10, 12])
        pairs = ", ".join(f"{one.stem}: {one.digest[:digits]}" for one in used)
        if digits == 12:
            settings.append(f'Lora hashes: "{pairs}"')
        else:
            table = {f"lora:{one.stem}": one.digest[:10].upper() for one in used}
            settings.append(
                f"Hashes: {json.dumps({'model': '0123456789', 'embed:bad': 'ff' * 5, **table})}"
            )
    settings += ['TI hashes: "bad: aabbccddeeff"', "Version: v1.10.1"]
    text = (
        f"a harbour, (night:1.2){tags}, <hypernet:other:1>\nNegative prompt: bad, blurry\n"
        + ", ".join(settings)
    )
    return Made({"parameters": text}, truth(used, digits))


def civitai(random: Random) -> Made:
    used, _unused = chosen(random)
    rows: list[dict[str, Any]] = [
        {"type": "lora", "weight": one.strength, "modelVersionId": 7, "modelName": one.stem,
         "hash": one.digest[:10]}
        for one in used
    ]  # fmt: skip
    rows.insert(0, {"type": "checkpoint", "modelVersionId": 1, "modelName": "Base"})
    settings = f"Steps: 20, Seed: 5, Civitai resources: {json.dumps(rows)}, Civitai metadata: {{}}"
    text = f"a harbour\nNegative prompt: bad\n{settings}"
    return Made({"parameters": text}, truth(used, 10))


# Tables


def invokeai(random: Random) -> Made:
    used, _unused = chosen(random)
    rows = [
        {"model": {"key": "k", "hash": f"sha256:{one.digest}", "name": one.stem, "type": "lora"},
         "weight": one.strength}
        for one in used
    ]  # fmt: skip
    table = {"positive_prompt": "a cat", "seed": 5, "loras": rows,
             "model": {"name": "base", "hash": "blake3:" + "1" * 64, "type": "main"}}  # fmt: skip
    return Made({"invokeai_metadata": json.dumps(table)}, truth(used, 64))


def invokeai_workflow(random: Random) -> Made:
    used, _unused = chosen(random)
    nodes = [
        {"id": str(number), "data": {"type": "lora_loader", "inputs": {
            "lora": {"value": {"key": "k", "hash": f"sha256:{one.digest}", "name": one.stem,
                               "base": "sdxl", "type": "lora"}},
            "weight": {"value": one.strength}}}}
        for number, one in enumerate(used)
    ]  # fmt: skip
    model = {"inputs": {"model": {"value": {"name": "base", "type": "main", "hash": "x"}}}}
    nodes.append({"id": "m", "data": model})
    return Made({"invokeai_workflow": json.dumps({"nodes": nodes, "edges": []})}, truth(used, 64))


def swarmui(random: Random) -> Made:
    used, _unused = chosen(random)
    names, strengths = (
        [one.folder.replace("\\", "/") + one.stem for one in used],
        [str(one.strength) for one in used],
    )
    is_text = random.random() < 0.5
    given = {
        "prompt": "a cat", "model": "base", "seed": 5,
        **({"loras": ",".join(names) if is_text else names,
            "loraweights": ",".join(strengths) if is_text else strengths} if used else {}),
    }  # fmt: skip
    models = [{"name": f"{name}.safetensors", "param": "loras", "hash": f"0x{one.digest}"}
              for name, one in zip(names, used, strict=True)]  # fmt: skip
    models.append({"name": "base.safetensors", "param": "model", "hash": "0x" + "1" * 64})
    table = {"sui_image_params": given, "sui_extra_data": {}, "sui_models": models}
    return Made({"parameters": json.dumps(table, indent=2)}, truth(used, 64))


def fooocus(random: Random) -> Made:
    used, _unused = chosen(random)
    table = {
        "base_model": "base", "base_model_hash": "0123456789", "performance": "Speed",
        "prompt": "a cat", "loras": [[one.stem, one.strength, one.digest[:10]] for one in used],
    }  # fmt: skip
    return Made({"parameters": json.dumps(table)}, truth(used, 10))


def civitai_meta(random: Random) -> Made:
    """The ``meta`` of Civitai's API, which people save as JSON."""
    used, _unused = chosen(random)
    rows = [{"type": "lora", "name": one.stem, "weight": one.strength, "hash": one.digest[:10]}
            for one in used]  # fmt: skip
    rows.append({"type": "model", "name": "base", "hash": "0123456789"})
    return Made({"json": json.dumps({"prompt": "a cat", "resources": rows})}, truth(used, 10))


FORMATS: dict[str, Callable[[Random], Made]] = {
    "comfyui prompt": comfy_api,
    "comfyui workflow": comfy_ui,
    "comfyui both": comfy_both,
    "comfyui subgraph": comfy_subgraph,
    "a1111": a1111,
    "civitai": civitai,
    "invokeai": invokeai,
    "invokeai workflow": invokeai_workflow,
    "swarmui": swarmui,
    "fooocus": fooocus,
    "civitai meta": civitai_meta,
}
