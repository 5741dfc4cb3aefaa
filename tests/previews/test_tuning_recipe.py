"""Adapters that are tuned through the sampler, on a base with random weights."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("diffusers")
pytest.importorskip("peft")

from safetensors import safe_open  # noqa: E402
from safetensors.torch import load, save_file  # noqa: E402

from training.miniature import sampling  # noqa: E402
from training.miniature.__main__ import main  # noqa: E402
from training.miniature.adapters.adapter_files import (  # noqa: E402
    adapter_file,
    read_into,
    steps_of,
    write,
)
from training.miniature.adapters.lora import inject, randomize  # noqa: E402
from training.miniature.adapters.plans import GUIDANCE, PLANS  # noqa: E402
from training.miniature.adapters.tuner import Tuner, TunerOptions  # noqa: E402
from training.miniature.drawing.pictures import SUBJECTS, draw  # noqa: E402
from training.miniature.latents import FILE as CODE_FILE  # noqa: E402
from training.miniature.latents import fit_code  # noqa: E402
from training.miniature.networks import token_ids  # noqa: E402
from training.miniature.prepare import stack  # noqa: E402
from training.miniature.reports.trials import load_base  # noqa: E402
from training.miniature.tiny import write_tiny_base  # noqa: E402

Worker = Callable[..., Path]
KOHYA, DIFFUSERS = "vintage", "fire"
FEW = TunerOptions(steps=2, pictures=6)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    work = tmp_path_factory.mktemp("tuned")
    write_tiny_base(work / "base")
    fit_code(stack(draw(seed).image for seed in range(len(SUBJECTS)))).save(work / CODE_FILE)
    return work


@pytest.fixture
def work_with(base: Path, tmp_path: Path) -> Worker:
    """A work folder with random weights for adapters."""

    def work(*names: str) -> Path:
        for item in base.iterdir():
            if not (tmp_path / item.name).exists():
                (tmp_path / item.name).symlink_to(item)
        for name in names:
            pipeline = load_base(base / "base")
            torch.manual_seed(3)
            adapted = inject(pipeline.unet, pipeline.text_encoder, PLANS[name].rank)
            randomize(adapted, 0.02)
            write(adapter_file(tmp_path, name), adapted, PLANS[name], steps=700)
        return tmp_path

    return work


def load_file(path: Path) -> dict[str, Any]:
    """Return tensors in memory: those of ``safetensors.torch.load_file`` change with the file."""
    return load(path.read_bytes())


def test_the_sampler_makes_the_latents_of_the_stock_pipeline(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampling, "mixed_precision", nullcontext)
    pipeline = load_base(base / "base")
    captions = ["a cat", "a red house in a meadow"]
    noise = torch.randn(2, 32, 8, 8, generator=torch.Generator().manual_seed(5))
    stock = pipeline(
        captions,
        num_inference_steps=8,
        guidance_scale=GUIDANCE,
        latents=noise,
        output_type="latent",
    ).images
    sampler = sampling.Sampler.of(pipeline.unet, pipeline.text_encoder, pipeline.tokenizer)
    with torch.no_grad():
        own = sampler.sample(noise, token_ids(pipeline.tokenizer, captions))
    assert stock.abs().mean() > 0.1
    assert torch.allclose(own, stock, atol=1e-4)


@pytest.mark.parametrize("name", [KOHYA, DIFFUSERS])
def test_tuning_changes_only_the_adapter_and_says_so(work_with: Worker, name: str) -> None:
    work = work_with(name)
    path = adapter_file(work, name)
    before = load_file(path)
    tuner = Tuner(work, PLANS[name], FEW)
    frozen = {
        key: value.clone()
        for key, value in tuner.adapted.unet.state_dict().items()
        if "lora_" not in key
    }
    assert steps_of(path) == (700, 0)
    tuner.train()
    after = load_file(path)
    assert {key: value.shape for key, value in before.items()} == {
        key: value.shape for key, value in after.items()
    }
    changed = {key for key in after if not torch.equal(before[key], after[key])}
    assert changed == {key for key in after if not key.endswith(".alpha")}
    left = tuner.adapted.unet.state_dict()
    assert all(torch.equal(left[key], value) for key, value in frozen.items())
    assert steps_of(path) == (700, FEW.steps)
    Tuner(work, PLANS[name], FEW).train()
    assert steps_of(path) == (700, 2 * FEW.steps)


def test_layers_that_a_file_lacks_start_without_effect(work_with: Worker) -> None:
    work = work_with(DIFFUSERS)
    path = adapter_file(work, DIFFUSERS)
    old = {key: value for key, value in load_file(path).items() if ".conv_" not in key}
    with safe_open(path, "pt") as opened:
        save_file(old, path, metadata=opened.metadata())
    adapted = Tuner(work, PLANS[DIFFUSERS], FEW).adapted
    for (_component, module), (_down, up) in adapted.matrices().items():
        assert bool(up.any()) != module.startswith("conv_"), module


def test_a_file_is_read_as_it_was_written(work_with: Worker, tmp_path: Path) -> None:
    work = work_with(KOHYA, DIFFUSERS)
    for name in (KOHYA, DIFFUSERS):
        pipeline = load_base(work / "base")
        adapted = inject(pipeline.unet, pipeline.text_encoder, PLANS[name].rank)
        read_into(adapted, PLANS[name], adapter_file(work, name))
        again = tmp_path / "again.safetensors"
        write(again, adapted, PLANS[name], steps=700)
        first, second = load_file(adapter_file(work, name)), load_file(again)
        gain = PLANS[name].gain
        for key, value in first.items():
            is_up = key.endswith(("lora_up.weight", "lora_B.weight"))
            assert torch.allclose(second[key], value * gain if is_up else value, atol=1e-3), key


def test_tuning_brings_rendered_latents_nearer_to_their_targets(work_with: Worker) -> None:
    options = TunerOptions(steps=8, peak_rate=1e-2, pictures=6)
    tuner = Tuner(work_with(DIFFUSERS), PLANS[DIFFUSERS], options)
    first = tuner.step(0)
    for step in range(1, 7):
        tuner.step(step)
    assert tuner.step(0) < 0.97 * first  # the same captions, noise and strength


def test_a_resumed_run_ends_like_an_uninterrupted_one(work_with: Worker) -> None:
    work = work_with(DIFFUSERS)
    path = adapter_file(work, DIFFUSERS)
    untuned = path.read_bytes()
    plan, options = PLANS[DIFFUSERS], FEW
    Tuner(work, plan, options).train()
    whole = load_file(path)
    path.write_bytes(untuned)
    stopped = Tuner(work, plan, options)
    stopped.run.advance(1, stopped.step, label="stopped")
    Tuner(work, plan, options).train()
    resumed = load_file(path)
    assert all(torch.equal(resumed[key], value) for key, value in whole.items())


def test_a_character_has_no_look_to_be_tuned_towards(work_with: Worker) -> None:
    with pytest.raises(ValueError, match="robot is a character"):
        Tuner(work_with(), PLANS["robot"], FEW)


def test_the_step_leaves_tuned_files_alone(
    work_with: Worker, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    work = work_with(DIFFUSERS)
    Tuner(work, PLANS[DIFFUSERS], FEW).train()
    tuned = adapter_file(work, DIFFUSERS).read_bytes()
    capsys.readouterr()
    monkeypatch.setattr(sys, "argv", ["recipe", "tune", "--work", str(work)])
    main()
    assert adapter_file(work, DIFFUSERS).read_bytes() == tuned
    assert not capsys.readouterr().out
