"""What the nodes of a ComfyUI workflow do, with the parts of a pipeline of diffusers.

It covers the nodes of pictures with a checkpoint, as ComfyUI's documentation and messages describe
them. A checkpoint is a folder of diffusers here.
"""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from diffusers import DDIMScheduler, DiffusionPipeline
from safetensors.torch import load_file

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

#: Scheduler of KSampler to how diffusers calls that spacing of steps.
SPACINGS = {"simple": "trailing", "ddim_uniform": "leading"}


@dataclass
class Interpreter:
    """Runs a workflow in API form."""

    checkpoints: Mapping[str, Path]
    loras: Path
    values: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    saved: list[Any] = field(default_factory=list)

    def run(self, workflow: Mapping[str, Mapping[str, Any]]) -> Any:
        """Return the picture that was saved."""
        self.workflow = workflow
        ends = [name for name, node in workflow.items() if node["class_type"] == "SaveImage"]
        for name in ends:
            self._value(name)
        (picture,) = self.saved
        return picture

    def _value(self, name: str) -> tuple[Any, ...]:
        if name not in self.values:
            node = self.workflow[name]
            inputs = {
                key: self._value(value[0])[value[1]] if isinstance(value, list) else value
                for key, value in node["inputs"].items()
            }
            self.values[name] = getattr(self, node["class_type"])(**inputs)
        return self.values[name]

    def CheckpointLoaderSimple(self, *, ckpt_name: str) -> tuple[Any, Any, Any]:  # noqa: N802 - the node's name
        """Return model, text encoder and VAE."""
        opener: Any = DiffusionPipeline
        pipe = opener.from_pretrained(self.checkpoints[ckpt_name], torch_dtype=torch.float32)
        pipe.set_progress_bar_config(disable=True)
        return (pipe, {}), (pipe, pipe.text_encoder), pipe.vae

    def LoraLoader(  # noqa: N802 - the node's name and inputs
        self, *, model: Any, clip: Any, lora_name: str, strength_model: float, strength_clip: float
    ) -> tuple[Any, Any]:
        """Return copies with the strengths' share of what the file adds."""
        tensors = load_file(self.loras / lora_name)
        pipe, options = model
        pipe = copy.copy(pipe)
        pipe.unet = patched(pipe.unet, ("unet.", "lora_unet_"), tensors, strength_model)
        encoder = patched(
            clip[1], ("text_encoder.text_model.", "lora_te_text_model_"), tensors, strength_clip
        )
        return (pipe, options), (clip[0], encoder)

    def ModelSamplingDiscrete(self, *, model: Any, sampling: str, zsnr: bool) -> tuple[Any]:  # noqa: N802
        """Return the model with what it predicts, and whether its noise schedule ends in noise."""
        changed = {"prediction_type": sampling, "rescale_betas_zero_snr": zsnr}
        return ((model[0], {**model[1], **changed}),)

    def PrimitiveString(self, *, value: str) -> tuple[str]:  # noqa: N802
        """Return the text."""
        return (value,)

    def StringReplace(self, *, string: str, find: str, replace: str) -> tuple[str]:  # noqa: N802
        """Return the text with another in the place of a part."""
        return (string.replace(find, replace),)

    def CLIPTextEncode(self, *, text: str, clip: Any) -> tuple[Any]:  # noqa: N802
        """Return the last states of a text; parentheses without a backslash would weigh words."""
        assert not re.search(r"(?<!\\)[()]", text), text
        pipe, encoder = clip
        literal = text.replace("\\(", "(").replace("\\)", ")")
        tokens = pipe.tokenizer(
            literal,
            padding="max_length",
            max_length=pipe.tokenizer.model_max_length,
            truncation=True,
            return_tensors="pt",
        )
        with torch.no_grad():
            return (encoder(tokens.input_ids)[0],)

    def EmptyLatentImage(self, *, width: int, height: int, batch_size: int) -> tuple[Any]:  # noqa: N802
        """Return a latent of zeros, a number for 8 by 8 pixels."""
        return (torch.zeros(batch_size, 4, height // 8, width // 8),)

    def KSampler(  # noqa: N802 - the node's name and inputs
        self,
        *,
        model: Any,
        positive: Any,
        negative: Any,
        latent_image: Any,
        seed: int,
        steps: int,
        cfg: float,
        sampler_name: str,
        scheduler: str,
        denoise: float,
    ) -> tuple[Any]:
        """Return the denoised latent; the noise of a seed is made on the CPU.

        An empty latent gets the channels and the scale of the model's latents.
        """
        assert (sampler_name, denoise) == ("ddim", 1.0)
        pipe, options = model
        spacing = SPACINGS[scheduler]
        opener: Any = DDIMScheduler
        pipe.scheduler = opener.from_config(
            {**pipe.scheduler.config, **options, "timestep_spacing": spacing}
        )
        width, height = latent_image.shape[3] * 8, latent_image.shape[2] * 8
        scale, channels = pipe.vae_scale_factor, pipe.unet.config.in_channels
        shape = (len(latent_image), channels, height // scale, width // scale)
        noise = torch.randn(shape, generator=torch.manual_seed(seed))
        output = pipe(
            prompt_embeds=positive,
            negative_prompt_embeds=negative,
            latents=noise,
            num_inference_steps=steps,
            guidance_scale=cfg,
            width=width,
            height=height,
            output_type="latent",
        )
        return (output.images,)

    def VAEDecode(self, *, samples: Any, vae: Any) -> tuple[Any]:  # noqa: N802
        """Return pictures with values from 0 to 1, the channels last."""
        with torch.no_grad():
            decoded = vae.decode(samples / vae.config.scaling_factor).sample
        return ((decoded / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1),)

    def SaveImage(self, *, images: Any, filename_prefix: str) -> tuple[()]:  # noqa: N802
        """Save the first picture."""
        assert filename_prefix
        self.saved.append((images[0] * 255).round().to(torch.int64).numpy())
        return ()


def patched(
    module: Any, prefixes: tuple[str, str], tensors: Mapping[str, Any], strength: float
) -> Any:
    """Return a copy of a module with strength · alpha / rank · up · down added to its weights.

    Args:
        module: A denoiser or a text encoder.
        prefixes: Of its keys in files of PEFT (with dots), and of kohya (with underscores).
        tensors: Those of the file.
        strength: A factor.
    """
    changed = copy.deepcopy(module)
    found = 0
    for path, one in changed.named_modules():
        name = path.removeprefix("text_model.")  # which newer transformers leave out
        peft, kohya = f"{prefixes[0]}{name}", f"{prefixes[1]}{name.replace('.', '_')}"
        for down, up, alpha in (
            (f"{peft}.lora_A.weight", f"{peft}.lora_B.weight", f"{peft}.alpha"),
            (f"{kohya}.lora_down.weight", f"{kohya}.lora_up.weight", f"{kohya}.alpha"),
        ):
            if down not in tensors:
                continue
            first, second = tensors[down].float(), tensors[up].float()
            rank = first.shape[0]
            scale = float(tensors.get(alpha, torch.tensor(float(rank)))) / rank
            added = (second.flatten(1) @ first.flatten(1)).reshape(one.weight.shape)
            with torch.no_grad():
                one.weight += strength * scale * added
            found += 1
    assert found, prefixes
    return changed
