"""Checks of the adapter's own tensors, and of what is written about them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from lorary.anatomy import inspect_bytes
from lorary.anatomy.claims.base_models import Claim, Claims
from lorary.anatomy.claims.config import AdapterConfig
from lorary.anatomy.claims.declared import (
    claims_findings,
    config_findings,
    config_unreadable,
    metadata_rank_findings,
)
from lorary.anatomy.modules.adapted import Module, scan
from lorary.anatomy.modules.duplicate_targets import projections
from lorary.anatomy.modules.structure import (
    leftover_findings,
    module_findings,
    other_tensor_findings,
)
from lorary.safetensors import Header, parse_header
from tests.builders.adapters import DENOISERS, comfyui, diffusers, kohya
from tests.builders.weights import safetensors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lorary.anatomy.findings.finding import Finding

Rows = dict[str, tuple[str, tuple[int, ...]]]
TE1 = "lora_te1_text_model_encoder_layers_0"
Q = "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q"


def _pair(name: str, out: int = 12, wide: int = 8, rank: int = 2) -> Rows:
    return {
        f"{name}.lora_down.weight": ("F16", (rank, wide)),
        f"{name}.lora_up.weight": ("F16", (out, rank)),
    }


def _header(rows: Rows) -> Header:
    return parse_header(safetensors(rows))


def _modules(rows: Rows) -> Sequence[Module]:
    return scan(_header(rows)).modules


def _found(rows: Rows) -> list[Finding]:
    header = _header(rows)
    return list(module_findings(scan(header).modules, header))


def _others(rows: Rows) -> dict[str, object]:
    header = _header({**_pair(Q), **rows})
    return {f.code: f.evidence["count"] for f in other_tensor_findings(scan(header), header)}


def _of(**suffixes: tuple[str, tuple[int, ...]]) -> Rows:
    return {f"{Q}.{name.replace('__', '.')}": row for name, row in suffixes.items()}


@pytest.mark.parametrize(
    "rows",
    [
        _pair(Q),
        _of(hada_w1_a=("F16", (8, 2)), hada_w1_b=("F16", (2, 8)),
            hada_w2_a=("F16", (8, 2)), hada_w2_b=("F16", (2, 8))),
        _of(lokr_w1=("F16", (2, 2)), lokr_w2=("F16", (4, 4)), alpha=("I64", ())),
        _of(ia3_l=("F16", (8, 1))),
        _of(weight=("F16", (1, 8)), on_input=("BOOL", ())),
        {"base_model.model.a.q_proj.shira_weight": ("F16", (9,)),
         "base_model.model.a.q_proj.shira_indices": ("I32", (2, 9))},
    ],
)  # fmt: skip
def test_whole_modules_give_no_findings(rows: Rows) -> None:
    assert _found(rows) == []


@pytest.mark.parametrize(
    ("rows", "code"),
    [
        (_of(lora_down__weight=("F16", (2, 8))), "pair_incomplete"),
        (_of(lora_B__weight=("F16", (8, 2))), "pair_incomplete"),
        (_of(hada_w1_a=("F16", (8, 2)), hada_w1_b=("F16", (2, 8))), "pair_incomplete"),
        (_of(lokr_w1=("F16", (2, 2))), "pair_incomplete"),
        (_of(alpha=("F16", ())), "alpha_orphan"),
        (_of(lora_down__weight=("F16", (2, 8)), lora_up__weight=("F16", (8, 3))), "rank_mismatch"),
        (_of(lora_down__weight=("F16", (0, 8)), lora_up__weight=("F16", (8, 0))), "tensor_empty"),
        ({**_pair(Q), "emb": ("F16", (0, 8))}, "tensor_empty"),
        (_of(lora_down__weight=("I8", (2, 8)), lora_up__weight=("I8", (8, 2))), "tensor_not_float"),
    ],
)
def test_modules_that_no_program_can_use_are_told(rows: Rows, code: str) -> None:
    found = _found(rows)
    assert [finding.code for finding in found] == [code]
    assert found[0].evidence["count"] in {1, 2}


@pytest.mark.parametrize(
    ("shape", "is_odd"),
    [
        ((12, 1), False), ((12,), False), ((1, 8), False), ((8,), False), ((1, 12, 1, 1), False),
        ((9,), True), ((1,), True), ((12, 8), True), ((1, 4), True), ((24, 1), True),
    ],
)  # fmt: skip
def test_magnitudes_fit_the_rows_or_the_columns(shape: tuple[int, ...], is_odd: bool) -> None:
    rows = {**_pair(Q), f"{Q}.dora_scale": ("F16", shape)}
    assert [finding.code for finding in _found(rows)] == ["magnitude_mismatch"] * is_odd


@pytest.mark.parametrize(
    ("shape", "is_odd"),
    [((12, 1, 1, 1), False), ((1, 8, 1, 1), False), ((1, 72, 1, 1), False), ((1, 7, 1, 1), True)],
)
def test_magnitudes_of_convolutions_leave_the_kernel_out(
    shape: tuple[int, ...], is_odd: bool
) -> None:
    rows = _of(
        lora_down__weight=("F16", (2, 8, 3, 3)),
        lora_up__weight=("F16", (12, 2, 1, 1)),
        dora_scale=("F16", shape),
    )
    assert [finding.code for finding in _found(rows)] == ["magnitude_mismatch"] * is_odd


TWICE = [
    (
        "lora_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_q",
        "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn1_to_q",
    ),
    (
        "lora_unet_output_blocks_5_1_transformer_blocks_0_attn2_to_v",
        "lora_unet_up_blocks_1_attentions_2_transformer_blocks_0_attn2_to_v",
    ),
    ("lora_unet_middle_block_1_proj_in", "lora_unet_mid_block_attentions_0_proj_in"),
    ("lora_unet_middle_block_2_in_layers_2", "lora_unet_mid_block_resnets_1_conv1"),
    ("lora_unet_input_blocks_3_0_op", "lora_unet_down_blocks_0_downsamplers_0_conv"),
    ("lora_unet_blocks_0_self_attn_q", "lora_unet_blocks_0.self_attn.q"),
    ("lora_unet__blocks_0_ffn_0", "lora_unet_blocks_0_ffn_0"),
    ("diffusion_model.blocks.0.self_attn.o", "transformer.blocks.0.attn1.to_out.0"),
    ("double_blocks.3.img_mlp.2", "transformer.transformer_blocks.3.ff.net.2"),
    (
        "lora_te1_text_model_encoder_layers_0_self_attn_q_proj",
        "text_encoder.encoder.layers.0.self_attn.q_proj",
    ),
]


@pytest.mark.parametrize("names", TWICE)
def test_two_names_of_one_module_are_told(names: tuple[str, str]) -> None:
    found = _found({**_pair(names[0]), **_pair(names[1]), **_pair("unet.mid_block.x")})
    assert [finding.code for finding in found] == ["module_twice"]
    assert found[0].evidence["count"] == 1
    assert {frozenset(pair) for pair in found[0].evidence["pairs"]} == {frozenset(names)}  # type: ignore[attr-defined]


FUSED = [
    ("diffusion_model.layers.0.attention.qkv", "diffusion_model.layers.0.attention.to_q"),
    ("lora_unet_layers_0_attention_qkv", "lora_unet_layers_0_attention_to_v"),
    ("lora_unet_double_blocks_0_img_attn_qkv", "transformer.transformer_blocks.0.attn.to_k"),
    ("lora_unet_double_blocks_0_txt_attn_qkv", "transformer.transformer_blocks.0.attn.add_q_proj"),
    ("lora_unet_single_blocks_0_linear1", "transformer.single_transformer_blocks.0.proj_mlp"),
    ("joint_blocks.1.x_block.attn.qkv", "transformer_blocks.1.attn.to_q"),
    ("unet.mid_block.attn1.to_kv", "unet.mid_block.attn1.to_k"),
]


@pytest.mark.parametrize("names", FUSED)
def test_a_fused_projection_beside_its_part_is_told(names: tuple[str, str]) -> None:
    found = _found({**_pair(names[1]), **_pair(names[0], out=36)})
    assert [finding.code for finding in found] == ["fused_and_split"]
    assert found[0].evidence["pairs"] == [list(names)]


@pytest.mark.parametrize(
    "names",
    [
        ("lora_unet_layers_0_attention_qkv", "lora_unet_layers_1_attention_to_q"),
        ("lora_unet_double_blocks_0_img_attn_qkv", "lora_unet_double_blocks_0_txt_attn_qkv"),
        ("lora_unet_single_blocks_0_linear1", f"{TE1}_self_attn_q_proj"),
        ("lora_unet_blocks_0_self_attn_q", "lora_unet_blocks_0_cross_attn_q"),
        ("transformer_blocks.0.attn.to_q", "transformer_blocks.0.attn.add_q_proj"),
        (f"{TE1}_mlp_fc1", f"{TE1}_mlp_fc1".replace("te1", "te2")),
        ("lora_unet_input_blocks_4_1_proj_in", "lora_unet_down_blocks_1_attentions_1_proj_in"),
        ("transformer.img_qkv_norm", "unet.x"),
    ],
)
def test_neighbours_are_no_twins(names: tuple[str, str]) -> None:
    assert _found({**_pair(names[0]), **_pair(names[1])}) == []


def test_a_fused_module_covers_the_cells_of_its_parts() -> None:
    whole = projections("single_blocks.7.linear1")
    assert set(whole) == {
        *projections("single_transformer_blocks.7.attn.to_q"),
        *projections("single_transformer_blocks.7.attn.to_k"),
        *projections("single_transformer_blocks_7_attn_to_v"),
        *projections("single_transformer_blocks.7.proj_mlp"),
    }


@pytest.mark.parametrize(
    ("rows", "counts"),
    [
        ({}, {}),
        ({"emb": ("F16", (3,))}, {"unknown_keys": 1}),
        ({"head.weight": ("F16", (2, 2)), "head.bias": ("F16", (2,))}, {"modules_saved": 2}),
        ({"head.weight": ("F16", (90, 90)), "head.bias": ("F16", (90,))}, {"full_weights": 2}),
        (
            {"a.modules_to_save.default.weight": ("F16", (90, 90)), "x": ("F16", (3,))},
            {"full_weights": 1, "unknown_keys": 1},
        ),
        ({"norm.weight": ("F16", (90,))}, {"unknown_keys": 1}),
        (
            {"model.diffusion_model.out.2.weight": ("F16", (90, 90)), "betas": ("F32", (9,))},
            {"checkpoint_leftovers": 2},
        ),
    ],
)
def test_strange_tensors_are_sorted(rows: Rows, counts: dict[str, int]) -> None:
    assert _others(rows) == counts


def test_leftovers_of_an_adapter_are_told_in_checkpoints_only() -> None:
    rows = {**_pair("lora_te_text_model_x"), "model.diffusion_model.a.weight": ("F16", (2, 2))}
    found = scan(_header(rows))
    assert [f.code for f in leftover_findings(found, "checkpoint")] == ["adapter_leftovers"]
    assert list(leftover_findings(found, "adapter")) == []
    assert list(leftover_findings(found, "ip_adapter")) == []
    bare = scan(_header({"model.diffusion_model.a.weight": ("F16", (2, 2))}))
    assert list(leftover_findings(bare, "checkpoint")) == []


@pytest.mark.parametrize(
    ("metadata", "ranks", "codes"),
    [
        ({}, [16], []),
        ({"ss_network_dim": "16"}, [16], []),
        ({"ss_network_dim": "1", "ss_network_alpha": "8"}, [64], ["rank_differs"]),
        ({"ss_network_dim": "Dynamic"}, [7, 9], []),
        ({"ss_network_dim": "16"}, [16, 4], ["rank_differs"]),
        ({"ss_network_dim": "16", "ss_network_args": '{"conv_dim": "4"}'}, [16, 4], []),
        ({"ss_network_alpha": "4"}, [16], ["alpha_differs"]),
        ({"ss_network_alpha": "8.0"}, [16], []),
        ({"lora_adapter_metadata": '{"unet.r": 8}'}, [16], ["rank_differs"]),
        ({"lora_adapter_metadata": '{"unet.r": 8, "unet.rank_pattern": {"a": 16}}'}, [16, 8], []),
    ],
)
def test_declared_ranks_and_alphas_are_held_against_the_tensors(
    metadata: dict[str, str], ranks: list[int], codes: list[str]
) -> None:
    found = metadata_rank_findings(metadata, ranks[0], 8.0, ranks=ranks)
    assert [finding.code for finding in found] == codes


def test_without_ranks_or_alphas_nothing_differs() -> None:
    metadata = {"ss_network_dim": "4", "ss_network_alpha": "1"}
    assert list(metadata_rank_findings(metadata, None, None)) == []


@pytest.mark.parametrize(
    ("config", "fields"),
    [
        ({"peft_type": "LORA", "r": 2}, []),
        ({"peft_type": "LORA", "r": 8}, ["r"]),
        ({"peft_type": "LORA", "r": 8, "rank_pattern": {"to_q": 2}}, []),
        ({"peft_type": "LOHA", "r": 8}, ["peft_type", "r"]),
        ({"peft_type": "VERA", "r": 256}, ["peft_type"]),
        ({"peft_type": "PREFIX_TUNING"}, ["peft_type"]),
        ({"peft_type": "LORA", "r": 2, "use_dora": True}, ["use_dora"]),
        ({"peft_type": "NOT_YET_INVENTED", "r": 7}, []),
    ],
)
def test_configurations_are_held_against_the_tensors(
    config: dict[str, object], fields: list[str]
) -> None:
    parsed = AdapterConfig.parse(json.dumps(config).encode())
    found = list(config_findings(parsed, _modules(_pair(Q))))
    assert [finding.code for finding in found] == ["config_conflict"] * bool(fields)
    conflicts = [entry for finding in found for entry in finding.evidence["conflicts"]]  # type: ignore[attr-defined]
    assert [entry["field"] for entry in conflicts] == fields


def test_no_configuration_and_a_broken_one() -> None:
    assert list(config_findings(None, _modules(_pair(Q)))) == []
    found = config_unreadable("adapter_config.json is not valid JSON")
    assert (found.code, found.severity) == ("config_unreadable", "warning")
    assert found.message.startswith("adapter_config.json is not valid JSON. ")


def test_claims_that_exclude_each_other_are_told() -> None:
    def claims(*families: str) -> Claims:
        made = [Claim(family, f"key{n}", "value") for n, family in enumerate(families)]
        return Claims(first=made[0] if made else None, others=tuple(made[1:]))

    found = list(claims_findings(claims("flux1", "sd1", "flux1")))
    assert [finding.code for finding in found] == ["claims_conflict"]
    assert found[0].evidence["claims"] == [
        {"key": "key0", "family": "flux1"},
        {"key": "key1", "family": "sd1"},
    ]
    for agreeing in ((), ("sdxl",), ("sdxl", "sdxl"), ("wan", "wan_14b"), ("wan_14b", "wan"),
                     ("ssd_1b", "sdxl"), ("flux1", "chroma")):  # fmt: skip
        assert list(claims_findings(claims(*agreeing))) == []


@pytest.mark.parametrize(
    ("repeated", "family"),
    [
        ("lora_unet_unet_", "sd1"), ("lora_unet_lora_unet_", "sd1"), ("unet.unet.", "sd1"),
        ("lora_unet__orig_mod_", "sd1"), ("lora_unet_module_", "sd1"),
        ("lora_unet_model_diffusion_model_", "flux1"), ("lora_unet_diffusion_model_", "flux1"),
        ("diffusion_model.diffusion_model.", "flux1"), ("transformer.transformer.", "flux1"),
        ("base_model.model.base_model.model.", "flux1"), ("lora_transformer_transformer_", "flux1"),
        ("lycoris_unet_", "sd1"),
    ],
)  # fmt: skip
def test_a_repeated_prefix_is_named_and_read_through(repeated: str, family: str) -> None:
    naming = "diffusers" if family == "sd1" else "native"
    rows: Rows = {}
    for path, (out, wide, *_) in DENOISERS[family, naming]:
        name = repeated + (path if repeated.endswith(".") else path.replace(".", "_"))
        rows |= _pair(name, out, wide)
    found = inspect_bytes(safetensors(rows))
    assert found.anatomy is not None
    assert (found.anatomy.kind, found.anatomy.base.family) == ("adapter", family)
    named = [one for one in found.findings if one.code == "prefix_repeated"]
    assert [one.evidence["count"] for one in named] == [len(DENOISERS[family, naming])]
    assert f"`{repeated}`" in named[0].message


def test_a_repeated_prefix_of_a_text_encoder_is_named_too() -> None:
    layer = "text_model_encoder_layers_0_mlp_fc1"
    for prefix in ("lora_te1_lora_te1_", "lora_te_te_", "lora_te1_text_encoder_"):
        found = inspect_bytes(safetensors(_pair(f"{prefix}{layer}", 3072, 768)))
        assert "prefix_repeated" in [one.code for one in found.findings]


@pytest.mark.parametrize("name", DENOISERS)
def test_names_of_models_do_not_look_like_repeated_prefixes(name: tuple[str, str]) -> None:
    for write in (kohya, comfyui, diffusers):
        found = inspect_bytes(write(DENOISERS[name]))
        assert "prefix_repeated" not in [one.code for one in found.findings]
