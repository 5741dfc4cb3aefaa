"""Trains the motion adapter on clips: the same velocities as the base, for all frames at once.

The frames of a clip have one caption and one time step. A pipeline repeats the text states for
every frame; who calls the UNet directly must do the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from training.miniature.latents import FILE as CODE_FILE
from training.miniature.latents import LatentCode
from training.miniature.motion.clips import FRAMES, clip_caption, film_many
from training.miniature.networks import Noise, token_ids
from training.miniature.prepare import stack
from training.miniature.stock import (
    CLIPTextModel,
    CLIPTokenizer,
    MotionAdapter,
    Part,
    UNet2DConditionModel,
    UNetMotionModel,
)
from training.miniature.training import (
    Average,
    Run,
    StepRandom,
    descend,
    learning_rate,
    report,
    set_rate,
)

if TYPE_CHECKING:
    from pathlib import Path

    from training.miniature.drawing.scene import Facts

#: Folder of the adapter in the work folder.
FOLDER = "motion"
WEIGHTS = "diffusion_pytorch_model.safetensors"
FIRST_TIME = 20
CLIP_SEED = 9_000_000


@dataclass(frozen=True)
class MotionOptions:
    """How long and how fast the adapter is trained, and on how many clips."""

    steps: int = 12_000
    clips: int = 4_000
    batch: int = 4
    frames: int = 8
    peak_rate: float = 4e-4
    seed: int = 3
    save_every: int = 100


def build_motion_adapter(unet: Part) -> Part:
    """Return a fresh adapter for a UNet of the miniature's layout.

    It changes nothing at first: what its modules add is 0.
    """
    config = unet.config
    adapter = MotionAdapter(
        block_out_channels=tuple(config.block_out_channels),
        motion_layers_per_block=config.layers_per_block,
        motion_mid_block_layers_per_block=1,
        motion_num_attention_heads=4,
        motion_norm_num_groups=config.norm_num_groups,
        motion_max_seq_length=FRAMES,
        use_motion_mid_block=config.mid_block_type is not None,
    )
    for name, weight in adapter.named_parameters():
        if "proj_out" in name:
            torch.nn.init.zeros_(weight)
    return adapter


class MotionTrainer:
    """One run of the adapter of a miniature, which has ``base`` and its latent code."""

    def __init__(self, miniature: Path, work: Path, options: MotionOptions | None = None) -> None:
        self.options = options = options or MotionOptions()
        torch.manual_seed(options.seed)
        work.mkdir(parents=True, exist_ok=True)
        self.work, base = work, miniature / "base"
        self.tokenizer = CLIPTokenizer.from_pretrained(base / "tokenizer")
        kind = {"torch_dtype": torch.float32}
        self.text_encoder = CLIPTextModel.from_pretrained(base / "text_encoder", **kind)
        self.text_encoder.requires_grad_(requires_grad=False)
        flat = UNet2DConditionModel.from_pretrained(base / "unet", **kind)
        self.unet = UNetMotionModel.from_unet2d(flat, build_motion_adapter(flat))
        self.unet.requires_grad_(requires_grad=False)
        weights = [
            weight.requires_grad_() for name, weight in self.unet.named_parameters()
            if "motion_modules" in name
        ]  # fmt: skip
        self.latents, self.facts = self._clips(LatentCode.load(miniature / CODE_FILE))
        self.noise = Noise.schedule()
        self.optimizer = torch.optim.AdamW(weights, lr=options.peak_rate, weight_decay=1e-2)
        self.run = Run(
            {"unet": self.unet}, {"adamw": self.optimizer}, Average(weights, 0.995),
            work / "motion.ckpt",
        )  # fmt: skip

    def train(self) -> Path:
        """Resume or start, train to the end of the budget, and return the adapter's folder."""
        self.run.resume()
        self.run.advance(
            self.options.steps,
            self.step,
            label="motion",
            save_every=self.options.save_every,
            on_save=self.export,
        )
        return self.work / FOLDER

    def step(self, step: int) -> float:
        """Take one step and return the velocity error."""
        options, rng = self.options, StepRandom.of(self.options.seed, step)
        set_rate(
            self.optimizer,
            learning_rate(step, options.steps, peak=options.peak_rate, warmup=100, flat=0.6),
        )
        chosen = rng.below(len(self.latents), options.batch).tolist()
        clean = torch.stack([self._window(index, rng) for index in chosen])
        shown = [self.facts[index] for index in chosen]
        captions = [clip_caption(facts, motion, rng.words) for facts, motion in shown]
        # One time step from each of `batch` equal intervals.
        share = (torch.arange(options.batch) + rng.uniform(options.batch)) / options.batch
        times = (FIRST_TIME + share * (1000 - FIRST_TIME)).long().clamp(max=999)
        error = self.error(clean, rng.normal(*clean.shape), times, captions)
        descend(error, self.optimizer, self.run.average.weights)
        return float(error.detach())

    def error(self, clean: Tensor, noise: Tensor, times: Tensor, captions: list[str]) -> Tensor:
        """Return the mean velocity error of clips (n, frames, channels, height, width)."""
        count, frames = clean.shape[:2]
        each = times.repeat_interleave(frames)
        noisy, velocity = self.noise.mix(clean.flatten(0, 1), noise.flatten(0, 1), each)
        words = self.text_encoder(token_ids(self.tokenizer, captions))[0]
        guess = self.unet(
            _frames_last(noisy, count), times, words.repeat_interleave(frames, 0)
        ).sample
        error: Tensor = ((guess - _frames_last(velocity, count)) ** 2).mean()
        return error

    def export(self) -> None:
        """Write the averaged adapter in half precision."""
        folder = self.work / FOLDER
        self.run.average.swap()
        self.unet.save_motion_modules(folder, safe_serialization=True)
        self.run.average.swap()
        # The call above always writes full precision.
        file = folder / WEIGHTS
        half = {name: weight.half() for name, weight in load_file(file).items()}
        save_file(half, file, metadata={"format": "pt"})

    def _window(self, index: int, rng: StepRandom) -> Tensor:
        """Return frames of a clip: all of it in larger steps, or a part of it frame by frame."""
        wanted, clip = self.options.frames, self.latents[index]
        stride = rng.words.choice(range(1, len(clip) // wanted + 1))
        first = rng.words.randrange(len(clip) - stride * (wanted - 1))
        return clip[first : first + stride * wanted : stride]

    def _clips(self, code: LatentCode) -> tuple[Tensor, list[tuple[Facts, str]]]:
        """Return the latents of all clips, and what they show; drawn at the first run."""
        file, count = self.work / "clips.pt", self.options.clips
        clips = film_many(range(CLIP_SEED, CLIP_SEED + count)) if not file.exists() else []
        if clips:
            report(f"drew {count} clips")
            frames = torch.stack([code.encode(stack(clip.frames)) for clip in clips])
            torch.save({"latents": frames, "facts": [(c.facts, c.motion) for c in clips]}, file)
        stored: dict[str, Any] = torch.load(file, weights_only=False)
        return stored["latents"], stored["facts"]


def _frames_last(flat: Tensor, clips: int) -> Tensor:
    """Return frames (clips × frames, channels, …) as (clips, channels, frames, …)."""
    return flat.reshape(clips, -1, *flat.shape[1:]).transpose(1, 2)
