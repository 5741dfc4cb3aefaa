"""The recipe: pictures, captions, words and training runs, without the shipped weights."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("diffusers")
pytest.importorskip("peft")

import previews.miniature  # noqa: E402
from training.miniature.__main__ import STEPS, main  # noqa: E402
from training.miniature.adapters.plans import (  # noqa: E402
    ALL_PLANS,
    PLANNED,
    PLANNED_INDEX,
    PLANS,
    trigger_words,
)
from training.miniature.adapters.trainer import AdapterTrainer  # noqa: E402
from training.miniature.adapters.training_sets import Sets  # noqa: E402
from training.miniature.adapters.training_sets import Sizes as AdapterSizes  # noqa: E402
from training.miniature.base.decoder import (  # noqa: E402
    DecoderOptions,
    DecoderTrainer,
    Stage,
    places,
)
from training.miniature.base.trainer import BaseOptions, BaseTrainer  # noqa: E402
from training.miniature.base.unused_words import with_unused_words  # noqa: E402
from training.miniature.drawing.captions import (  # noqa: E402
    caption,
    caption_words,
    training_caption,
)
from training.miniature.drawing.looks import LOOKS  # noqa: E402
from training.miniature.drawing.pictures import CHARACTERS, SUBJECTS, draw  # noqa: E402
from training.miniature.latents import FILE as CODE_FILE  # noqa: E402
from training.miniature.latents import LatentCode  # noqa: E402
from training.miniature.networks import FULL, TINY, Size  # noqa: E402
from training.miniature.prepare import Sizes, prepare, stack, start_from  # noqa: E402
from training.miniature.reports.base_figures import (  # noqa: E402
    BaseFigures,
    Trials,
    sharpness,
)
from training.miniature.reports.trials import load_base  # noqa: E402
from training.miniature.rolling import RollingSet  # noqa: E402
from training.miniature.stock import (  # noqa: E402
    AutoencoderKL,
    CLIPTokenizer,
    UNet2DConditionModel,
)
from training.miniature.tiny import write_tiny_base  # noqa: E402
from training.miniature.training import learning_rate  # noqa: E402

Copier = Callable[[str], Path]

TOY = Sizes(plain=38, styled=1, character=4, unnamed=4, captions=200)
SHIPPED = Path(previews.miniature.__file__).parent / "base"
GROWING = replace(TINY, decoder=(8,) * 6)
FEW = AdapterSizes(triggered=8, plain=19)


@pytest.fixture(scope="module")
def toy_work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    work = tmp_path_factory.mktemp("recipe")
    prepare(work, TOY)
    return work


@pytest.fixture
def toy_copy(toy_work: Path, tmp_path: Path) -> Copier:
    """A work folder of its own, so that checkpoints do not meet."""

    def copy(name: str) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        for item in toy_work.iterdir():
            (folder / item.name).symlink_to(item)
        return folder

    return copy


def test_a_seed_always_draws_the_same_picture() -> None:
    first, second = draw(41), draw(41)
    assert first.facts == second.facts
    assert first.image.tobytes() == second.image.tobytes()


def test_other_seeds_draw_other_pictures() -> None:
    assert draw(41).image.tobytes() != draw(41 + len(SUBJECTS)).image.tobytes()


@pytest.mark.parametrize("subject", [*SUBJECTS, *CHARACTERS])
def test_every_subject_is_drawn_and_told(subject: str) -> None:
    drawing = draw(5, subject)
    assert drawing.image.size == (128, 128)
    reduced = np.asarray(draw(5, subject, 256).image.reduce(2)).astype(int)
    assert np.abs(reduced - np.asarray(drawing.image)).max() <= 1
    assert drawing.facts.subject == subject
    assert caption(drawing.facts, Random(0), keep=1.0)


@pytest.mark.parametrize("size", [128, 256])
@pytest.mark.parametrize("look", LOOKS)
def test_every_look_changes_the_picture_and_keeps_its_size(look: str, size: int) -> None:
    plain = draw(7, size=size).image
    styled = LOOKS[look](plain)
    assert styled.size == plain.size
    change = np.abs(np.asarray(styled).astype(int) - np.asarray(plain).astype(int)).mean()
    assert change > 8


def test_base_captions_never_contain_a_trigger_word() -> None:
    chance = Random(1)
    words = set()
    for seed in range(1500):
        words |= set(training_caption(draw(seed).facts, chance).replace(",", " ").split())
    assert not words & trigger_words()


def test_captions_say_the_side_a_creature_faces() -> None:
    facts = draw(3, "bird").facts
    assert facts.facing is not None
    assert facts.facing in caption(facts, Random(0), keep=1.0)


def test_the_tokenizer_keeps_triggers_whole(toy_work: Path) -> None:
    tokenizer = CLIPTokenizer.from_pretrained(toy_work / "tokenizer")
    for word in trigger_words():
        assert tokenizer.tokenize(word) == [f"{word}</w>"]


def test_the_latent_code_returns_nearly_the_picture(toy_work: Path) -> None:
    code = LatentCode.load(toy_work / CODE_FILE)
    pictures = stack(draw(seed).image for seed in range(len(SUBJECTS)))
    latents = code.encode(pictures)
    assert latents.shape == (len(SUBJECTS), 32, 8, 8)
    error = (code.decode(latents) - (pictures.float() / 127.5 - 1)).abs().mean()
    assert error < 0.15


def test_a_style_learns_from_the_drawings_of_its_plain_twins(toy_work: Path) -> None:
    code = LatentCode.load(toy_work / CODE_FILE)
    neon, mosaic = (Sets.draw(PLANS[name], code, FEW) for name in ("neon", "mosaic"))
    assert neon.unstyled is not None
    assert mosaic.unstyled is not None
    assert neon.facts == mosaic.facts
    assert torch.equal(neon.unstyled, mosaic.unstyled)
    assert not torch.equal(neon.triggered, mosaic.triggered)


def test_a_character_has_no_plain_twins(toy_work: Path) -> None:
    sets = Sets.draw(PLANS["zorbi"], LatentCode.load(toy_work / CODE_FILE), FEW)
    assert sets.unstyled is None
    assert {facts.subject for facts in sets.facts} == {"zorbi"}


def test_every_planned_look_is_drawn_and_every_drawn_look_is_planned() -> None:
    looks = {name for name, plan in ALL_PLANS.items() if plan.kind != "character"}
    assert looks == set(LOOKS)
    assert set(ALL_PLANS) - looks == set(CHARACTERS)


@pytest.mark.parametrize("name", PLANNED)
def test_planned_adapters_say_all_that_the_index_will(name: str) -> None:
    entry = tomllib.loads(PLANNED_INDEX.read_text())["adapters"][name]
    (trigger,) = entry["trigger_words"]
    assert entry["summary"]
    assert entry["tags"]
    assert len(entry["prompts"]) == 2
    assert all(trigger in prompt for prompt in entry["prompts"])
    low, high = entry["range"]
    assert 0 < low <= entry["strength"] <= high


def test_triggers_are_distinct_words() -> None:
    words = [word for plan in ALL_PLANS.values() for word in plan.trigger.split()]
    assert len(words) == len(set(words))


def test_the_shipped_base_fits_the_recipe_and_takes_planned_prompts() -> None:
    unet, vae = (json.loads((SHIPPED / p / "config.json").read_text()) for p in ("unet", "vae"))
    assert unet["sample_size"] * 2 ** (len(vae["block_out_channels"]) - 1) == 256
    assert tuple(vae["block_out_channels"]) == FULL.decoder
    tokenizer = CLIPTokenizer.from_pretrained(SHIPPED / "tokenizer")
    planned = tomllib.loads(PLANNED_INDEX.read_text())["adapters"].values()
    prompts = [prompt for entry in planned for prompt in entry["prompts"]]
    assert max(len(tokenizer(prompt).input_ids) for prompt in prompts) <= 40


def test_no_two_looks_are_alike() -> None:
    """Equal pictures could not be told apart by name."""
    plain = draw(7, size=256).image
    shown = {name: np.asarray(look(plain)).astype(int) for name, look in LOOKS.items()}
    for first, second in combinations(shown, 2):
        assert np.abs(shown[first] - shown[second]).mean() > 8, (first, second)


def test_unused_words_stand_beside_the_caption_and_never_name_a_character() -> None:
    chance = Random(2)
    told = [with_unused_words("a red fox", chance) for _ in range(2000)]
    changed = [text for text in told if text != "a red fox"]
    assert 0.3 < len(changed) / len(told) < 0.4
    assert all("a red fox" in text for text in changed)
    words = set(" ".join(changed).replace(",", " ").split())
    assert not words & (caption_words() - {"a", "red", "fox", "of"})
    assert {"neon", "snowflakes"} <= words
    assert "zorbi" not in words


def test_a_rolling_set_holds_the_newest_whatever_came_before() -> None:
    made: list[int] = []

    def make(numbers: range) -> list[int]:
        made.extend(numbers)
        return list(numbers)

    steady, late = RollingSet(5, 2, make), RollingSet(5, 2, make)
    for step in range(4):
        steady.advance(step)
    assert made == list(range(11))
    late.advance(3)
    assert [steady[place] for place in range(5)] == [late[place] for place in range(5)]
    assert {steady[place] for place in range(5)} == set(range(6, 11))


def test_heads_are_told_where_in_its_cell_a_pixel_lies() -> None:
    told = places(32)
    torch.testing.assert_close(told[..., :4, :4], told[..., 4:8, 8:12])
    cell = told[0, :, :4, :4].reshape(told.shape[1], -1).T
    assert len({tuple(place.tolist()) for place in cell.round(decimals=3)}) == 16


def test_a_run_starts_from_an_exported_base(toy_work: Path, tmp_path: Path) -> None:
    base = write_tiny_base(tmp_path / "made" / "base")
    (base.parent / CODE_FILE).write_bytes((toy_work / CODE_FILE).read_bytes())
    start_from(base, tmp_path / "work")
    options = BaseOptions(batch=2, held=2, fresh=0)
    trainer = BaseTrainer(tmp_path / "work", options, TINY)
    known = UNet2DConditionModel.from_pretrained(base / "unet")
    assert same_weights(trainer.unet, known)
    trainer.step(0)
    assert not same_weights(trainer.unet, known)


@pytest.mark.parametrize(("size", "goes_on"), [(TINY, True), (GROWING, False)])
def test_a_decoder_starts_from_one_of_as_many_levels(
    toy_copy: Copier, tmp_path: Path, size: Size, *, goes_on: bool
) -> None:
    work = toy_copy("work")
    (work / "start").symlink_to(write_tiny_base(tmp_path / "base"))
    trainer = DecoderTrainer(work, DecoderOptions(held=2, fresh=0), size)
    known = AutoencoderKL.from_pretrained(tmp_path / "base" / "vae")
    assert (len(trainer.vae.config.block_out_channels) == 5) is goes_on
    assert (trainer.stages == ()) is goes_on
    if goes_on:
        assert same_weights(trainer.vae, known)


def test_the_figures_of_a_base_tell_noise_from_pictures(toy_work: Path, tmp_path: Path) -> None:
    pipeline = load_base(write_tiny_base(tmp_path / "base"))
    trials = Trials(plain=2, styled=1, seeds=1, triggers=("neon glow",))
    figures = BaseFigures.of(pipeline, LatentCode.load(toy_work / CODE_FILE), trials)
    assert set(figures.decoder_db) == {"plain", *LOOKS, *CHARACTERS}
    assert figures.decoder_db["plain"] < 15
    assert figures.disturbance["neon glow"] > 0
    assert 3 < figures.drawn_sharpness < 12
    assert "neon glow" in figures.table()


def test_sharpness_is_the_mean_step_between_neighbours() -> None:
    steps = np.zeros((1, 8, 8, 3), np.float32)
    steps[:, :, 1::2] = 0.5
    assert sharpness(steps) == pytest.approx(255 * 0.5 / 2)


def test_the_learning_rate_warms_up_stays_and_falls() -> None:
    rates = [learning_rate(s, 100, peak=1.0, warmup=10, flat=0.5) for s in (0, 30, 49, 75, 99)]
    assert rates[0] < 0.2
    assert rates[1] == rates[2] > rates[3] > rates[4]


def same_weights(first: Any, second: Any) -> bool:
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    return all(torch.equal(one, other) for one, other in pairs)


def base_trainer(work: Path, steps: int) -> BaseTrainer:
    options = BaseOptions(steps=4, batch=4, save_every=2, held=12, fresh=2)
    trainer = BaseTrainer(work, options, TINY)
    trainer.run.resume()
    trainer.run.advance(steps, trainer.step, label="base", save_every=2)
    return trainer


def test_a_resumed_base_run_ends_like_an_uninterrupted_one(toy_copy: Copier) -> None:
    whole = base_trainer(toy_copy("whole"), 4)
    interrupted = toy_copy("interrupted")
    base_trainer(interrupted, 2)
    resumed = base_trainer(interrupted, 4)
    assert resumed.run.step == 4
    assert same_weights(whole.unet, resumed.unet)
    assert same_weights(whole.text_encoder, resumed.text_encoder)
    for one, other in zip(whole.run.average.shadow, resumed.run.average.shadow, strict=True):
        assert torch.equal(one, other)


def test_the_decoder_grows_from_its_lower_blocks_to_the_whole(toy_copy: Copier) -> None:
    options = DecoderOptions(
        steps=3, stages=(Stage(1, 2, 4), Stage(2, 3, 4)), batch=2, save_every=3, held=4, fresh=1
    )
    trainer = DecoderTrainer(toy_copy("decoder"), options, GROWING)
    before = trainer.vae.decoder.conv_out.weight.clone()
    trainer.step(0)
    assert torch.equal(before, trainer.vae.decoder.conv_out.weight)
    trainer.train()
    assert not torch.equal(before, trainer.vae.decoder.conv_out.weight)
    assert (trainer.work / "vae" / "diffusion_pytorch_model.safetensors").is_file()


@pytest.mark.parametrize("name", ["zorbi", "golden-hour"])
def test_an_adapter_run_changes_only_the_adapter(toy_copy: Copier, name: str) -> None:
    work = toy_copy(name)
    write_tiny_base(work / "base")
    trainer = AdapterTrainer(work, PLANS[name], steps=2, sizes=FEW)
    frozen = {key: value.clone() for key, value in trainer.adapted.unet.state_dict().items()}
    assert trainer.train().is_file()
    assert not trainer.run.path.exists()
    changed = {
        key
        for key, value in trainer.adapted.unet.state_dict().items()
        if not torch.equal(value, frozen[key])
    }
    assert changed
    assert all("lora_" in key for key in changed)


def test_a_step_whose_work_is_there_is_not_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[str] = []

    def noted(name: str) -> Callable[[Any], None]:
        return lambda _arguments: ran.append(name)

    for name in list(STEPS):
        monkeypatch.setitem(STEPS, name, noted(name))
    (tmp_path / CODE_FILE).touch()
    monkeypatch.setattr("sys.argv", ["recipe", "all", "--work", str(tmp_path)])
    main()
    assert ran == [
        *("base", "decoder", "refine", "export", "measure"),
        *("adapters", "tune", "encoder", "grids", "figures"),
    ]
