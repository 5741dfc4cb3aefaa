"""ComfyUI: a workflow in API form, which ``POST /prompt`` takes.

```
loaders ─ LoRA 1 ─ … ─ LoRA n ─┬─ prompt (subject in template) ─┐
                               ├─ negative prompt ──────────────┼─ KSampler ─ decode ─ save
                               └─ model with sampling node ─────┘
```

The node titled “Subject” has the subject. File names of base models are those that ComfyUI's own
examples use; choose yours in the loaders.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lorary.anatomy import family_title
from lorary.client.packs import PLACEHOLDER
from lorary.exports import prompts
from lorary.exports.samplers import sampler_of

if TYPE_CHECKING:
    from lorary.exports.look import Look, LookPart

#: A node by id, as ``POST /prompt`` takes it, and an output of a node: id and index.
Graph = dict[str, dict[str, Any]]
Output = list[Any]

#: What stands for the subject until somebody writes one.
SUBJECT = "your subject"


@dataclass(frozen=True, slots=True)
class _Base:
    """The nodes of a family of base models.

    Attributes:
        checkpoint: A file with model, text encoder and VAE; or, if it is empty,
        files: the files of the model, of the text encoders, and of the VAE.
        encoder: ``type`` of the node that loads the text encoders.
        latent: The node of the empty latent.
        sampling: A node that sets how the model samples, with its inputs; or none.
        is_weighted: Whether parentheses in prompts weigh words.
        is_distilled: Whether guidance is an input of the model, without a negative prompt.
    """

    checkpoint: str = ""
    files: tuple[str, tuple[str, ...], str] = ("", (), "")
    encoder: str = ""
    latent: str = "EmptyLatentImage"
    sampling: tuple[str, Mapping[str, object]] | None = None
    is_weighted: bool = True
    is_distilled: bool = False


_SD3_LATENT, _VIDEO_LATENT = "EmptySD3LatentImage", "EmptyHunyuanLatentVideo"
_T5, _UMT5 = "t5xxl_fp16.safetensors", "umt5_xxl_fp8_e4m3fn_scaled.safetensors"
_FLUX_VAE = "ae.safetensors"


def _wan(model: str) -> _Base:
    return _Base(
        files=(model, (_UMT5,), "wan_2.1_vae.safetensors"),
        encoder="wan",
        latent=_VIDEO_LATENT,
        sampling=("ModelSamplingSD3", {"shift": 8.0}),
    )


_BASES: Mapping[str, _Base] = {
    "sd1": _Base("v1-5-pruned-emaonly-fp16.safetensors"),
    "sd2": _Base("v2-1_768-ema-pruned.safetensors"),
    "sdxl": _Base("sd_xl_base_1.0.safetensors"),
    "ssd_1b": _Base("SSD-1B.safetensors"),
    "segmind_vega": _Base("segmind-vega.safetensors"),
    "miniature": _Base(
        "miniature.safetensors",
        sampling=("ModelSamplingDiscrete", {"sampling": "v_prediction", "zsnr": True}),
    ),
    "sd3": _Base("sd3_medium_incl_clips_t5xxlfp16.safetensors", latent=_SD3_LATENT),
    "sd35_medium": _Base("sd3.5_medium_incl_clips_t5xxlfp8scaled.safetensors", latent=_SD3_LATENT),
    "sd35_large": _Base("sd3.5_large_fp8_scaled.safetensors", latent=_SD3_LATENT),
    "flux1": _Base(
        files=("flux1-dev.safetensors", ("clip_l.safetensors", _T5), _FLUX_VAE),
        encoder="flux",
        latent=_SD3_LATENT,
        is_distilled=True,
    ),
    "chroma": _Base(
        files=("chroma-unlocked-v50.safetensors", (_T5,), _FLUX_VAE),
        encoder="chroma",
        latent=_SD3_LATENT,
    ),
    "qwen_image": _Base(
        files=(
            "qwen_image_fp8_e4m3fn.safetensors",
            ("qwen_2.5_vl_7b_fp8_scaled.safetensors",),
            "qwen_image_vae.safetensors",
        ),
        encoder="qwen_image",
        latent=_SD3_LATENT,
        sampling=("ModelSamplingAuraFlow", {"shift": 3.1}),
        is_weighted=False,
    ),
    "z_image": _Base(
        files=("z_image_bf16.safetensors", ("qwen_3_4b.safetensors",), _FLUX_VAE),
        encoder="lumina2",
        latent=_SD3_LATENT,
        sampling=("ModelSamplingAuraFlow", {"shift": 3.0}),
        is_weighted=False,
    ),
    "wan_1_3b": _wan("wan2.1_t2v_1.3B_fp16.safetensors"),
    "wan_14b": _wan("wan2.1_t2v_14B_fp8_e4m3fn.safetensors"),
}
#: Families that make videos with ComfyUI's own nodes.
_MOVING = frozenset({"wan_1_3b", "wan_14b"})


@dataclass(slots=True)
class _Graph:
    nodes: Graph = field(default_factory=dict)

    def add(self, kind: str, title: str = "", /, **inputs: object) -> str:
        """Add a node; return its id."""
        name = str(len(self.nodes) + 1)
        self.nodes[name] = {
            "class_type": kind,
            "inputs": inputs,
            **({"_meta": {"title": title}} if title else {}),
        }
        return name


def refusal(family: str, output: str) -> str:
    """Return why there is no workflow for such variants; empty if there is one."""
    if family not in _BASES:
        return f"There is no ComfyUI workflow for {family_title(family)} yet."
    if output == "video" and family not in _MOVING:
        return f"ComfyUI has no nodes of its own for videos of {family_title(family)}."
    return ""


def literal(family: str, text: str) -> str:
    """Return a text in which no parentheses weigh words, for the text encoders of a family."""
    base = _BASES.get(family)
    return text if base is not None and not base.is_weighted else prompts.comfyui(text)


def workflow(look: Look) -> Graph:
    """Return the workflow of a variant that is not refused."""
    base, graph = _BASES[look.family], _Graph()
    model, clip, vae = _loaders(graph, base)
    for part in look.parts:
        model, clip = _lora(graph, base, part, model, clip)
    if base.sampling:
        kind, inputs = base.sampling
        model = [graph.add(kind, model=model, **inputs), 0]
    positive, negative = _conditions(graph, base, look, clip)
    sampler, scheduler = sampler_of(look.family, look.sampler).comfyui
    latents = graph.add(
        "KSampler",
        model=model,
        positive=positive,
        negative=negative,
        latent_image=[_latent(graph, base, look), 0],
        seed=0,
        steps=look.steps,
        cfg=1.0 if base.is_distilled else look.guidance,
        sampler_name=sampler,
        scheduler=scheduler,
        denoise=1.0,
    )
    pictures = [graph.add("VAEDecode", samples=[latents, 0], vae=vae), 0]
    _save(graph, look, pictures)
    return graph.nodes


def _loaders(graph: _Graph, base: _Base) -> tuple[Output, Output, Output]:
    """Add the loaders of the base model; return model, text encoder and VAE."""
    if base.checkpoint:
        loader = graph.add("CheckpointLoaderSimple", ckpt_name=base.checkpoint)
        return [loader, 0], [loader, 1], [loader, 2]
    unet, encoders, vae = base.files
    model = graph.add("UNETLoader", unet_name=unet, weight_dtype="default")
    if len(encoders) > 1:
        first, second = encoders
        clip = graph.add("DualCLIPLoader", clip_name1=first, clip_name2=second, type=base.encoder)
    else:
        clip = graph.add("CLIPLoader", clip_name=encoders[0], type=base.encoder)
    return [model, 0], [clip, 0], [graph.add("VAELoader", vae_name=vae), 0]


def _lora(
    graph: _Graph, base: _Base, part: LookPart, model: Output, clip: Output
) -> tuple[Output, Output]:
    """Add the loader of a LoRA; return model and text encoder with it."""
    title = f"{part.adapter} {part.version} ({part.role})"
    if base.checkpoint:
        name = graph.add(
            "LoraLoader",
            title,
            model=model,
            clip=clip,
            lora_name=part.file_name,
            strength_model=part.strength,
            strength_clip=part.strength,
        )
        return [name, 0], [name, 1]
    name = graph.add(
        "LoraLoaderModelOnly",
        title,
        model=model,
        lora_name=part.file_name,
        strength_model=part.strength,
    )
    return [name, 0], clip


def _conditions(graph: _Graph, base: _Base, look: Look, clip: Output) -> tuple[Output, Output]:
    """Add the prompts; return what guides the sampler."""
    before, after = (literal(look.family, text) for text in look.around)
    subject = graph.add("PrimitiveString", "Subject", value=SUBJECT)
    # Not in the text of an encoder, where braces would be choices (dynamic prompts).
    prompt = graph.add(
        "StringReplace",
        "Prompt template",
        string=f"{before}{PLACEHOLDER}{after}",
        find=PLACEHOLDER,
        replace=[subject, 0],
    )
    positive = graph.add("CLIPTextEncode", "Prompt", text=[prompt, 0], clip=clip)
    if base.is_distilled:
        guided = graph.add("FluxGuidance", conditioning=[positive, 0], guidance=look.guidance)
        return [guided, 0], [graph.add("ConditioningZeroOut", conditioning=[positive, 0]), 0]
    negative = graph.add(
        "CLIPTextEncode", "Negative", text=literal(look.family, look.negative), clip=clip
    )
    return [positive, 0], [negative, 0]


def _latent(graph: _Graph, base: _Base, look: Look) -> str:
    size: dict[str, object] = {"width": look.width, "height": look.height, "batch_size": 1}
    if base.latent == _VIDEO_LATENT:
        size["length"] = look.frames or 1
    return graph.add(base.latent, **size)


def _save(graph: _Graph, look: Look, pictures: Output) -> None:
    prefix = look.pack.rpartition("/")[2]
    if not look.is_video:
        graph.add("SaveImage", images=pictures, filename_prefix=prefix)
        return
    graph.add(
        "SaveAnimatedWEBP",
        images=pictures,
        filename_prefix=prefix,
        fps=float(look.fps),
        lossless=False,
        quality=90,
        method="default",
    )
