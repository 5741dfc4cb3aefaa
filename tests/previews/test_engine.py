"""Pictures equal W + ΔW, whatever the file is written in; wrong files give none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from previews.render import Cancelled, CannotRender, TooSlow, Why
from previews.render.engine import Callbacks, Engine
from tests.previews.updates import (
    ATTENTION,
    CONVS,
    Update,
    layer,
    patch,
    pixels,
    recipe,
    some_updates,
    write_diffusers,
    write_kohya,
    write_mixed,
    write_old_diffusers,
    write_peft,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from previews.render.engine import Picture

#: Largest difference of a channel of 255 between PEFT's sum and the patched weight.
CLOSE = 1


def plain_pictures(pipeline: Any, prompts: Sequence[str], seed: int = 1) -> list[Any]:
    generator = [torch.Generator("cpu").manual_seed(seed) for _ in prompts]
    output = pipeline(
        list(prompts), num_inference_steps=2, guidance_scale=2.5, width=64, height=64,
        generator=generator,
    )  # fmt: skip
    return [np.asarray(image).astype(int) for image in output.images]


def check(engine: Engine, plain: Any, path: Path, updates: Sequence[Update], **config: Any) -> None:
    """Strength 0 is the base, .5 and 1 are the patched base."""
    asked = recipe(strengths=(0.0, 0.5, 1.0))
    taken = engine.render(asked, [layer(path, **config)])
    by_strength = {
        strength: [pixels(item.png) for item in taken if item.shot.strength == strength]
        for strength in asked.strengths
    }
    for strength, before in ((0.0, 0.0), (0.5, 0.0), (1.0, 0.5)):
        patch(plain, updates, strength - before)
        expected = plain_pictures(plain, asked.prompts)
        for mine, other in zip(by_strength[strength], expected, strict=True):
            assert np.abs(mine - other).max() <= CLOSE, strength
    change = np.abs(by_strength[1.0][0] - by_strength[0.0][0]).mean()
    assert change > 4


def test_a_kohya_file_is_the_patched_base(engine: Engine, plain: Any, tmp_path: Path) -> None:
    updates = some_updates(plain)
    check(engine, plain, write_kohya(tmp_path / "k.safetensors", updates), updates)


def test_a_kohya_file_without_alphas_has_scale_one(
    engine: Engine, plain: Any, tmp_path: Path
) -> None:
    updates = some_updates(plain)
    check(engine, plain, write_kohya(tmp_path / "k.st", updates, has_alpha=False), updates)


def test_mixed_ranks_and_alphas_are_each_scaled_by_their_own(
    engine: Engine, plain: Any, tmp_path: Path
) -> None:
    updates = some_updates(plain, ranks=(8, 2, 4), alphas=(2.0, 4.0, 1.0, 16.0))
    check(engine, plain, write_kohya(tmp_path / "k.safetensors", updates), updates)


def test_convolutions_are_loaded(engine: Engine, plain: Any, tmp_path: Path) -> None:
    updates = some_updates(plain, (*ATTENTION, *CONVS), (), ranks=(4, 2), alphas=(1.0, 4.0, 2.0))
    check(engine, plain, write_kohya(tmp_path / "locon.safetensors", updates), updates)


def test_a_tucker_core_is_folded(engine: Engine, plain: Any, tmp_path: Path) -> None:
    [first, *_] = some_updates(plain, ("conv1",), ())
    core = torch.randn(4, 4, 3, 3)
    down = torch.randn(4, first.down.shape[1], 1, 1) * 0.5
    name = "lora_unet_" + first.name.replace(".", "_")
    path = tmp_path / "tucker.safetensors"
    parts = {"lora_down": down, "lora_mid": core, "lora_up": first.up}
    save_file({f"{name}.{part}.weight": value for part, value in parts.items()}, path)
    whole = torch.einsum("abhw,bi->aihw", core, down.flatten(1))
    check(engine, plain, path, [Update("unet", first.name, whole, first.up, 4.0)])


def test_a_diffusers_file_with_alphas_in_its_header(
    engine: Engine, plain: Any, tmp_path: Path
) -> None:
    updates = some_updates(plain, ranks=(4, 8), alphas=(2.0, 4.0, 8.0))
    check(engine, plain, write_diffusers(tmp_path / "d.safetensors", updates), updates)


def test_a_diffusers_file_that_mixes_spellings_loses_nothing(
    engine: Engine, plain: Any, tmp_path: Path
) -> None:
    updates = some_updates(plain, ranks=(4,), alphas=(4.0,))
    check(engine, plain, write_mixed(tmp_path / "m.safetensors", updates), updates)


def test_attention_processors_of_old(engine: Engine, plain: Any, tmp_path: Path) -> None:
    updates = some_updates(plain, ATTENTION, ())
    check(engine, plain, write_old_diffusers(tmp_path / "o.safetensors", updates), updates)


def test_a_peft_file_with_its_config(engine: Engine, plain: Any, tmp_path: Path) -> None:
    updates = some_updates(plain, text=(), alphas=(8.0,), spread=0.04)
    path = write_peft(tmp_path / "p.safetensors", updates)
    check(engine, plain, path, updates, lora_alpha=8, r=4)


def test_rank_stabilised_scaling(engine: Engine, plain: Any, tmp_path: Path) -> None:
    updates = some_updates(plain, text=(), alphas=(8.0,), spread=0.04)  # 4 / sqrt(4) = 8 / 4
    path = write_peft(tmp_path / "p.safetensors", updates)
    check(engine, plain, path, updates, lora_alpha=4, r=4, use_rslora=True)


def test_a_stack_adds_up_with_own_weights(engine: Engine, plain: Any, tmp_path: Path) -> None:
    one, two = some_updates(plain, seed=1), some_updates(plain, ("to_q", "ff.net.2"), (), seed=2)
    stack = [
        layer(write_kohya(tmp_path / "1.safetensors", one), 0.7),
        layer(write_diffusers(tmp_path / "2.safetensors", two), -0.5),
    ]
    taken = engine.render(recipe(strengths=(1.0,)), stack)
    patch(plain, one, 0.7)
    patch(plain, two, -0.5)
    expected = plain_pictures(plain, recipe().prompts)
    for picture, other in zip(taken, expected, strict=True):
        assert np.abs(pixels(picture.png) - other).max() <= CLOSE


def test_strength_zero_is_the_base_byte_for_byte(
    engine: Engine, plain: Any, tmp_path: Path
) -> None:
    path = write_kohya(tmp_path / "k.safetensors", some_updates(plain))
    base = engine.render(recipe())
    taken = engine.render(recipe(), [layer(path)])
    assert [item.png for item in taken[:2]] == [item.png for item in base[:2]]
    assert taken[2].png != base[2].png


def test_the_same_recipe_gives_the_same_bytes(engine: Engine, plain: Any, tmp_path: Path) -> None:
    path = write_kohya(tmp_path / "k.safetensors", some_updates(plain))
    first = engine.render(recipe(), [layer(path)], triggers=["ink"])
    again = engine.render(recipe(), [layer(path)], triggers=["ink"])
    assert [item.png for item in first] == [item.png for item in again]


def dora_deltas(plain: Any, updates: Sequence[Update], strength: float) -> list[torch.Tensor]:
    """What DoRA makes of a weight: rows of W + ΔW, brought to the stored lengths."""
    deltas = []
    for update in updates:
        weight = getattr(plain, update.component).get_submodule(update.name).weight.detach()
        rows = (weight + strength * update.delta).flatten(1)
        magnitude = magnitude_of(plain, update)
        scaled = rows / rows.norm(dim=1, keepdim=True) * magnitude[:, None]
        deltas.append(scaled.reshape(weight.shape) - weight)
    return deltas


def magnitude_of(plain: Any, update: Update) -> torch.Tensor:
    module = getattr(plain, update.component).get_submodule(update.name)
    lengths: torch.Tensor = module.weight.detach().flatten(1).norm(dim=1)
    return lengths * 1.3


@pytest.mark.parametrize("form", ["kohya", "diffusers"])
@pytest.mark.parametrize("names", [ATTENTION, ("conv1", "proj_in")], ids=["linear", "conv"])
def test_dora_is_drawn_as_it_is_meant(
    engine: Engine, plain: Any, tmp_path: Path, form: str, names: tuple[str, ...]
) -> None:
    updates = some_updates(plain, names, (), alphas=(2.0,))
    write = write_kohya if form == "kohya" else write_diffusers
    path = write(tmp_path / "dora.safetensors", updates)
    with safe_open(path, "pt") as handle:
        tensors, metadata = load_file(path), handle.metadata()
    for update in updates:
        value = magnitude_of(plain, update)
        if form == "kohya":
            name = "lora_unet_" + update.name.replace(".", "_")
            tensors[f"{name}.dora_scale"] = value.reshape(-1, *[1] * (update.down.ndim - 1))
        else:
            tensors[f"unet.{update.name}.lora_magnitude_vector"] = value
    save_file(tensors, path, metadata)
    taken = engine.render(recipe(strengths=(0.5, 1.0)), [layer(path)])
    original = [
        getattr(plain, item.component).get_submodule(item.name).weight.detach().clone()
        for item in updates
    ]
    for strength, pictures in ((0.5, taken[:2]), (1.0, taken[2:])):
        for item, weight in zip(updates, original, strict=True):
            getattr(plain, item.component).get_submodule(item.name).weight.data.copy_(weight)
        deltas = dora_deltas(plain, updates, strength)
        for item, delta in zip(updates, deltas, strict=True):
            getattr(plain, item.component).get_submodule(item.name).weight.data += delta
        expected = plain_pictures(plain, recipe().prompts)
        for picture, other in zip(pictures, expected, strict=True):
            assert np.abs(pixels(picture.png) - other).max() <= CLOSE, strength


# --- Files that give no true picture ---------------------------------------------------------


def refusal(engine: Engine, path: Path) -> CannotRender:
    before = engine.render(recipe(strengths=(0.0,)))
    with pytest.raises(CannotRender) as caught:
        engine.render(recipe(), [layer(path)])
    after = engine.render(recipe(strengths=(0.0,)))
    assert [item.png for item in before] == [item.png for item in after]
    return caught.value


def changed(path: Path, **changes: Any) -> Path:
    """Rewrite a file with each tensor whose name ends so replaced (None: dropped)."""
    tensors = load_file(path)
    for ending, make in changes.items():
        name = next(name for name in tensors if name.endswith(ending.replace("__", ".")))
        value = make(tensors.pop(name))
        if value is not None:
            tensors[name] = value
    save_file(tensors, path)
    return path


@pytest.fixture
def kohya(plain: Any, tmp_path: Path) -> Path:
    return write_kohya(tmp_path / "k.safetensors", some_updates(plain))


def test_another_size_is_refused_and_the_base_stays_plain(engine: Engine, kohya: Path) -> None:
    error = refusal(engine, changed(kohya, lora_down__weight=lambda _: torch.ones(4, 320)))
    assert error.why is Why.SHAPE
    assert "another base model" in str(error)


def test_foreign_modules_are_refused(engine: Engine, kohya: Path) -> None:
    tensors = load_file(kohya)
    tensors["lora_unet_double_blocks_0_img_attn_qkv.lora_down.weight"] = torch.ones(4, 8)
    tensors["lora_unet_double_blocks_0_img_attn_qkv.lora_up.weight"] = torch.ones(8, 4)
    save_file(tensors, kohya)
    assert refusal(engine, kohya).why is Why.MODULES


def test_half_a_module_is_refused(engine: Engine, kohya: Path) -> None:
    assert refusal(engine, changed(kohya, lora_up__weight=lambda _: None)).why is Why.INCOMPLETE


def test_numbers_that_are_not_finite_are_refused(engine: Engine, kohya: Path) -> None:
    path = changed(kohya, lora_up__weight=lambda value: value * float("nan"))
    assert refusal(engine, path).why is Why.NUMBERS


def test_halves_that_do_not_fit_are_refused(engine: Engine, kohya: Path) -> None:
    path = changed(kohya, lora_up__weight=lambda value: torch.ones(value.shape[0], 3))
    assert refusal(engine, path).why is Why.SHAPE


def test_a_file_that_is_no_safetensors_is_refused(engine: Engine, tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(b"not at all")
    assert refusal(engine, path).why is Why.UNREADABLE


# --- Watching and stopping -------------------------------------------------------------------


def test_pictures_come_strength_by_strength(engine: Engine) -> None:
    heard: list[list[float]] = []

    def note(pictures: Sequence[Picture]) -> None:
        heard.append([item.shot.strength for item in pictures])

    engine.render(recipe(strengths=(0.0, 0.5)), callbacks=Callbacks(on_pictures=note))
    assert heard == [[0.0, 0.0], [0.5, 0.5]]


def test_a_strength_that_is_there_is_not_made_again(engine: Engine) -> None:
    asked = recipe(strengths=(0.0, 0.5))
    have = frozenset(shot.key for shot in asked.shots() if shot.strength == 0.0)
    taken = engine.render(asked, callbacks=Callbacks(have=have))
    assert [item.shot.strength for item in taken] == [0.5, 0.5]


def test_cancelling_stops_between_steps(engine: Engine, kohya: Path) -> None:
    asked: list[int] = []

    def cancel() -> bool:
        asked.append(1)
        return len(asked) > 2

    with pytest.raises(Cancelled):
        engine.render(recipe(), [layer(kohya)], callbacks=Callbacks(is_cancelled=cancel))
    assert len(asked) == 3
    assert len(engine.render(recipe(), [layer(kohya)])) == 4


def test_a_deadline_stops_too(engine: Engine) -> None:
    with pytest.raises(TooSlow):
        engine.render(recipe(), callbacks=Callbacks(deadline_s=0.0))
