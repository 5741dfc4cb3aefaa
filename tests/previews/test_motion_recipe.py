"""The recipe of the motion adapter: clips, and training on a tiny base."""

from __future__ import annotations

import itertools
import shutil
from random import Random
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from diffusers import MotionAdapter
from safetensors.torch import load_file

from training.miniature.drawing.canvas import PICTURE_PX
from training.miniature.latents import FILE as CODE_FILE
from training.miniature.latents import fit_code
from training.miniature.motion.clips import MOTIONS, clip_caption, film
from training.miniature.motion.trainer import WEIGHTS, MotionOptions, MotionTrainer
from training.miniature.networks import TINY
from training.miniature.prepare import stack

if TYPE_CHECKING:
    from pathlib import Path

OPTIONS = MotionOptions(steps=6, clips=3, batch=2, frames=4, save_every=2)


@pytest.mark.parametrize("motion", MOTIONS)
def test_a_clip_moves_in_each_step_and_says_how(motion: str) -> None:
    clip = film(3, motion, frames=4)
    frames = [np.asarray(frame).astype(int) for frame in clip.frames]
    assert {frame.shape for frame in frames} == {(PICTURE_PX, PICTURE_PX, 3)}
    for before, after in itertools.pairwise(frames):
        assert np.abs(after - before).mean() > 0.2
    assert clip.facts.subject in MOTIONS[motion].subjects
    words = {clip_caption(clip.facts, motion, Random(seed)) for seed in range(40)}
    assert any(word in text for word in MOTIONS[motion].words for text in words)
    assert "" in {clip_caption(clip.facts, motion, Random(seed)) for seed in range(80)}
    again = film(3, motion, frames=4)
    assert all(np.array_equal(a, np.asarray(b)) for a, b in zip(frames, again.frames, strict=True))


@pytest.fixture(scope="module")
def miniature(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path) -> Path:
    """A tiny base with a latent code for it."""
    folder = tmp_path_factory.mktemp("miniature")
    shutil.copytree(tiny_folder, folder / "base")
    pictures = stack(frame for seed in range(3) for frame in film(seed, frames=2).frames)
    fit_code(pictures, TINY.latents).save(folder / CODE_FILE)
    return folder


def test_it_starts_as_the_base_and_goes_on_where_it_was_stopped(
    miniature: Path, tmp_path: Path
) -> None:
    whole = MotionTrainer(miniature, tmp_path / "whole", OPTIONS)
    start = {name: weight.clone() for name, weight in whole.unet.named_parameters()}
    folder = whole.train()
    moved = {
        name for name, weight in whole.unet.named_parameters() if not weight.equal(start[name])
    }
    assert moved
    assert all("motion_modules" in name for name in moved)
    stopped = MotionTrainer(miniature, tmp_path / "stopped", OPTIONS)
    stopped.run.advance(2, stopped.step, label="motion", save_every=2)
    resumed = MotionTrainer(miniature, tmp_path / "stopped", OPTIONS)
    resumed.train()
    for one, two in zip(whole.run.average.shadow, resumed.run.average.shadow, strict=True):
        assert torch.equal(one, two)
    opener: Any = MotionAdapter
    adapter = opener.from_pretrained(folder)
    assert adapter.config.motion_max_seq_length == 16
    assert tuple(adapter.config.block_out_channels) == TINY.unet
    stored = load_file(folder / WEIGHTS)
    assert {weight.dtype for weight in stored.values()} == {torch.float16}


def test_the_error_of_a_clip_that_is_repeated_falls(miniature: Path, tmp_path: Path) -> None:
    trainer = MotionTrainer(miniature, tmp_path / "w", OPTIONS)
    clean = trainer.latents[:2, :4]
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    times, words = torch.tensor([400, 700]), ["a car passing by", "falling snow"]

    def error() -> torch.Tensor:
        return trainer.error(clean, noise, times, words)

    first = float(error().detach())
    for group in trainer.optimizer.param_groups:
        group["lr"] = 3e-3
    for _ in range(15):
        trainer.optimizer.zero_grad()
        torch.autograd.backward(error())
        trainer.optimizer.step()
    assert float(error().detach()) < 0.97 * first
