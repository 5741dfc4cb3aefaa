"""Methods of PEFT: files that PEFT itself wrote change weights as PEFT itself merges them."""

from __future__ import annotations

import copy
from typing import Any

import peft
import pytest
import torch
from peft import get_peft_model, get_peft_model_state_dict
from peft.tuners.boft.layer import BOFTLayer
from torch import nn

from previews.render import CannotRender, Why
from previews.render.adapters.applied import MountedStack
from previews.render.adapters.base_modules import BaseModule, Table, table_of
from previews.render.adapters.module_tensors import AdapterFile
from previews.render.adapters.normalise import normalise
from previews.render.adapters.rotations import _order

TARGETS = ["linear", "wide", "conv", "pointwise"]


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(24, 16)
        self.wide = nn.Linear(24, 48, bias=False)
        self.conv = nn.Conv2d(24, 16, 3, padding=1)
        self.pointwise = nn.Conv2d(24, 48, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """PEFT wants one; nothing is computed with it."""
        return x


class Pipeline:
    _lora_loadable_modules = ("transformer",)

    def __init__(self, model: nn.Module) -> None:
        self.transformer: Any = model


def config(kind: str, **options: Any) -> Any:
    return getattr(peft, f"{kind}Config")(target_modules=TARGETS, **options)


CONFIGS = {
    "lora": config("Lora", r=4, lora_alpha=6, init_lora_weights=False),
    "rslora": config("Lora", r=4, lora_alpha=6, use_rslora=True, init_lora_weights=False),
    "patterns": config(
        "Lora", r=4, lora_alpha=6, rank_pattern={"wide": 2}, alpha_pattern={"conv": 1},
        init_lora_weights=False,
    ),
    "dora": config("Lora", r=4, lora_alpha=6, use_dora=True, init_lora_weights=False),
    "loha": config("LoHa", r=4, alpha=6, init_weights=False),
    "loha, effective": config("LoHa", r=4, alpha=6, use_effective_conv2d=True, init_weights=False),
    "lokr": config("LoKr", r=2, alpha=6, init_weights=False),
    "lokr, effective": config("LoKr", r=2, alpha=6, use_effective_conv2d=True, init_weights=False),
    "lokr, both halves": config(
        "LoKr", r=1, alpha=3, decompose_both=True, decompose_factor=4, init_weights=False
    ),
    "lokr, whole": config("LoKr", r=99, alpha=33, init_weights=False),
    "oft": config("OFT", oft_block_size=4, r=0, use_cayley_neumann=False, init_weights=False),
    "oft, series": config(
        "OFT", oft_block_size=4, r=0, num_cayley_neumann_terms=6, init_weights=False
    ),
    "oft, shared": config("OFT", oft_block_size=4, r=0, block_share=True, init_weights=False),
    "oft, constrained": config(
        "OFT", oft_block_size=4, r=0, coft=True, eps=0.05, use_cayley_neumann=False,
        init_weights=False,
    ),
    "boft": config("BOFT", boft_block_size=4, init_weights=False),
    "ia3": config("IA3", feedforward_modules=[], init_ia3_weights=False),
    "ia3 on inputs": config("IA3", feedforward_modules=TARGETS, init_ia3_weights=False),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("said", CONFIGS.values(), ids=CONFIGS)
def test_a_file_of_peft_is_merged_as_peft_does(said: Any) -> None:
    torch.manual_seed(0)
    base = Model()
    trained: Any = get_peft_model(copy.deepcopy(base), copy.deepcopy(said))
    for name, value in trained.named_parameters():
        if "ia3_l" in name or "boft_s" in name:
            value.data = 1 + 0.3 * torch.randn_like(value)
    state = {key: value.clone() for key, value in get_peft_model_state_dict(trained).items()}
    assert all(key.startswith("base_model.model.") for key in state)
    as_saved = {
        key: list(value) if isinstance(value, set) else value
        for key, value in said.to_dict().items()
    }
    rack, pipeline = racked(base, state, as_saved)
    rack.set_strength(1.0)
    merged = trained.merge_and_unload()
    torch.manual_seed(0)
    before = Model()
    for name, value in merged.state_dict().items():
        mine = pipeline.transformer.state_dict()[name]
        assert torch.allclose(mine, value, atol=2e-6), name
        if name.endswith("weight"):
            assert not torch.allclose(mine, before.state_dict()[name], atol=2e-5), name
    rack.restore()
    assert all(
        torch.equal(value, before.state_dict()[name])
        for name, value in pipeline.transformer.state_dict().items()
    )


def racked(
    base: nn.Module, state: dict[str, Any], said: dict[str, Any]
) -> tuple[MountedStack, Pipeline]:
    pipeline = Pipeline(base)
    normal = normalise(AdapterFile(state, said), table_of(pipeline))
    return MountedStack(pipeline, [normal], [1.0]), pipeline


def test_biases_of_lora_count_with_its_scale() -> None:
    base = Model()
    before = base.linear.bias.detach().clone()
    name = "base_model.model.linear.lora_"
    state = {
        f"{name}A.weight": torch.zeros(4, 24),
        f"{name}B.weight": torch.zeros(16, 4),
        f"{name}B.bias": torch.ones(16),
    }
    rack, _ = racked(base, state, {"r": 4, "lora_alpha": 6, "lora_bias": True})
    rack.set_strength(0.5)
    assert torch.allclose(base.linear.bias, before + 0.75)


def test_stages_of_boft_are_permuted_as_peft_does() -> None:
    """Without its extension for graphics cards PEFT makes one stage only; files may have more."""
    permute: Any = BOFTLayer.block_butterfly_perm
    for columns, size, stages in ((32, 4, 3), (24, 4, 2), (64, 8, 4)):
        count = columns // size
        for stage in range(stages):
            theirs = permute(None, columns, count // 2**stage, size // 2, stages - 1)
            assert torch.equal(_order(columns, stage, size), theirs)


def test_several_stages_of_boft_follow_each_other() -> None:
    torch.manual_seed(1)
    base = Model()
    weight = base.linear.weight.detach().clone()
    blocks, scale = torch.randn(2, 6, 4, 4) * 0.3, 1 + 0.2 * torch.randn(16, 1)
    state = {
        "base_model.model.linear.boft_R": blocks,
        "base_model.model.linear.boft_s": scale,
    }
    rack, _ = racked(base, state, {})
    rack.set_strength(1.0)
    whole, one = torch.eye(24), torch.eye(24)
    for stage, stage_blocks in enumerate(blocks):
        diagonal: Any = torch.block_diag
        skew = diagonal(*(stage_blocks - stage_blocks.mT) / 2)
        swap = one[_order(24, stage, 4)]
        whole = swap @ ((one - skew) @ torch.linalg.inv(one + skew)) @ swap.T @ whole
    assert torch.allclose(base.linear.weight, (whole @ weight.T).T * scale, atol=1e-6)


# --- Modules that are one in the file and several in the base ----------------------------------


@pytest.fixture
def halves() -> tuple[Pipeline, Table]:
    """``both`` in a file means the rows of ``first`` and then those of ``second``."""

    class Halves(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(12, 8)
            self.second = nn.Linear(12, 16)

    pipeline = Pipeline(Halves())
    first = BaseModule("transformer", "first", (8, 12), 8)
    second = BaseModule("transformer", "second", (16, 12), 16)
    return pipeline, Table({}, {"both": (first, second)})


def test_a_fused_module_is_taken_apart_by_rows(halves: tuple[Pipeline, Table]) -> None:
    pipeline, table = halves
    first, second = pipeline.transformer.first, pipeline.transformer.second
    weight = torch.cat([first.weight, second.weight]).detach()
    bias = torch.cat([first.bias, second.bias]).detach()
    w1, w2, diff_b = torch.randn(6, 3), torch.randn(4, 4), torch.randn(24)
    state = {"both.lokr_w1": w1, "both.lokr_w2": w2, "both.alpha": torch.tensor(1.0)}
    other = {"both.diff": torch.randn(24, 12), "both.diff_b": diff_b}
    normals = [normalise(AdapterFile(item, {}), table) for item in (state, other)]
    assert [len(normal) for normal in normals] == [2, 2]
    MountedStack(pipeline, normals, [1.0, 2.0]).set_strength(0.5)
    wanted = weight + 0.5 * torch.kron(w1, w2) + other["both.diff"]
    assert torch.allclose(torch.cat([first.weight, second.weight]), wanted, atol=1e-6)
    assert torch.allclose(torch.cat([first.bias, second.bias]), bias + diff_b, atol=1e-6)


def test_dora_of_a_fused_module_norms_each_row(halves: tuple[Pipeline, Table]) -> None:
    pipeline, table = halves
    first, second = pipeline.transformer.first, pipeline.transformer.second
    weight = torch.cat([first.weight, second.weight]).detach()
    w1, w2, size = torch.randn(6, 3), torch.randn(4, 4), torch.rand(24, 1) + 0.5
    state = {"both.lokr_w1": w1, "both.lokr_w2": w2, "both.dora_scale": size}
    MountedStack(pipeline, [normalise(AdapterFile(state, {}), table)], [1.0]).set_strength(1.0)
    total = weight + torch.kron(w1, w2)
    wanted = total / total.norm(dim=1, keepdim=True) * size
    assert torch.allclose(torch.cat([first.weight, second.weight]), wanted, atol=1e-6)


def test_turning_a_fused_module_is_refused(halves: tuple[Pipeline, Table]) -> None:
    """Rows of the one would get rows of the other."""
    state = {"both.oft_blocks": torch.randn(6, 4, 4)}
    with pytest.raises(CannotRender) as caught:
        normalise(AdapterFile(state, {}), halves[1])
    assert caught.value.why is Why.ALGORITHM
