"""Updates of single modules: parts that do not fit, older spellings, shared weights."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from previews.render import CannotRender, Why
from previews.render.adapters.applied import MountedStack
from previews.render.adapters.base_modules import BaseModule, Table
from previews.render.adapters.keys import group
from previews.render.adapters.module_tensors import AdapterFile, ModuleTensors
from previews.render.adapters.normalise import normalise
from previews.render.adapters.updates import Update, update_of

LINEAR = BaseModule("unet", "linear", (12, 8), 12)
CONV = BaseModule("unet", "block.conv", (8, 8, 3, 3), 8)


def update(slot: BaseModule, parts: dict[str, Tensor], **config: Any) -> Update:
    [(name, module)] = group([f"m.{part}" for part in parts]).items()
    tensors = {part: parts[key.removeprefix("m.")] for part, key in module.parts.items()}
    return update_of(module.algorithm, ModuleTensors(name, tensors, slot, config))


def added(slot: BaseModule, parts: dict[str, Tensor], **config: Any) -> Tensor:
    """ΔW of a weight of ones."""
    delta = update(slot, parts, **config).weight
    assert delta is not None
    return delta(torch.ones(slot.shape), 1.0)


def random(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


MISFITS: dict[str, tuple[BaseModule, dict[str, Tensor]]] = {
    "blocks that are not square": (LINEAR, {"oft_blocks": random(3, 4, 5)}),
    "blocks of too few rows": (LINEAR, {"oft_blocks": random(2, 4, 4)}),
    "blocks that are no blocks": (LINEAR, {"oft_blocks": random(4, 4)}),
    "more stages than rows": (LINEAR, {"oft_blocks": random(4, 3, 4, 4)}),
    "rescaling of other rows": (LINEAR, {"oft_blocks": random(3, 4, 4), "rescale": random(8, 1)}),
    "half a triangle": (LINEAR, {"oft_R.weight": random(2, 5)}),
    "too few triangles": (LINEAR, {"oft_R.weight": random(3, 1)}),
    "stages of PEFT that are no blocks": (
        LINEAR, {"boft_R": random(2, 4, 3), "boft_s": random(12, 1)},
    ),
    "too few blocks of PEFT": (LINEAR, {"boft_R": random(1, 3, 2, 2), "boft_s": random(12, 1)}),
    "more stages of PEFT than columns": (
        LINEAR, {"boft_R": random(3, 2, 4, 4), "boft_s": random(12, 1)},
    ),
    "a core of another rank": (
        CONV,
        {
            "lora_down.weight": random(4, 8, 1, 1), "lora_up.weight": random(8, 4, 1, 1),
            "lora_mid.weight": random(1, 1, 3, 3),
        },
    ),
    "halves of LoHa that would only broadcast": (
        LINEAR,
        {
            "hada_w1_a": random(12, 2), "hada_w1_b": random(2, 8),
            "hada_w2_a": random(1, 2), "hada_w2_b": random(2, 8),
        },
    ),
    "GLoRA of another base": (
        LINEAR,
        {
            "a1.weight": random(6, 2), "a2.weight": random(2, 6), "b1.weight": random(12, 2),
            "b2.weight": random(2, 8),
        },
    ),
    "an alpha that is no number": (
        LINEAR,
        {
            "lora_down.weight": random(2, 8), "lora_up.weight": random(12, 2), "alpha": random(2),
        },
    ),
    "magnitudes of nothing": (
        LINEAR,
        {
            "lora_down.weight": random(2, 8), "lora_up.weight": random(12, 2),
            "dora_scale": random(5, 1),
        },
    ),
    "a difference of the same size but another shape": (LINEAR, {"diff": random(8, 12)}),
}  # fmt: skip


@pytest.mark.parametrize(("slot", "parts"), MISFITS.values(), ids=MISFITS)
def test_parts_that_do_not_fit_are_refused(slot: BaseModule, parts: dict[str, Tensor]) -> None:
    with pytest.raises(CannotRender) as caught:
        update(slot, parts)
    assert caught.value.why is Why.SHAPE


def test_glora_of_old_has_its_factors_the_other_way() -> None:
    a1, a2, b1, b2 = random(8, 2), random(2, 8), random(12, 2), random(2, 8)
    new = {"a1.weight": a1, "a2.weight": a2, "b1.weight": b1, "b2.weight": b2}
    old = {"a2.weight": a1, "a1.weight": a2, "b2.weight": b1, "b1.weight": b2}
    assert torch.equal(added(LINEAR, new), added(LINEAR, old))


def test_vectors_of_square_convolutions_are_placed_by_the_configuration() -> None:
    parts = {"ia3_l": random(1, 8, 1, 1)}
    out = added(CONV, parts)
    into = added(CONV, parts, feedforward_modules=["conv"])
    assert torch.equal(out, (parts["ia3_l"] - 1).transpose(0, 1).expand(8, 8, 3, 3))
    assert torch.equal(into, (parts["ia3_l"] - 1).expand(8, 8, 3, 3))
    assert update(CONV, parts).bias is not None
    assert update(CONV, parts, feedforward_modules=["conv"]).bias is None


def test_whole_halves_of_lokr_have_scale_one_without_a_configuration() -> None:
    parts = {"lokr_w1": random(3, 2), "lokr_w2": random(4, 4)}
    assert torch.equal(added(LINEAR, parts), torch.kron(*parts.values()))
    assert torch.equal(added(LINEAR, parts, alpha=6, r=4), 1.5 * torch.kron(*parts.values()))


def test_magnitudes_of_a_square_convolution_mean_columns_only_as_dora_scale() -> None:
    pair = {"lora_down.weight": torch.zeros(2, 8, 3, 3), "lora_up.weight": random(8, 2, 1, 1)}
    size = torch.arange(1.0, 9.0).reshape(1, 8, 1, 1)
    ones = torch.ones(8, 8, 3, 3)
    columns = added(CONV, pair | {"dora_scale": size}) + ones
    rows = added(CONV, pair | {"lora_magnitude_vector": size}) + ones
    assert torch.allclose(columns, size.expand(ones.shape) / 72**0.5)
    assert torch.allclose(rows, size.transpose(0, 1).expand(ones.shape) / 72**0.5)


# --- Files -------------------------------------------------------------------------------------


def test_a_module_under_two_names_is_refused() -> None:
    table = Table({"one": LINEAR, "two": LINEAR})
    file = AdapterFile({"one.diff": random(12, 8), "two.diff": random(12, 8)}, {})
    with pytest.raises(CannotRender) as caught:
        normalise(file, table)
    assert caught.value.why is Why.KEYS


def test_names_that_the_converter_chokes_on_are_refused() -> None:
    def choke(_: dict[str, Tensor]) -> dict[str, Tensor]:
        raise KeyError

    pair = {"x.lora_down.weight": random(2, 8), "x.lora_up.weight": random(12, 2)}
    with pytest.raises(CannotRender) as caught:
        normalise(AdapterFile(pair, {}), Table({}), choke)
    assert caught.value.why is Why.MODULES


def test_only_pairs_are_converted_and_each_with_its_scale() -> None:
    asked: dict[str, Tensor] = {}

    def convert(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        asked.update(tensors)
        return {
            key.replace("old", "linear"): value
            for key, value in tensors.items()
            if not key.endswith("alpha")
        }

    file = AdapterFile(
        {
            "old.lora_down.weight": random(2, 8), "old.lora_up.weight": random(12, 2),
            "old.alpha": torch.tensor(1.0), "conv.diff": random(8, 8, 3, 3),
        },
        {},
    )  # fmt: skip
    normal = normalise(file, Table({"linear": LINEAR, "conv": CONV}), convert)
    assert len(normal) == 2
    assert asked.keys() == {"old.lora_down.weight", "old.lora_up.weight", "old.alpha"}
    delta = normal[LINEAR].weight
    assert delta is not None
    wanted = 0.5 * file.tensors["old.lora_up.weight"] @ file.tensors["old.lora_down.weight"]
    assert torch.allclose(delta(torch.ones(12, 8), 1.0), wanted)


# --- On a base ---------------------------------------------------------------------------------


class Shared(nn.Module):
    """Two layers with one weight, as tied embeddings have it."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(8, 12)
        self.second = nn.Linear(8, 12)
        self.second.weight = self.first.weight


class Pipeline:
    def __init__(self) -> None:
        self.unet: Any = Shared()


def whole(name: str) -> dict[BaseModule, Update]:
    delta = update(LINEAR, {"diff": random(12, 8)})
    return {BaseModule("unet", name, (12, 8)): delta}


def test_layers_that_share_a_weight_get_their_bytes_back() -> None:
    pipeline = Pipeline()
    before = pipeline.unet.first.weight.detach().clone()
    rack = MountedStack(pipeline, [whole("first"), whole("second")], [1.0, 1.0])
    rack.set_strength(0.5)
    assert not torch.equal(pipeline.unet.first.weight, before)
    rack.set_strength(0.0)
    assert torch.equal(pipeline.unet.first.weight, before)
    assert rack.is_unchanged


def test_an_adapter_of_weight_zero_changes_nothing() -> None:
    pipeline = Pipeline()
    before = pipeline.unet.first.weight.detach().clone()
    rack = MountedStack(pipeline, [whole("first")], [0.0])
    rack.set_strength(1.0)
    rack.set_strength(1.0)
    assert torch.equal(pipeline.unet.first.weight, before)
    assert rack.is_unchanged
