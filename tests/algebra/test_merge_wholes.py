"""Merges of modules that are not the product of two factors, against dense updates."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from lorary.algebra.errors import AlgebraError
from lorary.algebra.files import WeightFile
from lorary.algebra.merging.merge import MergeSettings, merge
from lorary.algebra.modules import open_adapter
from tests.builders.factors import MODULES, UNET, Pair, distance, some_pairs, updates, write_pairs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Array = np.ndarray[Any, Any]
Parts = dict[str, Array]

LINEAR = f"{UNET}_attn1_to_q"
CONV = "lora_unet_down_blocks_1_resnets_0_conv1"
OUT, WIDTH = 24, 20
_random = np.random.default_rng(3)
WEIGHT = _random.standard_normal((OUT, WIDTH))
KERNEL = _random.standard_normal((12, 8, 3, 3))
_START = _random.bit_generator.state


@pytest.fixture(autouse=True)
def _same_numbers() -> None:
    """Draw the same numbers in every order of the tests."""
    _random.bit_generator.state = _START


def normal(*shape: int) -> Array:
    return _random.standard_normal(shape).astype(np.float32).astype(np.float64)


def loha() -> tuple[Parts, Array]:
    one, two = (normal(OUT, 3), normal(3, WIDTH)), (normal(OUT, 3), normal(3, WIDTH))
    parts = {"hada_w1_a": one[0], "hada_w1_b": one[1], "hada_w2_a": two[0], "hada_w2_b": two[1]}
    return parts | {"alpha": np.array(1.5)}, 0.5 * (one[0] @ one[1]) * (two[0] @ two[1])


def loha_core() -> tuple[Parts, Array]:
    parts: Parts = {}
    update = np.ones((12, 8, 3, 3))
    for side in "12":
        a, b, core = normal(3, 12), normal(2, 8), normal(3, 2, 3, 3)
        parts |= {f"hada_w{side}_a": a, f"hada_w{side}_b": b, f"hada_t{side}": core}
        update = update * np.einsum("ijyx,io,jc->ocyx", core, a, b)
    return parts | {"alpha": np.array(1.0)}, 0.5 * update.reshape(12, -1)


def lokr() -> tuple[Parts, Array]:
    one, a, b = normal(4, 5), normal(6, 2), normal(2, 4)
    parts = {"lokr_w1": one, "lokr_w2_a": a, "lokr_w2_b": b, "alpha": np.array(1.0)}
    return parts, 0.5 * np.kron(one, a @ b)


def lokr_whole() -> tuple[Parts, Array]:
    """LyCORIS ignores the alpha of two whole sides."""
    one, two = normal(4, 5), normal(6, 4)
    return {"lokr_w1": one, "lokr_w2": two, "alpha": np.array(8.0)}, np.kron(one, two)


def lokr_core() -> tuple[Parts, Array]:
    one, a, b, core = normal(3, 2), normal(2, 4), normal(2, 4), normal(2, 2, 3, 3)
    two = np.einsum("ijyx,io,jc->ocyx", core, a, b)
    parts = {"lokr_w1": one, "lokr_w2_a": a, "lokr_w2_b": b, "lokr_t2": core}
    update = np.einsum("op,qcyx->oqpcyx", one, two).reshape(12, 72)
    return parts | {"alpha": np.array(4.0)}, 2 * update


def difference() -> tuple[Parts, Array]:
    update = normal(OUT, WIDTH)
    return {"diff": update}, update


def dora_rows() -> tuple[Parts, Array]:
    down, up, size = normal(3, WIDTH), normal(OUT, 3), np.abs(normal(OUT, 1))
    after = WEIGHT + 2 / 3 * up @ down
    update = size * after / np.linalg.norm(after, axis=1, keepdims=True) - WEIGHT
    parts = {"lora_down.weight": down, "lora_up.weight": up, "dora_scale": size}
    return parts | {"alpha": np.array(2.0)}, update


def dora_columns() -> tuple[Parts, Array]:
    down, up, size = normal(3, 8, 3, 3), normal(12, 3, 1, 1), np.abs(normal(1, 8, 1, 1))
    after = KERNEL + np.einsum("or,rcyx->ocyx", up[:, :, 0, 0], down)
    norms = np.sqrt((after**2).sum(axis=(0, 2, 3), keepdims=True))
    parts = {"lora_down.weight": down, "lora_up.weight": up, "dora_scale": size}
    return parts, (size * after / norms - KERNEL).reshape(12, -1)


def dora_of_lokr() -> tuple[Parts, Array]:
    parts, product = lokr()
    size = np.abs(normal(OUT, 1))
    after = WEIGHT + product
    update = size * after / np.linalg.norm(after, axis=1, keepdims=True) - WEIGHT
    return parts | {"dora_scale": size}, update


def ia3_rows() -> tuple[Parts, Array]:
    vector = normal(OUT)
    return {"weight": vector, "on_input": np.array(0.0)}, vector[:, None] * WEIGHT


def ia3_columns() -> tuple[Parts, Array]:
    vector = normal(1, 8, 1, 1)
    return {"weight": vector, "on_input": np.array(1.0)}, (vector * KERNEL).reshape(12, -1)


ALONE = (loha, loha_core, lokr, lokr_whole, lokr_core, difference)
ON_BASE = (dora_rows, dora_columns, dora_of_lokr, ia3_rows, ia3_columns)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A checkpoint in diffusers' names with the weights of both modules."""
    block = "unet.down_blocks.1"
    weights = {
        f"{block}.attentions.0.transformer_blocks.0.attn1.to_q.weight": WEIGHT,
        f"{block}.resnets.0.conv1.weight": KERNEL,
        f"{block}.resnets.0.conv1.bias": np.ones(12),
    }
    return write_pairs(tmp_path / "base.safetensors", [], more=weights, dtype="F64")


@pytest.mark.parametrize("make", [*ALONE, *ON_BASE], ids=lambda one: one.__name__)
def test_a_sum_is_the_best_approximation_of_the_dense_one(
    tmp_path: Path, base: Path, make: Callable[[], tuple[Parts, Array]]
) -> None:
    parts, update = make()
    module = LINEAR if update.shape == (OUT, WIDTH) else CONV
    path = write_pairs(
        tmp_path / "a.safetensors",
        [],
        more={f"{module}.{role}": one for role, one in parts.items()},
    )
    shape = (OUT, WIDTH) if module == LINEAR else (12, 8, 3, 3)
    plain = write_pairs(
        tmp_path / "b.safetensors", some_pairs([module, MODULES[2]], [shape, (16, 16)])
    )
    out = tmp_path / "out.safetensors"
    total = 0.7 * update - 2 * updates(plain)[module]
    left, values, right = np.linalg.svd(total, full_matrices=False)
    for rank in (5, 64):
        settings = MergeSettings(max_rank=rank, base=base if make in ON_BASE else None)
        result = merge([path, plain], out, strengths=(0.7, -2), settings=settings)
        best = (left[:, :rank] * values[:rank]) @ right[:rank]
        assert distance(updates(out)[module], best) <= 1e-5
        (found,) = (one for one in result.modules if one.name == module)
        error = np.linalg.norm(values[rank:]) / np.linalg.norm(values)
        assert found.relative_error == pytest.approx(error, abs=1e-3)
        assert found.rank == min(rank, int((values > 1e-9).sum()))  # no column of zeros


def test_a_module_without_factors_gets_kohyas_names(tmp_path: Path) -> None:
    """The kernel of a convolution is that of the base model's table."""
    module = "lora_unet_down_blocks_1_resnets_0_conv1"  # of SD 1: 640 × 320 × 3 × 3
    sides = {"w1_a": (640, 2), "w1_b": (2, 2880), "w2_a": (640, 2), "w2_b": (2, 2880)}
    parts = {f"{module}.hada_{one}": normal(*shape) for one, shape in sides.items()}
    path = write_pairs(tmp_path / "a.safetensors", [], more=parts, dtype="F16")
    out = merge(
        [path], tmp_path / "out.safetensors", strengths=(1,), settings=MergeSettings(max_rank=2)
    ).out.path
    with WeightFile(out) as file:
        found = {name: (tensor.dtype, tensor.shape) for name, tensor in file.tensors.items()}
    assert found == {
        f"{module}.alpha": ("F16", ()),
        f"{module}.lora_down.weight": ("F16", (2, 320, 3, 3)),
        f"{module}.lora_up.weight": ("F16", (640, 2, 1, 1)),
    }


@pytest.mark.parametrize("mode", ["svd", "linear", "ties", "dare"])
def test_every_mode_takes_dense_updates(tmp_path: Path, mode: str) -> None:
    parts, update = loha()
    path = write_pairs(
        tmp_path / "a.safetensors",
        [],
        more={f"{LINEAR}.{role}": one for role, one in parts.items()},
    )
    settings = MergeSettings(mode=mode, max_rank=20, density=1.0)
    out = merge([path], tmp_path / "out.safetensors", strengths=(0.5,), settings=settings).out.path
    assert distance(updates(out)[LINEAR], 0.5 * update) <= 1e-5


def test_the_weights_of_a_fused_module_are_found_in_split_ones(tmp_path: Path) -> None:
    names = [f"transformer.transformer_blocks.0.attn.{one}" for one in ("to_q", "to_k", "to_v")]
    weights = {f"{name}.weight": normal(16, 16) for name in names}
    base = write_pairs(tmp_path / "base.safetensors", [], more=weights)
    module = "lora_unet_double_blocks_0_img_attn_qkv"
    down, up, size = normal(2, 16), normal(48, 2), np.abs(normal(48, 1))
    path = write_pairs(
        tmp_path / "a.safetensors",
        [Pair(module, down, up, 2.0)],
        more={f"{module}.dora_scale": size},
    )
    settings = MergeSettings(max_rank=16, base=base, family="flux1")
    out = merge([path], tmp_path / "out.safetensors", strengths=(1,), settings=settings).out.path
    with WeightFile(out) as file:
        assert '"base":"base.safetensors"' in file.metadata["lorary.operation"]
    whole = np.concatenate([*weights.values()])
    after = whole + up @ down
    update = size * after / np.linalg.norm(after, axis=1, keepdims=True) - whole
    assert distance(updates(out)[module], update) <= 1e-5


PEFT = "base_model.model.down_blocks.1.attentions.0.transformer_blocks.0"
PEFT_ENDINGS = (".lora_A.weight", ".lora_B.weight")
PLAIN = {f"{PEFT}.{one}{end}" for one in ("attn1.to_q", "attn1.to_k") for end in PEFT_ENDINGS}


def in_peft(parts: Parts) -> Parts:
    return {f"{PEFT}.attn1.to_q.{role}": one for role, one in parts.items() if role != "alpha"}


@pytest.mark.parametrize("make", [loha, difference], ids=lambda one: one.__name__)
def test_names_of_peft_stay_those_of_peft(
    tmp_path: Path, make: Callable[[], tuple[Parts, Array]]
) -> None:
    parts, update = make()
    scale = 2 if make is loha else 1  # without alpha
    path = write_pairs(tmp_path / "a.safetensors", [], more=in_peft(parts))
    pairs = some_pairs([f"{PEFT}.attn1.to_k"], [(OUT, WIDTH)], alpha=None)
    plain = write_pairs(tmp_path / "b.safetensors", pairs, suffixes=PEFT_ENDINGS)
    for number, files in enumerate(([path, plain], [plain, path])):
        out = merge(
            files,
            tmp_path / f"{number}.safetensors",
            strengths=(0.5, 0.5),
            settings=MergeSettings(max_rank=WIDTH),
        ).out.path
        with WeightFile(out) as file:
            assert set(file.tensors.names) == PLAIN
        assert distance(updates(out)[f"{PEFT}.attn1.to_q"], 0.5 * scale * update) <= 1e-5
        expected = 0.5 * updates(plain)[f"{PEFT}.attn1.to_k"]
        assert distance(updates(out)[f"{PEFT}.attn1.to_k"], expected) <= 1e-5
    (tmp_path / "adapter_config.json").write_text('{"peft_type": "LORA", "r": 4, "lora_alpha": 9}')
    with pytest.raises(AlgebraError) as caught:
        merge(
            [path],
            tmp_path / "adapter_model.safetensors",
            strengths=(1,),
            settings=MergeSettings(max_rank=4),
        )
    assert caught.value.code == "config_exists"


@pytest.mark.parametrize("to", ["peft", "diffusers"])
def test_a_merge_of_loha_is_written_in_names_that_have_no_loha(tmp_path: Path, to: str) -> None:
    parts, update = loha()
    path = write_pairs(
        tmp_path / "a.safetensors",
        some_pairs([f"{UNET}_attn1_to_k"], [(OUT, WIDTH)]),
        more={f"{LINEAR}.{role}": one for role, one in parts.items()},
    )
    settings = MergeSettings(max_rank=WIDTH, to=to, family="sd1")
    out = tmp_path / "new" / "adapter_model.safetensors"
    out.parent.mkdir()
    merge([path], out, strengths=(0.5,), settings=settings)
    prefix = PEFT if to == "peft" else PEFT.replace("base_model.model", "unet")
    with WeightFile(out) as file:
        assert set(file.tensors.names) == {one.replace(PEFT, prefix) for one in PLAIN}
    with open_adapter(out) as adapter:
        found = adapter.modules[f"{prefix}.attn1.to_q"]
        up, down, scale = adapter.factors(found)
        assert distance(scale * up @ down, 0.5 * update) <= 1e-5
        up, down, scale = adapter.factors(adapter.modules[f"{prefix}.attn1.to_k"])
        assert distance(scale * up @ down, 0.5 * updates(path)[f"{UNET}_attn1_to_k"]) <= 1e-5
    names = {"adapter_model.safetensors", *(["adapter_config.json"] if to == "peft" else [])}
    assert {one.name for one in out.parent.iterdir()} == names


def test_dora_of_peft_is_not_written_beside_its_configuration(tmp_path: Path, base: Path) -> None:
    parts = {
        "lora_A.weight": normal(3, WIDTH),
        "lora_B.weight": normal(OUT, 3),
        "lora_magnitude_vector": np.abs(normal(OUT)),
    }
    folder, other = tmp_path / "dora", tmp_path / "merged"
    for one in (folder, other):
        one.mkdir()
    path = write_pairs(folder / "adapter_model.safetensors", [], more=in_peft(parts))
    config = {"peft_type": "LORA", "r": 3, "lora_alpha": 6, "use_dora": True}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    settings = MergeSettings(max_rank=WIDTH, base=base)
    with pytest.raises(AlgebraError) as caught:
        merge([path], folder / "adapter_model_2.safetensors", strengths=(1,), settings=settings)
    assert caught.value.code == "config_exists"
    out = merge([path], other / "out.safetensors", strengths=(1,), settings=settings).out.path
    after = WEIGHT + 2 * parts["lora_B.weight"] @ parts["lora_A.weight"]
    norms = np.linalg.norm(after, axis=1, keepdims=True)
    update = parts["lora_magnitude_vector"][:, None] * after / norms - WEIGHT
    assert distance(updates(out)[f"{PEFT}.attn1.to_q"], update) <= 1e-5


def test_differences_of_biases_and_norms_are_summed(tmp_path: Path) -> None:
    one, two, norm, plain = normal(24), normal(24), normal(8), normal(8)
    first = write_pairs(
        tmp_path / "a.safetensors", some_pairs(), more={f"{MODULES[0]}.diff_b": one}
    )
    second = write_pairs(
        tmp_path / "b.safetensors",
        some_pairs(seed=1),
        more={
            f"{MODULES[0]}.diff_b": two,
            "lora_unet_norm.w_norm": norm,
            "lora_unet_norm2.diff": plain,
            "lora_unet_norm3.w_norm": normal(0),
        },
    )
    out = merge([first, second], tmp_path / "out.safetensors", strengths=(0.5, -2)).out.path
    with WeightFile(out) as file:
        assert np.allclose(file.array(f"{MODULES[0]}.diff_b"), 0.5 * one - 2 * two, rtol=1e-6)
        assert np.allclose(file.array("lora_unet_norm.w_norm"), -2 * norm, rtol=1e-6)
        assert np.allclose(file.array("lora_unet_norm2.diff"), -2 * plain, rtol=1e-6)
        assert file.tensors["lora_unet_norm3.w_norm"].shape == (0,)
    wide = write_pairs(
        tmp_path / "c.safetensors", some_pairs(), more={f"{MODULES[0]}.diff_b": normal(23)}
    )
    with pytest.raises(AlgebraError, match=r"24 in .* and 23") as caught:
        merge([first, wide], tmp_path / "out.safetensors", strengths=(1, 1))
    assert caught.value.code == "modules_differ"


def test_what_is_missing_is_said(tmp_path: Path, base: Path, subtests: pytest.Subtests) -> None:
    def write(name: str, make: Callable[[], tuple[Parts, Array]], module: str = LINEAR) -> Path:
        parts = {f"{module}.{role}": one for role, one in make()[0].items()}
        return write_pairs(tmp_path / f"{name}.safetensors", [], more=parts)

    loha_file, dora, ia3 = write("loha", loha), write("dora", dora_rows), write("ia3", ia3_rows)
    elsewhere = write("elsewhere", dora_rows, f"{UNET}_attn2_to_q")
    broken = write("broken", lambda: (loha()[0] | {"hada_w2_b": normal(3, 21)}, WEIGHT))
    oft = write_pairs(
        tmp_path / "oft.safetensors", [], more={f"{LINEAR}.oft_blocks": normal(4, 6, 6)}
    )
    other = write_pairs(
        tmp_path / "other.safetensors",
        [],
        more={
            "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q.weight": normal(24, 9)
        },
    )
    for path, settings, code, words in (
        (loha_file, {}, "no_factors", r"LoHa.*--max-rank"),
        (dora, {}, "no_factors", r"DoRA.*with a largest rank .--max-rank. and .*--base"),
        (dora, {"max_rank": 4}, "no_factors", r"DoRA.*with the base model .--base"),
        (ia3, {}, "no_factors", r"IA.*--max-rank. and .*--base"),
        (
            elsewhere,
            {"max_rank": 4, "base": base},
            "base_unfit",
            r"base\.safetensors has no weight",
        ),
        (dora, {"max_rank": 4, "base": other}, "base_unfit", r"24 × 20.*24 × 9"),
        (broken, {"max_rank": 4}, "shape_invalid", "don't fit"),
        (oft, {"max_rank": 4, "base": base}, "no_factors", "OFT"),
    ):
        with subtests.test(words):
            with pytest.raises(AlgebraError, match=words) as caught:
                merge(
                    [path],
                    tmp_path / "out.safetensors",
                    strengths=(1,),
                    settings=MergeSettings(**settings),
                )
            assert caught.value.code == code
    assert not (tmp_path / "out.safetensors").exists()
