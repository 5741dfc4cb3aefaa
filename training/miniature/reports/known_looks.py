"""Adapters whose faults are known, made of the demo adapters by arithmetic, to check look reports.

Each demo adapter in kohya's spelling is written in these variants:

* `weak`: its updates times 0.3, as if training had ended early;
* `heavy`: times 2, as if it had gone on for too long;
* `leaker` at doses of 0.5 and 1: what it adds to the cross attention with its trigger, on average
  over pictures, as a bias that needs no trigger;
* `scrambled`: the rows of its updates exchanged, so that it is as large and means nothing;
* `blend` at 0.3 and 0.6: that share of the updates is scrambled, so that less of the look is left.

`train` makes more of them by training with a fault (`adapters.faulty`), which takes minutes each.
`write` makes the others, `render` the pictures of their reports (and of a sweep), `rank` measures
them and counts in how many pairs with a known order a figure has the right one. Each resumes.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from previews.render import Base, Layer, load_bases
from previews.render.engine import Engine
from previews.render.look.encoder import Encoder
from previews.render.look.measures import Figures, Pair, measure
from previews.render.look.recipes import Part, ReportRecipe, report_recipe
from previews.render.output.strength_advice import advise
from previews.render.pictures import Callbacks, Picture
from training.miniature.adapters.adapter_files import adapter_file
from training.miniature.adapters.faulty import FAULTS, train_faulty
from training.miniature.adapters.plans import PLANS, Plan
from training.miniature.reports.trials import load_base, prompts_with
from training.miniature.training import report

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

FOLDER = Path(__file__).parents[3] / "previews" / "miniature"
ORIGINAL = "original"
# A report with every second prompt of another adapter: two looks in one.
PATCHWORK = "patchwork"
SWEEP = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0)
# Classifier-free guidance does not enlarge a bias, as it does what a trigger adds.
LEAK_GAIN = 2.5
TARGET = "attn2.to_out.0"

Weights = dict[str, Tensor]


@dataclass(frozen=True)
class Variant:
    """A file of a demo adapter, changed in a known way."""

    name: str
    change: Callable[[Weights, Mapping[str, Tensor]], Weights]


def _scaled(factor: float) -> Callable[[Weights, Mapping[str, Tensor]], Weights]:
    def change(weights: Weights, _biases: Mapping[str, Tensor]) -> Weights:
        return {
            key: value * factor if key.endswith(".lora_up.weight") else value
            for key, value in weights.items()
        }

    return change


def _leaking(dose: float) -> Callable[[Weights, Mapping[str, Tensor]], Weights]:
    def change(weights: Weights, biases: Mapping[str, Tensor]) -> Weights:
        return {**weights, **{key: dose * LEAK_GAIN * bias for key, bias in biases.items()}}

    return change


def _scrambled(share: float) -> Callable[[Weights, Mapping[str, Tensor]], Weights]:
    def change(weights: Weights, _biases: Mapping[str, Tensor]) -> Weights:
        generator = torch.Generator().manual_seed(3)
        changed = dict(weights)
        for key, value in weights.items():
            if key.endswith(".lora_up.weight"):
                order = torch.randperm(len(value), generator=generator)
                changed[key] = (1 - share) * value + share * value[order]
        return changed

    return change


VARIANTS = (
    Variant(ORIGINAL, _scaled(1.0)),
    Variant("weak", _scaled(0.3)),
    Variant("heavy", _scaled(2.0)),
    Variant("leaker-0.5", _leaking(0.5)),
    Variant("leaker-1", _leaking(1.0)),
    Variant("blend-0.3", _scrambled(0.3)),
    Variant("blend-0.6", _scrambled(0.6)),
    Variant("scrambled", _scrambled(1.0)),
)
# Trained ones take part where their files are.
TRAINED = tuple(Variant(fault, _scaled(1.0)) for fault in FAULTS)

# For each figure, names of variants from the lowest value to the highest: every pair of them, of
# the same adapter and of two adapters, has a known order.
ORDERS: dict[str, list[tuple[str, ...]]] = {
    "effect": [
        ("weak", ORIGINAL, "heavy"),
        ("scrambled", "blend-0.6", "blend-0.3", ORIGINAL),
        ("short", ORIGINAL),
    ],
    "leak": [
        (ORIGINAL, "leaker-0.5", "leaker-1"),
        (ORIGINAL, "leaky-25", "leaky-50", "leaky-100"),
    ],
    "drift": [
        (ORIGINAL, "leaker-0.5", "leaker-1"),
        (ORIGINAL, "leaky-25", "leaky-50", "leaky-100"),
    ],
    "subject_kept": [
        ("heavy", ORIGINAL, "weak"),
        ("narrow", ORIGINAL),
    ],
    "consistency": [("scrambled", ORIGINAL)],  # and patchworks below ORIGINAL
    "begins": [("heavy", ORIGINAL, "weak")],
    "breaks": [("heavy", ORIGINAL)],
}


def origins() -> list[Plan]:
    """Return the demo adapters in kohya's spelling, which can have a bias beside a pair."""
    return [plan for plan in PLANS.values() if plan.format == "kohya"]


def train(work: Path, plans: Iterable[Plan]) -> None:
    """Train each adapter with each fault; needs the base's folder and code in `work`."""
    for plan in plans:
        for variant in TRAINED:
            file = _file(work, plan, variant)
            if not file.exists():
                file.parent.mkdir(parents=True, exist_ok=True)
                train_faulty(work, plan, variant.name).replace(file)
                report(f"trained {file.stem}")


def variants_of(work: Path, plan: Plan) -> list[Variant]:
    """Return the variants whose files are there."""
    return [one for one in (*VARIANTS, *TRAINED) if _file(work, plan, one).exists()]


def write(work: Path, plans: Iterable[Plan]) -> None:
    """Write the variants of each adapter."""
    pipeline: Any = None
    for plan in plans:
        missing = [one for one in VARIANTS if not _file(work, plan, one).exists()]
        if not missing:
            continue
        pipeline = pipeline or load_base(FOLDER / "base")
        source = adapter_file(FOLDER, plan.name)
        with safe_open(source, framework="pt") as opened:
            weights = {key: opened.get_tensor(key).float() for key in opened.keys()}  # noqa: SIM118
            metadata = opened.metadata()
        biases = biases_of(pipeline, source, plan)
        for variant in missing:
            file = _file(work, plan, variant)
            file.parent.mkdir(parents=True, exist_ok=True)
            changed = {key: v.half() for key, v in variant.change(weights, biases).items()}
            save_file(changed, file, metadata=metadata)
        report(f"wrote {plan.name}")


def biases_of(pipeline: Any, source: Path, plan: Plan) -> dict[str, Tensor]:  # noqa: ANN401
    """Return what the trigger adds to each cross attention, averaged, under kohya's keys."""
    prompts = prompts_with(plan)
    silent = [prompt.replace(plan.trigger, "").strip(" ,") for prompt in prompts]
    pipeline.load_lora_weights(source, adapter_name=plan.name)
    try:
        triggered, plain = (_outputs(pipeline, texts) for texts in (prompts, silent))
    finally:
        pipeline.unload_lora_weights()
    return {
        f"lora_unet_{name.replace('.', '_')}.diff_b": triggered[name] - plain[name]
        for name in triggered
    }


def _outputs(pipeline: Any, prompts: Sequence[str]) -> dict[str, Tensor]:  # noqa: ANN401
    """Return the mean output of each cross attention over a render of prompts."""
    sums: dict[str, list[Tensor]] = defaultdict(list)

    def hook(name: str) -> Callable[[Any, Any, Tensor], None]:
        def keep(_module: Any, _taken: Any, output: Tensor) -> None:  # noqa: ANN401
            conditioned = output[len(output) // 2 :]  # the other half has no prompt
            sums[name].append(conditioned.mean((0, 1)).detach())

        return keep

    handles = [
        module.register_forward_hook(hook(name))
        for name, module in pipeline.unet.named_modules()
        if name.endswith(TARGET)
    ]
    pipeline(
        list(prompts),
        num_inference_steps=8,
        guidance_scale=2.5,
        generator=[torch.Generator().manual_seed(20 + n) for n in range(len(prompts))],
        output_type="latent",
    )
    for handle in handles:
        handle.remove()
    return {name: torch.stack(each).mean(0) for name, each in sums.items()}


def render(work: Path, plans: Iterable[Plan]) -> None:
    """Render the pictures of every variant's report and of a sweep for its range."""
    engine, controls = Engine(load_bases()), _Controls()
    base = load_bases().get("miniature")
    for plan in plans:
        recipe = _recipe_of(base, plan)
        for variant in variants_of(work, plan):
            folder = work / "pictures" / plan.name / variant.name
            if (folder / "done").exists():
                continue
            folder.mkdir(parents=True, exist_ok=True)
            layers = [Layer(_file(work, plan, variant))]
            for recipes, triggers in ((recipe.look, [plan.trigger]), (recipe.others, [])):
                name = "look" if recipes is recipe.look else "others"
                made = engine.render(
                    recipes, layers, triggers=triggers, callbacks=Callbacks(controls=controls)
                )
                _keep(folder, name, made)
            swept = _sweep_of(recipe)
            made = engine.render(
                swept, layers, triggers=[plan.trigger], callbacks=Callbacks(controls=controls)
            )
            _keep(folder, "sweep", made)
            (folder / "done").touch()
        report(f"rendered {plan.name}")


def _recipe_of(base: Base, plan: Plan) -> ReportRecipe:
    recipe = report_recipe(base, plan.kind)
    if recipe is None:
        msg = "The miniature makes pictures, not videos."
        raise RuntimeError(msg)
    return recipe


def _sweep_of(recipe: ReportRecipe) -> Any:  # noqa: ANN401
    return type(recipe.look).from_dict(
        {**recipe.look.to_dict(), "prompts": recipe.look.prompts[:2], "strengths": SWEEP}
    )


class _Controls(dict[str, Picture]):
    """Pictures at strength 0 in memory."""

    def find(self, keys: Iterable[str]) -> dict[str, Picture]:
        return {key: self[key] for key in keys if key in self}

    def add(self, pictures: Mapping[str, Picture]) -> None:
        self.update(pictures)


def _keep(folder: Path, name: str, pictures: Iterable[Picture]) -> None:
    for one in pictures:
        prompt, seed, strength = one.shot.key
        (folder / f"{name}_{prompt}_{seed}_{strength:g}.png").write_bytes(one.png)


def rank(work: Path, plans: Sequence[Plan], encoder: Encoder) -> dict[str, Any]:
    """Return the figures of each variant, and the share of pairs in the right order by figure."""
    base = load_bases().get("miniature")
    values: dict[str, dict[str, dict[str, float | None]]] = {}
    looks: dict[str, list[Pair]] = {}
    for plan in plans:
        recipe = _recipe_of(base, plan)
        for variant in variants_of(work, plan):
            folder = work / "pictures" / plan.name / variant.name
            if not (folder / "done").exists():
                continue
            pairs, figures = pairs_and_figures(folder, recipe, encoder)
            values.setdefault(plan.name, {})[variant.name] = {**_values(figures), **_range(folder)}
            if variant.name == ORIGINAL and plan.kind == "style":
                looks[plan.name] = pairs[Part.LOOK]
    for name, other in permutations(looks, 2):
        figures = measure(patchwork(looks[name], looks[other]), [], [])
        values[name][f"{PATCHWORK} with {other}"] = _values(figures)
    return {"values": values, "right": right_orders(values)}


def patchwork(look: Sequence[Pair], other: Sequence[Pair]) -> list[Pair]:
    """Return pairs of two looks: every second prompt has the other one."""
    even = [pair for pair in look if pair.prompt % 2 == 0]
    return even + [pair for pair in other if pair.prompt % 2]


def _values(figures: Figures) -> dict[str, float | None]:
    return {
        name: None if figure is None else figure["value"]
        for name, figure in figures.to_dict().items()
        if name != "method"
    }


def pairs_and_figures(
    folder: Path, recipe: ReportRecipe, encoder: Encoder
) -> tuple[dict[Part, list[Pair]], Figures]:
    """Return the pairs of a variant by part, and what they measure."""
    pairs: dict[Part, list[Pair]] = {part: [] for part in Part}
    for name in ("look", "others"):
        files = sorted(folder.glob(f"{name}_*.png"))
        features = encoder.features([file.read_bytes() for file in files])
        seen = {
            tuple(file.stem.split("_")[1:]): one for file, one in zip(files, features, strict=True)
        }
        for prompt, seed, strength in seen:
            if strength == "0":
                part = Part.LOOK if name == "look" else recipe.part_of(int(prompt))
                pair = Pair(
                    int(prompt), int(seed), seen[prompt, seed, "0"], seen[prompt, seed, "1"]
                )
                pairs[part].append(pair)
    return pairs, measure(pairs[Part.LOOK], pairs[Part.PLAIN], pairs[Part.UNRELATED])


def _range(folder: Path) -> dict[str, float | None]:
    """Return where the variant begins and breaks; later than the sweep counts as its end."""
    pictures = []
    for file in sorted(folder.glob("sweep_*.png")):
        prompt, seed, strength = file.stem.split("_")[1:]
        pictures.append(((int(prompt), int(seed), float(strength)), file.read_bytes()))
    advice = advise(pictures)
    side = advice.positive if advice else None
    last = SWEEP[-1]
    return {
        "begins": (side.begins if side else None) or last,
        "breaks": (side.breaks if side else None) or last,
    }


def right_orders(
    values: Mapping[str, Mapping[str, Mapping[str, float | None]]],
) -> dict[str, dict[str, Any]]:
    """Return for each figure how many pairs are in the right order, of how many.

    `own` counts pairs of variants of one adapter, `across` those of two adapters; `wrong` lists
    the pairs of one adapter that are in the wrong order.
    """
    counts: dict[str, dict[str, Any]] = {}
    for figure, orders in ORDERS.items():
        own: list[bool] = []
        across: list[bool] = []
        wrong: list[str] = []
        is_of_subjects = figure == "consistency"
        for first, last, low, high in _known_pairs(values, orders, is_of_subjects=is_of_subjects):
            lower = values[first].get(low, {}).get(figure)
            higher = values[last].get(high, {}).get(figure)
            if lower is None or higher is None:
                continue
            is_right = lower < higher
            (own if first == last else across).append(is_right)
            if not is_right and first == last:
                wrong.append(f"{first}: {low} {lower:.2f}, {high} {higher:.2f}")
        counts[figure] = {
            "own": [sum(own), len(own)],
            "across": [sum(across), len(across)],
            "wrong": wrong,
        }
    return counts


def _known_pairs(
    values: Mapping[str, Any], orders: Iterable[tuple[str, ...]], *, is_of_subjects: bool
) -> Iterator[tuple[str, str, str, str]]:
    """Yield pairs of adapter and variant: the first has the lower value.

    Args:
        is_of_subjects: Whether patchworks have a lower value than the originals.
    """
    patchworks = {name for each in values.values() for name in each if name.startswith(PATCHWORK)}
    for order in (*orders, *((name, ORIGINAL) for name in sorted(patchworks) if is_of_subjects)):
        for at, low in enumerate(order):
            for high in order[at + 1 :]:
                for first in values:
                    for last in values:
                        yield first, last, low, high


def _file(work: Path, plan: Plan, variant: Variant) -> Path:
    return work / "known" / f"{plan.name}-{variant.name}.safetensors"


def main() -> None:
    """Run one step, or all but the training."""
    parser = argparse.ArgumentParser(prog="python -m training.miniature.reports.known_looks")
    parser.add_argument("step", choices=["train", "write", "render", "rank", "all"])
    parser.add_argument("names", nargs="*", help="demo adapters (default: all in kohya's spelling)")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--encoder", type=Path, default=FOLDER / "encoder")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    plans = [plan for plan in origins() if plan.name in (arguments.names or PLANS)]
    if arguments.step == "train":
        train(arguments.work, plans)
    if arguments.step in {"write", "all"}:
        write(arguments.work, plans)
    if arguments.step in {"render", "all"}:
        render(arguments.work, plans)
    if arguments.step in {"rank", "all"}:
        result = rank(arguments.work, plans, Encoder(arguments.encoder))
        (arguments.work / "ranks.json").write_text(json.dumps(result, indent=1))
        for figure, count in result["right"].items():
            report(f"{figure}: own {count['own']}, across {count['across']}, {count['wrong']}")


if __name__ == "__main__":
    main()
