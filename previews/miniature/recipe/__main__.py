"""Command line of the recipe: one step at a time, all in one work folder."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from previews.miniature.recipe.adapters import train_adapters
from previews.miniature.recipe.base import BaseOptions, BaseTrainer
from previews.miniature.recipe.decoder import DecoderOptions, DecoderTrainer
from previews.miniature.recipe.export import export_base, load_parts
from previews.miniature.recipe.grids import write_grids
from previews.miniature.recipe.prepare import prepare
from previews.miniature.recipe.refine import STEPS as REFINE_STEPS
from previews.miniature.recipe.refine import Refiner
from previews.miniature.recipe.training import report

if TYPE_CHECKING:
    from collections.abc import Callable


def _prepare(arguments: argparse.Namespace) -> None:
    prepare(arguments.work)


def _base(arguments: argparse.Namespace) -> None:
    steps = arguments.steps or BaseOptions.steps
    BaseTrainer(arguments.work, BaseOptions(steps=steps)).train()


def _decoder(arguments: argparse.Namespace) -> None:
    steps = arguments.steps or DecoderOptions.steps
    DecoderTrainer(arguments.work, DecoderOptions(steps=steps)).train()


def _refine(arguments: argparse.Namespace) -> None:
    Refiner(arguments.work, arguments.steps or REFINE_STEPS).train()


def _export(arguments: argparse.Namespace) -> None:
    size_bytes = export_base(load_parts(arguments.work), arguments.work / "export")
    report(f"exported {size_bytes} bytes")


def _adapters(arguments: argparse.Namespace) -> None:
    for path in train_adapters(arguments.work, arguments.names, arguments.steps):
        report(f"{path.name} {path.stat().st_size} bytes")


def _grids(arguments: argparse.Namespace) -> None:
    write_grids(arguments.work, arguments.names)


STEPS: dict[str, Callable[[argparse.Namespace], None]] = {
    "prepare": _prepare,
    "base": _base,
    "decoder": _decoder,
    "refine": _refine,
    "export": _export,
    "adapters": _adapters,
    "grids": _grids,
}


def main() -> None:
    """Run the step that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m previews.miniature.recipe")
    parser.add_argument("step", choices=list(STEPS))
    parser.add_argument("names", nargs="*", help="adapters to train or draw (default: all)")
    parser.add_argument("--work", type=Path, required=True, help="folder for everything made")
    parser.add_argument("--steps", type=int, help="another budget of training steps")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    # Two runs with one thread each are faster than one with two on two cores.
    torch.set_num_threads(arguments.threads)
    STEPS[arguments.step](arguments)


if __name__ == "__main__":
    main()
