"""The miniature's encoder and the measures rank looks whose faults are known."""

from __future__ import annotations

import io
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from PIL import Image

import previews.miniature
from previews.render.look.encoder import Encoder
from previews.render.look.measures import Pair, measure
from training.miniature.drawing.looks import LOOKS
from training.miniature.drawing.pictures import draw
from training.miniature.encoder import EncoderTrainer, Options, Sizes
from training.miniature.reports.known_looks import ORIGINAL, VARIANTS, right_orders

if TYPE_CHECKING:
    from collections.abc import Callable

    from previews.render.look.measures import Vector

    Change = Callable[[str, Image.Image], Image.Image]

FOLDER = Path(previews.miniature.__file__).parent / "encoder"
SUBJECTS = ("cat", "house", "lighthouse", "woman", "vase", "mushroom")
OTHERS = ("castle", "dog", "sailboat", "fish", "man", "pine")
SEED = 40_000_000


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    torch.set_num_threads(1)
    return Encoder(FOLDER)


@pytest.fixture(scope="module")
def plain() -> dict[str, Image.Image]:
    return {name: draw(SEED + at, name).image for at, name in enumerate((*SUBJECTS, *OTHERS))}


def features(encoder: Encoder, pictures: list[Image.Image]) -> list[Vector]:
    data = []
    for picture in pictures:
        buffer = io.BytesIO()
        picture.save(buffer, "PNG")
        data.append(buffer.getvalue())
    return encoder.features(data)


def figures(
    encoder: Encoder, plain: dict[str, Image.Image], look: Change, silent: Change
) -> dict[str, float]:
    """Measure changes of drawings: `look` with trigger words, `silent` without them."""

    def pairs(names: tuple[str, ...], change: Change) -> list[Pair]:
        without = features(encoder, [plain[name] for name in names])
        applied = features(encoder, [change(name, plain[name]) for name in names])
        both = zip(without, applied, strict=True)
        return [Pair(at, 7, *two) for at, two in enumerate(both)]

    found = measure(pairs(SUBJECTS, look), pairs(SUBJECTS, silent), pairs(OTHERS, silent))
    return {
        name: figure["value"]
        for name, figure in found.to_dict().items()
        if isinstance(figure, dict)
    }


def unchanged(_name: str, picture: Image.Image) -> Image.Image:
    return picture


def in_look(look: str, share: float, _name: str, picture: Image.Image) -> Image.Image:
    return Image.blend(picture, LOOKS[look](picture), share)


@pytest.mark.parametrize("look", ["watercolor", "neon"])
def test_looks_with_known_faults_are_ranked(
    encoder: Encoder, plain: dict[str, Image.Image], look: str
) -> None:
    names = list(LOOKS)

    def mixed(name: str, picture: Image.Image) -> Image.Image:
        return LOOKS[names[SUBJECTS.index(name)]](picture)

    def lost(_name: str, _picture: Image.Image) -> Image.Image:
        return LOOKS[look](plain["cat"])

    full = partial(in_look, look, 1.0)
    clean = figures(encoder, plain, full, unchanged)
    faint = figures(encoder, plain, partial(in_look, look, 0.3), unchanged)
    leaks = [figures(encoder, plain, full, partial(in_look, look, share)) for share in (0.3, 0.6)]
    assert faint["effect"] < 0.6 * clean["effect"]
    assert 0 == clean["leak"] < 0.1 < leaks[0]["leak"] < leaks[1]["leak"] - 0.1
    assert 0 == clean["drift"] < 0.05 < leaks[0]["drift"] < leaks[1]["drift"] - 0.05
    assert figures(encoder, plain, mixed, unchanged)["consistency"] < clean["consistency"] - 0.2
    kept = figures(encoder, plain, lost, unchanged)["subject_kept"]
    assert kept < 0.1
    assert clean["subject_kept"] > 0.4
    assert faint["subject_kept"] > clean["subject_kept"]


def test_pictures_of_both_sizes_have_nearly_the_same_features(
    encoder: Encoder, plain: dict[str, Image.Image]
) -> None:
    cat = plain["cat"]
    small, large, other = features(encoder, [cat, cat.resize((256, 256)), plain["dog"]])
    assert small @ large > 0.99
    assert small @ other < 0.95


def test_the_encoder_is_small_and_stock() -> None:
    assert sum(file.stat().st_size for file in FOLDER.iterdir()) < 1_600_000
    assert {file.name for file in FOLDER.iterdir()} == {
        "config.json", "model.safetensors", "preprocessor_config.json",
    }  # fmt: skip


def test_the_recipe_trains_resumes_and_exports(tmp_path: Path) -> None:
    sizes = Sizes(drawings=42, styled=21)
    EncoderTrainer(tmp_path, Options(steps=1, batch=10), sizes).train()
    folder = EncoderTrainer(tmp_path, Options(steps=2, batch=10), sizes).train()
    found = features(Encoder(folder), [draw(1).image])
    assert found[0].shape == (160,)


def test_pairs_are_counted_where_their_order_is_known() -> None:
    values: dict[str, dict[str, dict[str, float | None]]] = {
        "a": {ORIGINAL: {"leak": 0.1}, "leaker-0.5": {"leak": 0.4}, "leaker-1": {"leak": 0.3}},
        "b": {ORIGINAL: {"leak": 0.2}, "leaker-0.5": {"leak": None}, "leaker-1": {"leak": 0.9}},
    }
    counts = right_orders(values)["leak"]
    assert counts["own"] == [3, 4]
    assert counts["across"] == [4, 4]
    assert counts["wrong"] == ["a: leaker-0.5 0.40, leaker-1 0.30"]


def test_variants_change_what_they_say() -> None:
    up = torch.arange(6.0).reshape(3, 2)
    weights = {"x.lora_up.weight": up, "x.lora_down.weight": up.T}
    made = {one.name: one.change(weights, {"y.diff_b": torch.ones(2)}) for one in VARIANTS}
    assert torch.equal(made["weak"]["x.lora_up.weight"], 0.3 * up)
    assert torch.equal(made["heavy"]["x.lora_down.weight"], up.T)
    assert torch.equal(made["leaker-1"]["y.diff_b"], 2 * made["leaker-0.5"]["y.diff_b"])
    assert "y.diff_b" not in made[ORIGINAL]
    assert torch.equal(made["scrambled"]["x.lora_up.weight"].sort(0)[0], up)
