"""Contact sheets of the demo: its packs, and moving pictures of its adapters."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING

import torch

from training.miniature.adapters.adapter_files import adapter_file
from training.miniature.adapters.plans import GUIDANCE, INDEX, PLANS
from training.miniature.reports.grids import as_images, labelled, sheet
from training.miniature.reports.trials import Pictures, render
from training.miniature.sampling import STEPS
from training.miniature.stock import AnimateDiffPipeline, MotionAdapter

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from PIL import Image

    from training.miniature.stock import Pipeline

PACKS = INDEX.with_name("packs.toml")
# Packs beside each other on their sheet, and the side of a picture there.
PACK_COLUMNS, PACK_PX = 2, 128
FRAMES, FRAME_PX = 8, 128
MOVING_PROMPTS = {
    "": "a white boat with red sails on the sea by day, waves rolling",
    "neon": "a red balloon with white stripes in a meadow by day, rising",
    "gold": "a red car in the desert by day, passing by",
    "blueprint": "a white boat with red sails on the sea by day, waves rolling",
    "aurora": "a white house with a red roof in the snow at night, falling snow",
    "charcoal": "a gray castle with red roofs in a meadow by day, drifting clouds",
    "golden-hour": "an orange fish with blue fins under water, swimming by",
    "moonlight": "a cottage in a wheat field by day, night falling",
    "zorbi": "a zorbi creature in the snow at night, falling snow",
}


def packs_sheet(pipeline: Pipeline, work: Path) -> Image.Image:
    """Return each demo pack over the subjects of its cover sheet, two packs to a row.

    The first row has the subjects without a pack: those of most packs, and those of characters.
    """
    packs = tomllib.loads(PACKS.read_text(encoding="utf-8"))
    settings = tomllib.loads(INDEX.read_text(encoding="utf-8"))["packs"]
    subjects, seed = settings["subjects"], settings["seed"]
    shown: list[Image.Image] = []
    for kind in ("any", "character"):
        shown += _pack_row(pipeline, subjects[kind], seed, f"without a pack: {kind}")
    for name, pack in packs.items():
        _put_on(pipeline, work, {part["adapter"]: part["strength"] for part in pack["parts"]})
        own = subjects.get(pack["kind"], subjects["any"])
        prompts = [pack["prompt"].replace("{prompt}", subject) for subject in own]
        shown += _pack_row(pipeline, prompts, seed, name)
        pipeline.unload_lora_weights()
    return sheet(shown, PACK_COLUMNS * len(subjects["any"]))


def _pack_row(
    pipeline: Pipeline, prompts: Sequence[str], seed: int, label: str
) -> list[Image.Image]:
    # A cover sheet has one seed for all subjects.
    row = [as_images(render(pipeline, [prompt], seed))[0] for prompt in prompts]
    small = [image.resize((PACK_PX, PACK_PX)) for image in row]
    return [labelled(small[0], label), *small[1:]]


def moving_sheet(pipeline: Pipeline, work: Path) -> Image.Image:
    """Return the frames of a video in a row, without an adapter and with some of them.

    Args:
        pipeline: The base for pictures; `work` has the motion adapter beside the adapters.
    """
    moving = _with_motion(pipeline, work)
    shown: list[Image.Image] = []
    for name, text in MOVING_PROMPTS.items():
        plan = PLANS.get(name)
        silent = plan is None or plan.trigger in text
        _put_on(moving, work, {name: 1.0} if plan else {})
        prompt = text if silent or plan is None else f"{text}, {plan.trigger}"
        frames = [
            image.resize((FRAME_PX, FRAME_PX)) for image in as_images(_frames(moving, prompt))
        ]
        moving.unload_lora_weights()
        shown += [labelled(frames[0], name or "base"), *frames[1:]]
    return sheet(shown, FRAMES)


def _put_on(pipeline: Pipeline, work: Path, strengths: dict[str, float]) -> None:
    for name in strengths:
        pipeline.load_lora_weights(adapter_file(work, name), adapter_name=name)
    if strengths:
        pipeline.set_adapters(list(strengths), list(strengths.values()))


def film(pipeline: Pipeline, work: Path, prompt: str) -> Pictures:
    """Return the frames of a video (frames, height, width, 3) in 0..1, without an adapter."""
    return _frames(_with_motion(pipeline, work), prompt)


def _with_motion(pipeline: Pipeline, work: Path) -> Pipeline:
    motion = MotionAdapter.from_pretrained(work / "motion", torch_dtype=torch.float32)
    moving = AnimateDiffPipeline.from_pipe(pipeline, motion_adapter=motion)
    moving.set_progress_bar_config(disable=True)
    return moving


def _frames(moving: Pipeline, prompt: str, seed: int = 7) -> Pictures:
    found: Sequence[Pictures] = moving(
        prompt,
        num_frames=FRAMES,
        num_inference_steps=STEPS,
        guidance_scale=GUIDANCE,
        generator=torch.Generator().manual_seed(seed),
        output_type="np",
    ).frames
    return found[0]
