"""Command line of the recipe: one step at a time or all of them, in one work folder.

The folder of the miniature itself will do for the last steps: it has the base, its latent
code and the adapters.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from training.miniature.adapters.adapter_files import adapter_file, steps_of
from training.miniature.adapters.plans import ALL_PLANS, PLANS, STACKS
from training.miniature.adapters.trainer import AdapterTrainer
from training.miniature.adapters.tuner import Tuner, TunerOptions
from training.miniature.base.decoder import DecoderOptions, DecoderTrainer
from training.miniature.base.export import export_base, load_parts
from training.miniature.base.refine import STEPS as REFINE_STEPS
from training.miniature.base.refine import Refiner
from training.miniature.base.trainer import BaseOptions, BaseTrainer
from training.miniature.encoder import EncoderTrainer
from training.miniature.encoder import Options as EncoderOptions
from training.miniature.latents import FILE as CODE_FILE
from training.miniature.latents import LatentCode
from training.miniature.prepare import prepare, start_from
from training.miniature.reports.base_figures import BaseFigures
from training.miniature.reports.demo_grids import moving_sheet, packs_sheet
from training.miniature.reports.figures import Figures, seed_distance, table
from training.miniature.reports.grids import (
    REDUCED,
    adapter_sheet,
    base_sheet,
    looks_sheet,
    save_sheet,
    stack_sheet,
)
from training.miniature.reports.trials import load_base, try_adapter
from training.miniature.training import report

if TYPE_CHECKING:
    from collections.abc import Callable


def _prepare(arguments: argparse.Namespace) -> None:
    if arguments.start is None:
        prepare(arguments.work)
    else:
        start_from(arguments.start, arguments.work)


def _base(arguments: argparse.Namespace) -> None:
    options = BaseOptions(
        steps=arguments.steps or BaseOptions.steps,
        peak_rate=arguments.rate or BaseOptions.peak_rate,
    )
    BaseTrainer(arguments.work, options).train()


def _decoder(arguments: argparse.Namespace) -> None:
    options = DecoderOptions(
        steps=arguments.steps or DecoderOptions.steps,
        peak_rate=arguments.rate or DecoderOptions.peak_rate,
    )
    DecoderTrainer(arguments.work, options).train()


def _refine(arguments: argparse.Namespace) -> None:
    Refiner(arguments.work, arguments.steps or REFINE_STEPS).train()


def _export(arguments: argparse.Namespace) -> None:
    size_bytes = export_base(load_parts(arguments.work), arguments.work / "base")
    report(f"exported {size_bytes} bytes")


def _adapters(arguments: argparse.Namespace) -> None:
    missing = [name for name in PLANS if not adapter_file(arguments.work, name).exists()]
    for name in arguments.names or missing:
        path = AdapterTrainer(arguments.work, ALL_PLANS[name], arguments.steps).train()
        report(f"{path.name} {path.stat().st_size} bytes")


def _tune(arguments: argparse.Namespace) -> None:
    files = {name: adapter_file(arguments.work, name) for name, plan in PLANS.items() if plan.tuned}
    untuned = [name for name, file in files.items() if file.exists() and not steps_of(file)[1]]
    for name in arguments.names or untuned:
        options = TunerOptions(
            steps=arguments.steps or ALL_PLANS[name].tuned or TunerOptions.steps,
            peak_rate=arguments.rate or TunerOptions.peak_rate,
        )
        path = Tuner(arguments.work, ALL_PLANS[name], options).train()
        report(f"{path.name} {path.stat().st_size} bytes")


def _encoder(arguments: argparse.Namespace) -> None:
    steps = arguments.steps or EncoderOptions.steps
    folder = EncoderTrainer(arguments.work, EncoderOptions(steps=steps)).train()
    report(f"exported {sum(file.stat().st_size for file in folder.iterdir())} bytes")


def _grids(arguments: argparse.Namespace) -> None:
    work, names = arguments.work, arguments.names or list(PLANS)
    pipeline = load_base(work / "base")
    if not arguments.names:
        save_sheet(base_sheet(pipeline), work / "grids" / "base.webp", REDUCED)
        save_sheet(looks_sheet(), work / "grids" / "looks.webp")
        save_sheet(packs_sheet(pipeline, work), work / "grids" / "packs.webp")
        if (work / "motion").is_dir():
            save_sheet(moving_sheet(pipeline, work), work / "grids" / "moving.webp")
    for name in names:
        trial = try_adapter(pipeline, adapter_file(work, name), ALL_PLANS[name])
        save_sheet(adapter_sheet(trial), work / "grids" / f"{name}.webp", REDUCED)
    for stack in STACKS:
        files = [adapter_file(work, plan.name) for plan in stack.plans]
        if all(plan.name in names for plan in stack.plans):
            whole = stack_sheet(pipeline, files, stack)
            save_sheet(whole, work / "grids" / f"{stack.name}.webp", REDUCED)


def _figures(arguments: argparse.Namespace) -> None:
    work = arguments.work
    pipeline = load_base(work / "base")
    trials = (
        try_adapter(pipeline, adapter_file(work, name), ALL_PLANS[name])
        for name in arguments.names or PLANS
    )
    report(table(map(Figures.of, trials), seed_distance(pipeline)))


def _measure(arguments: argparse.Namespace) -> None:
    work = arguments.work
    code = LatentCode.load(work / CODE_FILE)
    report(BaseFigures.of(load_base(work / "base"), code).table())


STEPS: dict[str, Callable[[argparse.Namespace], None]] = {
    "prepare": _prepare,
    "base": _base,
    "decoder": _decoder,
    "refine": _refine,
    "export": _export,
    "measure": _measure,
    "adapters": _adapters,
    "tune": _tune,
    "encoder": _encoder,
    "grids": _grids,
    "figures": _figures,
}


# What a finished step leaves. The other steps resume by themselves or are done in seconds.
LEFT_BY = {"prepare": CODE_FILE, "refine": "vae_refined/diffusion_pytorch_model.safetensors"}


def _all(arguments: argparse.Namespace) -> None:
    """Run every step in turn, except what an earlier run has finished."""
    for name, step in STEPS.items():
        if name in LEFT_BY and (arguments.work / LEFT_BY[name]).exists():
            continue
        report(f"== {name}")
        step(arguments)


def main() -> None:
    """Run the step that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m training.miniature")
    parser.add_argument("step", choices=[*STEPS, "all"])
    parser.add_argument(
        "names", nargs="*", help="adapters to train (default: those missing) or draw (default: all)"
    )
    parser.add_argument("--work", type=Path, required=True, help="folder for everything made")
    parser.add_argument("--steps", type=int, help="another budget of training steps")
    parser.add_argument("--rate", type=float, help="another peak of the learning rate")
    parser.add_argument(
        "--start", type=Path, help="prepare: an exported base whose weights training goes on from"
    )
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    # Two runs with one thread each are faster than one with two on two cores.
    torch.set_num_threads(arguments.threads)
    (_all if arguments.step == "all" else STEPS[arguments.step])(arguments)


if __name__ == "__main__":
    main()
