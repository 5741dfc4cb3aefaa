"""Alphas: read from the file, or declared by a configuration or the metadata."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

import pytest

from lorary.anatomy.claims.config import AdapterConfig
from lorary.anatomy.modules.adapted import Module, scan
from lorary.anatomy.modules.alphas import Alphas, read_alphas
from lorary.safetensors import Header, TensorInfo

if TYPE_CHECKING:
    from collections.abc import Sequence


def _modules(*keys: str, rank: int = 8) -> Sequence[Module]:
    """Modules of a header whose matrices are `(rank, rank)`."""
    tensors = {
        key: TensorInfo("F32", () if key.endswith(".alpha") else (rank, rank), 0, 4) for key in keys
    }
    return scan(Header(tensors, {}, 0, 8)).modules


def _pairs(count: int, rank: int = 8) -> Sequence[Module]:
    names = [f"lora_unet_blocks_{number}_self_attn_q" for number in range(count)]
    suffixes = ("lora_down.weight", "lora_up.weight", "alpha")
    return _modules(*(f"{name}.{suffix}" for name in names for suffix in suffixes), rank=rank)


def _read(values: Sequence[float | None], rank: int = 8, **metadata: str) -> Alphas:
    return read_alphas(_pairs(len(values), rank), metadata, None, lambda tensors: values)


@pytest.mark.parametrize(
    ("values", "mode", "read"),
    [
        ([4.0, 4.0, 8.0], 4.0, 3),
        ([4.0, 8.0], 8.0, 2),  # of equally frequent ones, the larger
        ([4.0, None, None], 4.0, 1),
        ([4.0, math.nan], 4.0, 2),
        ([math.inf, math.nan], None, 2),
    ],
)
def test_the_most_frequent_alpha_counts(
    values: list[float | None], mode: float | None, read: int
) -> None:
    found = _read(values, ss_network_alpha="99")
    assert (found.mode, found.values_read) == (mode, read)


def test_linear_modules_lead_as_they_do_for_the_rank() -> None:
    tensors = {}
    for name, kernel in (("conv1", (3, 3)), ("conv2", (3, 3)), ("time_emb_proj", ())):
        module = f"lora_unet_down_blocks_0_resnets_0_{name}"
        tensors[f"{module}.lora_down.weight"] = TensorInfo("F32", (8, 320, *kernel), 0, 4)
        tensors[f"{module}.lora_up.weight"] = TensorInfo("F32", (320, 8, *kernel), 0, 4)
        tensors[f"{module}.alpha"] = TensorInfo("F32", (), 0, 4)
    modules = scan(Header(tensors, {}, 0, 8)).modules
    assert read_alphas(modules, {}, None, lambda tensors: [4.0, 4.0, 16.0]).mode == 16.0
    assert read_alphas(modules[:2], {}, None, lambda tensors: [4.0, 4.0]).mode == 4.0


def test_all_are_read_in_one_go() -> None:
    asked: list[int] = []

    def reader(tensors: Sequence[TensorInfo]) -> list[float]:
        asked.append(len(tensors))
        return [4.0] * len(tensors)

    read_alphas(_pairs(5), {}, None, reader)
    assert asked == [5]
    read_alphas(_modules("a.lora_A.weight", "a.lora_B.weight"), {}, None, reader)
    assert asked == [5]


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf, 801.0])
def test_an_alpha_that_cannot_be_meant_is_told(value: float) -> None:
    (finding,) = _read([4.0, value]).findings
    assert (finding.code, finding.evidence["count"]) == ("alpha_invalid", 1)


def test_rslora_divides_by_the_root_of_the_rank() -> None:
    arguments = json.dumps({"rs_lora": "True"})
    found = _read([500.0], rank=16, ss_network_args=arguments)
    assert found.is_rslora
    assert [finding.code for finding in found.findings] == ["alpha_invalid"]
    assert _read([500.0], rank=16).findings == ()


def test_a_constraint_is_no_scale_and_whole_lokr_matrices_ignore_theirs() -> None:
    oft = _modules(
        "oft_unet_blocks_0_self_attn_q.oft_blocks", "oft_unet_blocks_0_self_attn_q.alpha"
    )
    assert read_alphas(oft, {}, None, lambda tensors: [0.0]).findings == ()
    assert len(read_alphas(oft, {}, None, lambda tensors: [-1.0]).findings) == 1
    name = "lycoris_blocks_0_self_attn_q"
    lokr = _modules(f"{name}.lokr_w1", f"{name}.lokr_w2", f"{name}.alpha")
    assert read_alphas(lokr, {}, None, lambda tensors: [math.inf]).findings == ()


@pytest.mark.parametrize(
    ("metadata", "mode"),
    [
        ({"ss_network_alpha": "16.0"}, 16.0),
        ({"ss_network_alpha": "Dynamic"}, None),
        ({"lycoris_config": '{"linear_alpha": 8}'}, 8.0),
        ({"ot_config": '{"lora_alpha": 1.0}'}, 1.0),
        ({"lora_adapter_metadata": '{"unet.lora_alpha": 4, "unet.r": 4}'}, 4.0),
        ({"lora_adapter_metadata": '{"unet.r": 4}', "ss_network_alpha": "2"}, 2.0),
        ({}, None),
    ],
)
def test_without_values_the_declared_alpha_counts(
    metadata: dict[str, str], mode: float | None
) -> None:
    assert read_alphas(_pairs(2), metadata) == Alphas(mode, 0)
    assert read_alphas(_pairs(1), metadata, None, lambda tensors: [None]) == Alphas(mode, 0)


def test_patterns_decide_module_by_module() -> None:
    names = [f"base_model.model.model.layers.{number}.q_proj" for number in range(3)]
    modules = _modules(*(f"{name}.lora_{half}.weight" for name in names for half in "AB"))
    config = AdapterConfig.of(
        {"lora_alpha": 8, "alpha_pattern": {"^model.layers.0.q_proj": 32, "layers.1.q_proj": 32}}
    )
    assert read_alphas(modules, {}, config).mode == 32
    assert read_alphas((), {}, config).mode == 8
    assert read_alphas(modules, {}, AdapterConfig.of({"r": 4, "use_rslora": True})) == Alphas(
        None, 0, (), is_rslora=True
    )


def test_every_component_has_its_own_configuration() -> None:
    keys = [f"unet.a.to_{name}.lora_{half}.weight" for name in "qk" for half in "AB"]
    keys += [f"text_encoder.b.lora_{half}.weight" for half in "AB"]
    fields = {"unet.lora_alpha": 4, "text_encoder.lora_alpha": 64}
    metadata = {"lora_adapter_metadata": json.dumps(fields)}
    assert read_alphas(_modules(*keys), metadata).mode == 4
    half = {"lora_adapter_metadata": json.dumps({"unet.r": 4, "text_encoder.lora_alpha": 64})}
    assert read_alphas(_modules(*keys), half).mode == 64
