"""InvokeAI: a workflow, as “Upload Workflow” in its workflow library takes it.

InvokeAI gives models keys of its own. It does not know those of the workflow, so it asks for the
base model and the LoRAs; each node is labelled with its file.

```
model ─ LoRA 1 ─ … ─ LoRA n ─┬─ prompt ──────────┐
          subject ─ template ┘   negative prompt ─┼─ denoise ─ picture
                                          noise ──┘
```
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import NAMESPACE_URL, uuid5

from lorary.anatomy import family_title
from lorary.exports import prompts
from lorary.exports.samplers import sampler_of

if TYPE_CHECKING:
    from lorary.exports.look import Look, LookPart

SUBJECT = "your subject"
#: Version of the schema of workflows; newer InvokeAI migrates it.
SCHEMA = "3.0.0"


@dataclass(frozen=True, slots=True)
class _Base:
    """The nodes of a family; all have the same names for their outputs.

    Attributes:
        base: InvokeAI's name of it.
        models: What goes from the model through the LoRAs.
    """

    base: str
    loader: str
    lora: str
    prompt: str
    models: tuple[str, ...]


_STABLE = ("main_model_loader", "lora_loader", "compel", ("unet", "clip"))
_SDXL = ("sdxl_model_loader", "sdxl_lora_loader", "sdxl_compel_prompt", ("unet", "clip", "clip2"))
_BASES = {
    "sd1": _Base("sd-1", *_STABLE),
    "sd2": _Base("sd-2", *_STABLE),
    "sdxl": _Base("sdxl", *_SDXL),
    "miniature": _Base("sd-1", *_STABLE),
}
#: Versions of nodes; InvokeAI updates those that have the same first digit.
_VERSIONS = {
    "main_model_loader": "1.0.3", "sdxl_model_loader": "1.0.3", "lora_loader": "1.0.3",
    "sdxl_lora_loader": "1.0.3", "string": "1.0.1", "string_join_three": "1.0.1",
    "compel": "1.2.0", "sdxl_compel_prompt": "1.2.0", "noise": "1.0.2",
    "denoise_latents": "1.5.3", "l2i": "1.3.0",
}  # fmt: skip


@dataclass(slots=True)
class _Canvas:
    """The nodes and edges of a workflow; ids depend on nothing but the variant."""

    name: str
    nodes: list[dict[str, Any]] = field(default_factory=list)
    edges: list[dict[str, Any]] = field(default_factory=list)

    def add(self, kind: str, label: str, row: int, **inputs: object) -> str:
        """Add a node; return its id. Inputs that are None are left to a link or the user."""
        number = len(self.nodes)
        found = str(uuid5(NAMESPACE_URL, f"{self.name}#{number}"))
        values = {
            key: {"name": key, "label": "", **({} if value is None else {"value": value})}
            for key, value in inputs.items()
        }
        data = {
            "id": found,
            "version": _VERSIONS[kind],
            "label": label,
            "notes": "",
            "type": kind,
            "inputs": values,
            "isOpen": True,
            "isIntermediate": kind != "l2i",
            "useCache": True,
        }
        place = {"x": 420 * number, "y": 380 * row}
        self.nodes.append({"id": found, "type": "invocation", "data": data, "position": place})
        return found

    def link(self, source: str, output: str, target: str, into: str) -> None:
        """Connect an output with an input."""
        edge = {
            "id": f"{source}-{output}-{target}-{into}",
            "type": "default",
            "source": source,
            "target": target,
            "sourceHandle": output,
            "targetHandle": into,
        }
        self.edges.append(edge)


def refusal(family: str, output: str) -> str:
    """Return why there is no workflow for such variants; empty if there is one."""
    if output == "video":
        return "There is no InvokeAI workflow for videos, and this variant makes videos."
    return (
        "" if family in _BASES else f"There is no InvokeAI workflow for {family_title(family)} yet."
    )


def workflow(look: Look) -> dict[str, Any]:
    """Return the workflow of a variant that is not refused."""
    base, canvas = _BASES[look.family], _Canvas(look.title)
    model = canvas.add(base.loader, "Base model", 0, model=None)
    holder = model
    for part in look.parts:
        holder = _lora(canvas, base, part, holder)
    subject, positive, negative = _conditions(canvas, base, look, holder)
    noise = canvas.add(
        "noise", "Noise", 2, seed=0, width=look.width, height=look.height, use_cpu=True
    )
    denoise = canvas.add(
        "denoise_latents",
        "Denoise",
        0,
        positive_conditioning=None,
        negative_conditioning=None,
        noise=None,
        unet=None,
        steps=look.steps,
        cfg_scale=look.guidance,
        denoising_start=0,
        denoising_end=1,
        scheduler=sampler_of(look.family, look.sampler).invokeai,
    )
    canvas.link(positive, "conditioning", denoise, "positive_conditioning")
    canvas.link(negative, "conditioning", denoise, "negative_conditioning")
    canvas.link(noise, "noise", denoise, "noise")
    canvas.link(holder, "unet", denoise, "unet")
    picture = canvas.add("l2i", "Picture", 0, latents=None, vae=None)
    canvas.link(denoise, "latents", picture, "latents")
    canvas.link(model, "vae", picture, "vae")
    return _document(look, canvas, [(model, "model"), (subject, "value"), (noise, "seed")])


def _lora(canvas: _Canvas, base: _Base, part: LookPart, holder: str) -> str:
    identifier = {
        "key": part.sha256,
        "hash": f"sha256:{part.sha256}",
        "name": part.stem,
        "base": base.base,
        "type": "lora",
    }
    links: Mapping[str, object] = dict.fromkeys(base.models)
    label = f"{part.stem} ({part.role})"
    name = canvas.add(base.lora, label, 0, lora=identifier, weight=part.strength, **links)
    for one in base.models:
        canvas.link(holder, one, name, one)
    return name


def _conditions(canvas: _Canvas, base: _Base, look: Look, holder: str) -> tuple[str, str, str]:
    """Add the prompts; return the subject, and what guides the denoising."""
    before, after = map(prompts.invokeai, look.around)
    subject = canvas.add("string", "Subject", 1, value=SUBJECT)
    prompt = canvas.add(
        "string_join_three",
        "Prompt template",
        1,
        string_left=before,
        string_middle=None,
        string_right=after,
    )
    canvas.link(subject, "value", prompt, "string_middle")
    clips = base.models[1:]
    links: Mapping[str, object] = dict.fromkeys(clips)
    positive = canvas.add(base.prompt, "Prompt", 0, prompt=None, **links, **_style(base, None))
    canvas.link(prompt, "value", positive, "prompt")
    if "clip2" in clips:
        canvas.link(prompt, "value", positive, "style")
    text = prompts.invokeai(look.negative)
    negative = canvas.add(base.prompt, "Negative", 1, prompt=text, **links, **_style(base, text))
    for condition in (positive, negative):
        for one in clips:
            canvas.link(holder, one, condition, one)
    return subject, positive, negative


def _style(base: _Base, text: str | None) -> Mapping[str, object]:
    """Return the prompt of the second text encoder, which gets the same."""
    return {"style": text} if "clip2" in base.models else {}


def _document(look: Look, canvas: _Canvas, shown: list[tuple[str, str]]) -> dict[str, Any]:
    return {
        "name": look.title,
        "author": look.pack.partition("/")[0],
        "description": f"Files: {look.pull_command} --to LORAS, then add that folder to the "
        "models.",
        "version": look.version.removeprefix("v") + ".0.0",
        "contact": "",
        "tags": ", ".join(["lorary", look.family]),
        "notes": "",
        "exposedFields": [{"nodeId": node, "fieldName": name} for node, name in shown],
        "meta": {"version": SCHEMA, "category": "user"},
        "nodes": canvas.nodes,
        "edges": canvas.edges,
    }
