"""Command line: trains the motion adapter of a miniature, or draws a sheet of the clips."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from PIL import Image

from training.miniature.motion.clips import MOTIONS, film
from training.miniature.motion.trainer import MotionOptions, MotionTrainer
from training.miniature.training import report


def sheet(count: int = 8) -> Image.Image:
    """Return a clip of each motion in a row of ``count`` frames."""
    rows = [film(index, name).frames[:: max(1, 16 // count)] for index, name in enumerate(MOTIONS)]
    width, height = rows[0][0].size
    picture = Image.new("RGB", (count * width, len(rows) * height))
    for y, frames in enumerate(rows):
        for x, frame in enumerate(frames[:count]):
            picture.paste(frame, (x * width, y * height))
    return picture


def main() -> None:
    """Train, or draw the sheet that ``--sheet`` names."""
    parser = argparse.ArgumentParser(prog="python -m training.miniature.motion")
    parser.add_argument("--miniature", type=Path, default=Path("previews/miniature"))
    parser.add_argument("--work", type=Path, required=True, help="folder for everything made")
    parser.add_argument("--steps", type=int, default=MotionOptions.steps)
    parser.add_argument("--clips", type=int, default=MotionOptions.clips)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--sheet", type=Path, help="draw the clips into this file, and end")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.sheet:
        sheet().save(arguments.sheet)
        return
    options = MotionOptions(steps=arguments.steps, clips=arguments.clips)
    folder = MotionTrainer(arguments.miniature, arguments.work, options).train()
    report(f"exported {folder}")


if __name__ == "__main__":
    main()
