"""Methods beside LoRA: pictures equal the base with its weights changed by each one's formula."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from previews.render import CannotRender, OutOfMemory, Why
from previews.render.adapters.applied import mount
from tests.previews.methods import METHODS, Change, changes, put, write
from tests.previews.test_engine import CLOSE, plain_pictures, refusal
from tests.previews.updates import layer, patch, pixels, recipe, some_updates, write_kohya

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from previews.render.engine import Engine

ASK = recipe(strengths=(0.0, 0.5, 1.0))


def tensors_of(pipeline: Any) -> dict[str, torch.Tensor]:
    return {
        f"{part}.{name}": value.clone()
        for part in ("unet", "text_encoder", "vae")
        for name, value in getattr(pipeline, part).state_dict().items()
    }


def bytes_of(tensor: torch.Tensor) -> torch.Tensor:
    """Not numbers: −0 is not 0."""
    return tensor.flatten().view(torch.uint8)


def is_the_base(engine: Engine, before: dict[str, torch.Tensor]) -> bool:
    now = tensors_of(engine.bases.get("tiny").pipeline)
    return before.keys() == now.keys() and all(
        torch.equal(bytes_of(value), bytes_of(now[name]))
        for name, value in before.items()
        if value.ndim
    )


def assert_drawn(
    engine: Engine, layers: list[Any], plain: Any, dial: Callable[[float], None]
) -> None:
    """At 0 the control byte for byte, then the oracle's pictures, and the base as it was."""
    control = engine.render(ASK)[:2]
    before = tensors_of(engine.bases.get("tiny").pipeline)
    taken = engine.render(ASK, layers)
    assert is_the_base(engine, before)
    assert [item.png for item in taken[:2]] == [item.png for item in control]
    for strength, pictures in ((0.5, taken[2:4]), (1.0, taken[4:])):
        dial(strength)
        for picture, other in zip(pictures, plain_pictures(plain, ASK.prompts), strict=True):
            assert np.abs(pixels(picture.png) - other).max() <= CLOSE, strength
    change = np.abs(pixels(taken[4].png) - pixels(taken[0].png))
    assert change.mean() > 2


@pytest.mark.parametrize("method", METHODS)
def test_each_method_is_its_formula(
    engine: Engine, plain: Any, tmp_path: Path, method: str
) -> None:
    items = changes(plain, method)
    assert len({item.component for item in items}) == 2
    base = copy.deepcopy(plain)
    path = write(tmp_path / "x.safetensors", items)
    assert_drawn(engine, [layer(path)], plain, lambda s: put(plain, items, s, base))


def test_a_stack_of_lora_and_lokr_is_their_sum(engine: Engine, plain: Any, tmp_path: Path) -> None:
    base, updates, items = copy.deepcopy(plain), some_updates(plain), changes(plain, "lokr")
    lora = layer(write_kohya(tmp_path / "lora.safetensors", updates), 0.8)
    lokr = layer(write(tmp_path / "lokr.safetensors", items), -0.5)

    def dial(strength: float) -> None:
        plain.unet.load_state_dict(base.unet.state_dict())
        plain.text_encoder.load_state_dict(base.text_encoder.state_dict())
        put(plain, items, -0.5 * strength, base)
        patch(plain, updates, 0.8 * strength)

    assert_drawn(engine, [lora, lokr], plain, dial)


def test_the_order_of_a_stack_does_not_matter(engine: Engine, plain: Any, tmp_path: Path) -> None:
    """Each ΔW comes from the untouched weight, also where it depends on it."""
    turned = layer(write(tmp_path / "oft.safetensors", changes(plain, "oft")))
    dora = layer(write(tmp_path / "dora.safetensors", changes(plain, "lokr_dora")), 0.5)
    there = engine.render(recipe(strengths=(1.0,)), [turned, dora])
    back = engine.render(recipe(strengths=(1.0,)), [dora, turned])
    for one, other in zip(there, back, strict=True):
        assert np.abs(pixels(one.png) - pixels(other.png)).max() <= CLOSE


def test_a_file_may_mix_methods(engine: Engine, plain: Any, tmp_path: Path) -> None:
    base = copy.deepcopy(plain)
    by_layer = {"attn1.to_q": "loha", "attn2.to_k": "oft", "ff.net.2": "full", "conv1": "glora"}
    items = [
        item
        for name, method in by_layer.items()
        for item in changes(plain, method, [name])
        if item.component == "unet"
    ]
    updates = some_updates(plain, ("attn1.to_k",), ("fc1",))
    write(tmp_path / "a.safetensors", items)
    write_kohya(tmp_path / "b.safetensors", updates)
    path = tmp_path / "mixed.safetensors"
    save_file(load_file(tmp_path / "a.safetensors") | load_file(tmp_path / "b.safetensors"), path)

    def dial(strength: float) -> None:
        plain.unet.load_state_dict(base.unet.state_dict())
        plain.text_encoder.load_state_dict(base.text_encoder.state_dict())
        put(plain, items, strength, base)
        patch(plain, updates, strength)

    assert_drawn(engine, [layer(path)], plain, dial)


def test_norms_and_biases_are_changed(engine: Engine, plain: Any, tmp_path: Path) -> None:
    """``train_norm`` of LyCORIS, ``diff_b`` of full differences and of pairs, PEFT's LoRA bias."""
    names = {
        "norm1": ("w_norm", "b_norm"),
        "conv1": ("diff", "diff_b"),
        "ff.net.2": (None, "diff_b"),
        "proj_out": (None, "lora_B.bias"),
    }
    base, tensors = copy.deepcopy(plain), {}
    deltas: list[tuple[str, str, torch.Tensor]] = []
    for end, keys in names.items():
        for name, module in plain.unet.named_modules():
            if not name.endswith(f".{end}"):
                continue
            for attribute, key in zip(("weight", "bias"), keys, strict=True):
                if key is not None:
                    value = torch.randn(getattr(module, attribute).shape) * 0.3
                    deltas.append((name, attribute, value))
                    tensors[f"unet.{name}.{key}"] = value
            if end == "proj_out":
                tensors[f"unet.{name}.lora_A.weight"] = torch.zeros(2, *module.weight.shape[1:])
                tensors[f"unet.{name}.lora_B.weight"] = torch.ones(len(module.weight), 2)
    path = tmp_path / "norms.safetensors"
    save_file(tensors, path)

    def dial(strength: float) -> None:
        for name, attribute, value in deltas:
            there, plainly = (model.unet.get_submodule(name) for model in (plain, base))
            getattr(there, attribute).data = getattr(plainly, attribute) + strength * value

    assert_drawn(engine, [layer(path)], plain, dial)


def test_names_of_kohyas_oft_and_of_the_lycoris_wrapper(
    engine: Engine, plain: Any, tmp_path: Path
) -> None:
    items = [item for item in changes(plain, "oft") if item.component == "unet"]
    path = write(tmp_path / "x.safetensors", items)
    expected = engine.render(recipe(strengths=(1.0,)), [layer(path)])
    for prefix in ("oft_unet_", "lycoris_"):
        other = tmp_path / f"{prefix}.safetensors"
        renamed = {key.replace("lora_unet_", prefix): v for key, v in load_file(path).items()}
        save_file(renamed, other)
        taken = engine.render(recipe(strengths=(1.0,)), [layer(other)])
        assert [pixels(item.png).tolist() for item in taken] == [
            pixels(item.png).tolist() for item in expected
        ]


# --- What the base computes with ---------------------------------------------------------------


def first_of(plain: Any, method: str) -> list[Change]:
    return changes(plain, method, ["attn1.to_q"])[:1]


def mounted(engine: Engine, pipeline: Any, path: Path) -> Any:
    return mount(pipeline, engine.bases.get("tiny").table, [layer(path)])


def test_half_precision_is_rounded_once(engine: Engine, plain: Any, tmp_path: Path) -> None:
    [item] = items = first_of(plain, "loha")
    path = write(tmp_path / "x.safetensors", items)
    plain.unet.to(torch.bfloat16)
    module = plain.unet.get_submodule(item.name)
    before = module.weight.detach().clone()
    rack = mounted(engine, plain, path)
    rack.set_strength(0.7)
    sum_ = torch.tensor(item.oracle(before.double().flatten(1).numpy(), 0.7))
    exact = sum_.reshape(before.shape).float()
    assert module.weight.dtype == torch.bfloat16
    assert torch.equal(module.weight, exact.to(torch.bfloat16))
    rack.restore()
    assert torch.equal(module.weight, before)
    assert rack.is_unchanged


def test_numbers_that_overflow_half_precision_are_refused(
    engine: Engine, plain: Any, tmp_path: Path
) -> None:
    path = write(tmp_path / "x.safetensors", first_of(plain, "full"))
    big = {key: value * 1e6 for key, value in load_file(path).items()}
    save_file(big, path)
    plain.unet.to(torch.float16)
    before = tensors_of(plain)
    rack = mounted(engine, plain, path)
    with pytest.raises(CannotRender) as caught:
        rack.set_strength(1.0)
    assert caught.value.why is Why.NUMBERS
    rack.restore()
    assert all(torch.equal(value, tensors_of(plain)[name]) for name, value in before.items())


def test_weights_that_are_offloaded_are_changed_where_they_lie(
    engine: Engine, plain: Any, tmp_path: Path
) -> None:
    """Sequential offloading keeps the numbers in a hook, and placeholders in the modules."""
    offload: Any = pytest.importorskip("accelerate").cpu_offload
    updates = some_updates(plain, text=())
    path = write_kohya(tmp_path / "k.safetensors", updates)
    base = plain_pictures(plain, ["a cat"])
    expected = copy.deepcopy(plain)
    patch(expected, updates)
    offload(plain.unet, "cpu")
    assert plain.unet.conv_in.weight.is_meta
    rack = mounted(engine, plain, path)
    rack.set_strength(1.0)
    [drawn], [wanted] = plain_pictures(plain, ["a cat"]), plain_pictures(expected, ["a cat"])
    assert np.abs(drawn - wanted).max() <= CLOSE
    assert np.abs(drawn - base[0]).max() > 4
    rack.restore()
    assert np.array_equal(plain_pictures(plain, ["a cat"])[0], base[0])


def test_a_base_that_cannot_be_restored_is_dropped(
    engine: Engine, plain: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "x.safetensors", first_of(plain, "loha"))
    held = engine.bases.get("tiny")

    def fail(_: object) -> None:
        message = "the card is gone"
        raise RuntimeError(message)

    monkeypatch.setattr("previews.render.adapters.applied._ChangedTensor.restore", fail)
    with pytest.raises(RuntimeError, match="gone"):
        engine.render(recipe(strengths=(1.0,)), [layer(path)])
    assert engine.bases.get("tiny") is not held


def test_adapters_that_do_not_fit_into_memory_end_clearly(
    engine: Engine, plain: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError

    path = write(tmp_path / "x.safetensors", first_of(plain, "loha"))
    held = engine.bases.get("tiny")
    monkeypatch.setattr("previews.render.adapters.applied._ChangedTensor.set_strength", full)
    with pytest.raises(OutOfMemory, match="do not fit"):
        engine.render(recipe(strengths=(1.0,)), [layer(path)])
    assert engine.bases.get("tiny") is held


# --- Files that give no true picture -----------------------------------------------------------


@pytest.fixture
def file_of(plain: Any, tmp_path: Path) -> Callable[..., Path]:
    """Write a file by a method, its tensors changed by a function of name and tensor."""

    def file_of(method: str, change: Callable[[str, torch.Tensor], torch.Tensor | None]) -> Path:
        path = write(tmp_path / "x.safetensors", changes(plain, method))
        tensors = {key: change(key, value) for key, value in load_file(path).items()}
        save_file({key: value for key, value in tensors.items() if value is not None}, path)
        return path

    return file_of


LAST = {
    "loha": "hada_w2_b", "loha_tucker": "hada_t2", "lokr": "lokr_w2_b", "lokr_whole": "lokr_w2",
    "lokr_tucker": "lokr_w1_a", "glora": "b2.weight", "ia3": "weight",
}  # fmt: skip


@pytest.mark.parametrize(("method", "part"), LAST.items())
def test_half_a_module_is_refused(
    engine: Engine, file_of: Callable[..., Path], method: str, part: str
) -> None:
    path = file_of(method, lambda key, value: None if key.endswith(part) else value)
    assert refusal(engine, path).why in (Why.INCOMPLETE, Why.KEYS)


@pytest.mark.parametrize("method", METHODS)
def test_a_part_of_another_size_is_refused(
    engine: Engine, file_of: Callable[..., Path], method: str
) -> None:
    def grown(_: str, value: torch.Tensor) -> torch.Tensor:
        return torch.cat([value, value]) if value.ndim else value

    assert refusal(engine, file_of(method, grown)).why is Why.SHAPE


@pytest.mark.parametrize("method", METHODS)
def test_numbers_that_are_not_finite_are_refused(
    engine: Engine, file_of: Callable[..., Path], method: str
) -> None:
    def broken(_: str, value: torch.Tensor) -> torch.Tensor:
        return value * float("nan") if value.ndim else value

    assert refusal(engine, file_of(method, broken)).why is Why.NUMBERS


def test_two_methods_in_one_module_are_refused(engine: Engine, plain: Any, tmp_path: Path) -> None:
    path = write(tmp_path / "a.safetensors", first_of(plain, "loha"))
    write(tmp_path / "b.safetensors", first_of(plain, "lokr"))
    save_file(load_file(path) | load_file(tmp_path / "b.safetensors"), path)
    assert refusal(engine, path).why is Why.KEYS


def test_a_bias_for_a_module_that_has_none_is_refused(
    engine: Engine, plain: Any, tmp_path: Path
) -> None:
    [item] = first_of(plain, "full")
    assert plain.unet.get_submodule(item.name).bias is None
    path = tmp_path / "x.safetensors"
    save_file({f"unet.{item.name}.diff_b": torch.ones(16)}, path)
    error = refusal(engine, path)
    assert error.why is Why.SHAPE
    assert "no bias" in str(error)


def test_a_norm_is_no_layer_for_a_low_rank_pair(engine: Engine, plain: Any, tmp_path: Path) -> None:
    name = next(name for name, _ in plain.unet.named_modules() if name.endswith("norm1"))
    size = len(plain.unet.get_submodule(name).weight)
    path = tmp_path / "x.safetensors"
    pair = {"lora_A.weight": torch.ones(2, 1), "lora_B.weight": torch.ones(size, 2)}
    save_file({f"unet.{name}.{part}": value for part, value in pair.items()}, path)
    assert refusal(engine, path).why is Why.SHAPE


@pytest.mark.parametrize(
    "part", ["oft_diag", "lambda_layer", "glora_A.Xd", "bm.weight", "lora_E", "vera_lambda_b"]
)
def test_methods_that_are_not_read_are_refused_by_name(
    engine: Engine, tmp_path: Path, part: str
) -> None:
    path = tmp_path / "x.safetensors"
    save_file({f"lora_unet_conv_in.{part}": torch.ones(2, 2)}, path)
    assert refusal(engine, path).why is Why.ALGORITHM
