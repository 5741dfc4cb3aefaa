"""Adaptation methods of modules and of files, over names made in code."""

from __future__ import annotations

import json

import pytest

from lorary.anatomy.claims.config import AdapterConfig
from lorary.anatomy.keys.algorithms import (
    ALGORITHM_TITLES,
    algorithm_title,
    file_algorithm,
    is_complete,
)
from tests.builders.modules import DOWN_UP, LYCORIS, Shapes, one, pairs, scanned

Q = "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q"
K = Q.replace("to_q", "to_k")
NORM = "lora_unet_down_blocks_1_attentions_0_norm"
CONV = "lora_unet_down_blocks_1_resnets_0_conv2"
PAIR: Shapes = {".lora_A.weight": (4, 640), ".lora_B.weight": (640, 4)}
MAGNITUDE: Shapes = {".lora_magnitude_vector": (640,)}
LOHA: Shapes = {f".hada_{name}": (64, 64) for name in ("w1_a", "w1_b", "w2_a", "w2_b")}
LOKR: Shapes = {".lokr_w1": (8, 8), ".lokr_w2": (80, 80)}
GLORA: Shapes = {
    ".a1.weight": (64, 4),
    ".a2.weight": (4, 64),
    ".b1.weight": (64, 4),
    ".b2.weight": (4, 64),
}
KERNEL: Shapes = {".lora_down.weight": (4, 8, 3, 3), ".lora_up.weight": (8, 4, 1, 1)}
TUCKER: Shapes = {
    ".lora_down.weight": (4, 8),
    ".lora_mid.weight": (4, 4, 3, 3),
    ".lora_up.weight": (8, 4),
}


def told(shapes: Shapes) -> tuple[str | None, dict[str, int]]:
    return file_algorithm(scanned(shapes).modules, {})


@pytest.mark.parametrize(
    ("leading", "algorithms", "shapes"),
    [
        ("lora", {"lora": 1}, one(Q, PAIR)),
        ("lora", {"lora": 1}, pairs([Q], DOWN_UP)),
        ("lora", {"lora": 1}, one(Q, PAIR | {".alpha": ()})),
        ("dora", {"lora": 1, "dora": 1}, one(Q, PAIR | MAGNITUDE)),
        ("dora", {"lora": 1, "dora": 1}, one(Q, PAIR | {".lora_magnitude_vector.weight": (640,)})),
        ("dora", {"lora": 1, "dora": 1}, one(Q, PAIR | {".dora_scale": (1, 640)})),
        ("dora", {"lora": 1, "dora": 1}, one(Q, PAIR | {".dora_scale": (640, 1)})),
        ("lora", {"lora": 3, "dora": 1}, pairs([K, f"{K}2"]) | one(Q, PAIR | MAGNITUDE)),
        ("loha", {"loha": 1}, one(Q, LOHA)),
        ("loha+dora", {"loha": 1, "dora": 1}, one(Q, LOHA | {".dora_scale": (64, 1)})),
        ("lokr", {"lokr": 1}, one(Q, LOKR)),
        ("lokr+dora", {"lokr": 1, "dora": 1}, one(Q, LOKR | {".dora_scale": (640, 1)})),
        ("glora", {"glora": 1}, one(Q, GLORA)),
        ("glora", {"glora": 1}, one(Q, {".glora_A.Xd": (64, 8), ".glora_A.Xu": (8, 64)})),
        ("oft", {"oft": 1}, one(Q, {".oft_blocks": (4, 160, 160)})),
        ("oft", {"oft": 1}, one(Q, {".oft_diag": (4, 160, 160)})),
        ("oft", {"oft": 1}, one(Q, {".oft_R.weight": (8, 28)})),
        ("boft", {"boft": 1}, one(Q, {".alpha": (), ".oft_blocks": (3, 4, 160, 160)})),
        ("boft", {"boft": 1}, one(Q, {".boft_R": (1, 16, 4, 4), ".boft_s": (64, 1)})),
        (
            "tlora",
            {"tlora": 1},
            one(
                Q, {".q_layer.weight": (4, 64), ".p_layer.weight": (64, 4), ".lambda_layer": (1, 4)}
            ),
        ),
        (
            "shadow",
            {"shadow": 1},
            one(
                "l", {".shadow_down.default.weight": (4, 64), ".shadow_up.default.weight": (64, 4)}
            ),
        ),
        ("ia3", {"ia3": 1}, one(Q, {".ia3_l": (640, 1)})),
        ("ia3", {"ia3": 1}, one(Q, {".weight": (640, 1), ".on_input": ()})),
        ("full", {"full": 1, "bias": 1}, one(Q, {".diff": (640, 640), ".diff_b": (640,)})),
        ("full", {"bias": 1}, one(Q, {".diff_b": (640,)})),
        ("full", {"modulation": 1}, one("diffusion_model.blocks.0", {".diff_m": (1, 6, 5120)})),
        ("norm", {"norm": 1}, one(NORM, {".w_norm": (640,), ".b_norm": (640,)})),
        ("lora+norm", {"lora": 1, "norm": 1}, one(Q, PAIR) | one(NORM, {".w_norm": (640,)})),
        ("lora+diff_b", {"lora": 1, "bias": 1}, one(Q, PAIR | {".diff_b": (640,)})),
        ("lora+diff", {"lora": 1, "full": 1}, one(Q, PAIR) | one(f"{Q}_norm", {".diff": (640,)})),
        (
            "lora+diff",
            {"lora": 1, "modulation": 1},
            one(Q, PAIR) | one("blocks.0", {".diff_m": (6,)}),
        ),
        ("loha+norm", {"loha": 1, "norm": 1}, one(Q, LOHA) | one(NORM, {".w_norm": (640,)})),
        ("lora_bias", {"lora": 1}, one(Q, PAIR | {".lora_B.bias": (640,)})),
        (
            "lora_embed",
            {"lora": 2},
            one(Q, PAIR) | one("e", {".lora_embedding_A": (4, 9), ".lora_embedding_B": (6, 4)}),
        ),
        (
            "lora_trainable_tokens",
            {"lora": 1, "trainable_tokens": 1},
            one(Q, PAIR) | {"embed_tokens.token_adapter.trainable_tokens_delta": (2, 64)},
        ),
        (
            "trainable_tokens",
            {"trainable_tokens": 1},
            {"embed_tokens.trainable_tokens_delta": (2, 64)},
        ),
        (
            "adalora",
            {"adalora": 1},
            one(Q, {".lora_A": (4, 64), ".lora_B": (64, 4), ".lora_E": (4, 1)}),
        ),
        ("prompt_tuning", {"prompt_tuning": 1}, {"prompt_embeddings": (4, 64)}),
        (
            "multitask_prompt_tuning",
            {"multitask_prompt_tuning": 1},
            {
                "prompt_embeddings": (4, 64),
                "prefix_task_cols": (2, 4, 1),
                "prefix_task_rows": (2, 1, 64),
            },
        ),
        (
            "vera",
            {"vera": 1},
            one(Q, {".vera_lambda_b": (64,), ".vera_lambda_d": (8,)})
            | {"base_model.vera_A": (8, 64)},
        ),
        ("unilora", {"unilora": 1}, {"base_model.unilora_theta_d": (256,)}),
        ("xlora", {"xlora": 1}, {"internal_xlora_classifier.last.weight": (8, 8)}),
        (
            "lora",
            {"lora": 2, "bfl-control": 1},
            pairs(["img_in", "double_blocks.0.img_attn.qkv"])
            | {"img_in.lora_B.bias": (8,), "double_blocks.0.img_attn.qkv.lora_B.bias": (8,)}
            | {"double_blocks.0.img_attn.norm.key_norm.scale": (128,)},
        ),
        (None, {}, {"lora_unet_a.alpha": ()}),
        (None, {}, {}),
    ],
)
def test_the_algorithm_of_a_file_is_told(
    leading: str | None, algorithms: dict[str, int], shapes: Shapes
) -> None:
    assert told(shapes) == (leading, algorithms)


@pytest.mark.parametrize("mark", [CONV, f"{CONV}_emb_layers_1", "lora_unet_conv_in"])
def test_lora_on_convolutions_is_locon_in_kohyas_world(mark: str) -> None:
    shapes = pairs([mark], LYCORIS) | pairs(["lora_unet_a_attn1_to_q"], LYCORIS)
    assert told(shapes) == ("locon", {"locon": 2})


@pytest.mark.parametrize("suffixes", [KERNEL, TUCKER])
def test_kernels_and_cores_make_a_locon_too(suffixes: Shapes) -> None:
    assert told(one("lora_unet_a_attn1_to_q", suffixes))[0] == "locon"
    assert told(one("lycoris_a_attn1_to_q", suffixes))[0] == "locon"


def test_cores_make_a_locon_everywhere() -> None:
    assert told(one("diffusion_model.a.attn1.to_q", TUCKER))[0] == "locon"


def test_lora_on_convolutions_stays_lora_elsewhere() -> None:
    kernel = {".lora_A.weight": (4, 8, 3, 3), ".lora_B.weight": (8, 4, 1, 1)}
    assert told(one("unet.down_blocks.1.resnets.0.conv2", kernel)) == ("lora", {"lora": 1})


def test_the_order_of_algorithms_is_by_modules() -> None:
    shapes = pairs([Q, K]) | one(f"{K}2", LOKR) | one(NORM, {".w_norm": (640,)})
    leading, algorithms = told(shapes)
    assert leading == "lora+norm"
    assert list(algorithms) == ["lora", "lokr", "norm"]


def _declared(**fields: object) -> dict[str, str]:
    return {"lora_adapter_metadata": json.dumps({f"unet.{k}": v for k, v in fields.items()})}


@pytest.mark.parametrize(
    ("algorithm", "metadata"),
    [
        ("dylora", {"ss_network_module": "networks.dylora"}),
        ("dylora", {"ss_network_args": '{"algo": "dylora"}'}),
        ("rslora", {"ss_network_args": '{"rs_lora": "True"}'}),
        ("rslora", _declared(r=4, use_rslora=True)),
        ("alora", _declared(r=4, alora_invocation_tokens=[5, 6])),
        ("lora", _declared(r=4, use_rslora=False, alora_invocation_tokens=None)),
        ("lora", _declared(r=4, use_dora=True)),
        ("lora", {"lora_adapter_metadata": "[1", "ss_network_args": "7"}),
    ],
)
def test_metadata_tells_what_no_tensor_does(algorithm: str, metadata: dict[str, str]) -> None:
    lora = scanned(pairs([Q])).modules
    assert file_algorithm(lora, metadata) == (algorithm, {"lora": 1})
    loha = scanned(one(Q, LOHA)).modules
    assert file_algorithm(loha, metadata) == ("loha", {"loha": 1})


def _config(**fields: object) -> AdapterConfig:
    return AdapterConfig.parse(json.dumps({"peft_type": "LORA"} | fields).encode())


@pytest.mark.parametrize(
    ("algorithm", "config"),
    [
        ("lora", _config()),
        ("rslora", _config(use_rslora=True)),
        ("alora", _config(alora_invocation_tokens=[5, 6])),
        ("lora_pattern", _config(rank_pattern={"to_q": 4})),
    ],
)
def test_the_config_tells_what_no_tensor_does(algorithm: str, config: AdapterConfig) -> None:
    assert file_algorithm(scanned(pairs([Q])).modules, {}, config)[0] == algorithm


@pytest.mark.parametrize(
    ("peft_type", "algorithm"),
    [
        ("P_TUNING", "p_tuning"),
        ("PREFIX_TUNING", "prefix_tuning"),
        ("PROMPT_TUNING", "prompt_tuning"),
        ("CPT", "cpt"),
    ],
)
def test_the_config_tells_prompt_methods_apart(peft_type: str, algorithm: str) -> None:
    prompt = scanned({"prompt_embeddings": (4, 64)}).modules
    assert file_algorithm(prompt, {}, _config(peft_type=peft_type))[0] == algorithm
    assert (
        file_algorithm(scanned(pairs([Q])).modules, {}, _config(peft_type=peft_type))[0] == "lora"
    )


@pytest.mark.parametrize(
    ("suffixes", "algorithm"),
    [
        (PAIR, "lora"),
        (PAIR | MAGNITUDE, "dora"),
        (LOHA, "loha"),
        (LOKR, "lokr"),
        ({".lokr_w1_a": (8, 2), ".lokr_w1_b": (2, 8), ".lokr_w2": (8, 8)}, "lokr"),
        (LOKR | {".dora_scale": (640, 1)}, "dora"),
        (GLORA, "glora"),
        ({".weight": (640, 1), ".on_input": ()}, "ia3"),
        ({".lora_A": (4, 64), ".lora_B": (64, 4), ".lora_E": (4, 1)}, "adalora"),
        ({".vera_lambda_b": (64,), ".vera_lambda_d": (8,)}, "vera"),
        ({".boft_R": (1, 16, 4, 4), ".boft_s": (64, 1)}, "boft"),
        ({".hira_A": (4, 64), ".hira_B": (64, 4)}, "hira"),
        ({".adaption_prompt": (1, 4, 64), ".adaption_gate": (1,)}, "adaption_prompt"),
    ],
)
def test_a_module_is_whole_with_all_its_tensors_only(suffixes: Shapes, algorithm: str) -> None:
    whole = scanned(one(Q, suffixes)).modules[0]
    assert is_complete(algorithm, whole.roles)
    for missing in whole.roles:
        rest = {role: tensor for role, tensor in whole.roles.items() if role != missing}
        assert not is_complete(algorithm, rest), missing


def test_parts_of_fused_modules_are_whole_pairs() -> None:
    names = ["single_blocks.0.processor.qkv_lora", "single_blocks.0.processor.proj_lora"]
    modules = scanned(pairs(names, (".down.weight", ".up.weight"))).modules
    assert all(is_complete("lora", module.roles) for module in modules)


def test_names_without_a_suffix_are_no_whole_pair() -> None:
    module = scanned({"lora_unet_mid_block_proj": (8, 8)}).modules[0]
    assert module.algorithms == ("lora",)
    assert not is_complete("lora", module.roles)


def test_algorithms_have_names_for_people() -> None:
    assert algorithm_title("lora") == "LoRA"
    assert algorithm_title("lokr+dora") == "LoKr with DoRA"
    assert algorithm_title("loha+dora+norm") == "LoHa with DoRA and norm layers"
    assert algorithm_title("brand_new") == "brand_new"
    assert all(ALGORITHM_TITLES.values())
