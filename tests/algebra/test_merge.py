"""Merging stacks, in every mode."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lorary.algebra.errors import AlgebraError
from lorary.algebra.files import WeightFile
from lorary.algebra.merging.merge import MergeSettings, merge
from lorary.algebra.merging.modes import dare, dare_mask, ties
from lorary.algebra.metadata.rules import operation_on
from lorary.algebra.resize import resize_to_rank
from tests.builders.factors import (
    MODULES,
    SHAPES,
    Pair,
    distance,
    some_pairs,
    updates,
    write_pairs,
)

STRENGTHS = (0.8, -0.5, 0.3)
Updates = dict[str, np.ndarray[Any, Any]]


@pytest.fixture
def stack(tmp_path: Path) -> list[Path]:
    """Three files of different ranks and alphas; the last one lacks a module and its alphas."""
    return [
        write_pairs(tmp_path / "a.safetensors", some_pairs(rank=4, alpha=2)),
        write_pairs(tmp_path / "b.safetensors", some_pairs(rank=3, alpha=3, seed=1)),
        write_pairs(
            tmp_path / "c.safetensors",
            some_pairs(MODULES[1:], SHAPES[1:], rank=2, alpha=None, seed=2),
        ),
    ]


def _sum(paths: list[Path], strengths: tuple[float, ...] = STRENGTHS) -> Updates:
    total: Updates = {}
    for path, strength in zip(paths, strengths, strict=True):
        for name, update in updates(path).items():
            total[name] = total.get(name, 0) + strength * update
    return total


def _merged(paths: list[Path], **settings: Any) -> tuple[Updates, float]:
    out = paths[0].with_name("out.safetensors")
    result = merge(paths, out, strengths=STRENGTHS, settings=MergeSettings(**settings))
    return updates(out), result.max_relative_error


@pytest.mark.parametrize("mode", ["concat", "linear"])
def test_the_sum_is_exact_for_mixed_ranks_and_alphas(stack: list[Path], mode: str) -> None:
    found, error = _merged(stack, mode=mode)
    expected = _sum(stack)
    assert found.keys() == expected.keys()
    for name, update in expected.items():
        assert distance(found[name], update) <= 1e-6
    assert error <= 1e-6


def test_the_family_of_a_single_file_is_not_asked_for(
    stack: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr("lorary.algebra.merging.merge.common_families")
    out = stack[0].with_name("out.safetensors")
    for strength in (1, 0.5):
        merge(stack[:1], out, strengths=[strength])
        assert distance(updates(out)[MODULES[0]], strength * updates(stack[0])[MODULES[0]]) < 1e-6


def test_concatenation_keeps_the_factors_of_the_strongest_file(stack: list[Path]) -> None:
    _merged(stack)
    name = MODULES[1]  # strength · scale is 0.4, -0.5 and 0.3
    with WeightFile(stack[0].with_name("out.safetensors")) as out, WeightFile(stack[1]) as strong:
        assert out.tensors[f"{name}.lora_down.weight"].shape == (9, 32)
        for role, cut in (("down", np.s_[4:7]), ("up", np.s_[:, 4:7])):
            tensor = f"{name}.lora_{role}.weight"
            sign = -1 if role == "up" else 1
            assert (out.array(tensor)[cut] == sign * strong.array(tensor)).all()
        assert float(out.array(f"{name}.alpha")) == 0.5 * 9  # loaders expect no negative alpha


def test_weak_parts_do_not_make_the_others_overflow(tmp_path: Path) -> None:
    paths = [
        write_pairs(tmp_path / f"{seed}.safetensors", some_pairs(seed=seed), dtype="F16")
        for seed in (0, 1)
    ]
    out = tmp_path / "out.safetensors"
    merge(paths, out, strengths=(1e-6, 1))
    for name, update in _sum(paths, (1e-6, 1)).items():
        assert distance(updates(out)[name], update) <= 1e-6


def test_a_result_that_overflows_leaves_no_folder(tmp_path: Path) -> None:
    pairs = some_pairs(seed=0)
    bias = {f"{pairs[0].name}.diff_b": np.ones(len(pairs[0].up))}
    source = write_pairs(tmp_path / "one.safetensors", pairs, more=bias)
    (tmp_path / "old").mkdir()
    settings = MergeSettings(mode="linear", dtype="F16")
    for folder in ("old", "new"):
        out = tmp_path / folder / "deep" / "out.safetensors"
        with pytest.raises(AlgebraError) as caught:
            merge([source, source], out, strengths=(1e6, 1), settings=settings)
        assert caught.value.code == "overflow"
    assert not (tmp_path / "new").exists()
    assert [*(tmp_path / "old").iterdir()] == []


def test_linear_needs_no_rank_for_what_the_files_share(stack: list[Path]) -> None:
    twin = stack[0].with_name("twin.safetensors")
    twin.write_bytes(stack[0].read_bytes())
    out = twin.with_name("out.safetensors")
    settings = MergeSettings(mode="linear")
    result = merge([stack[0], twin], out, strengths=(0.75, 0.5), settings=settings)
    assert [module.rank for module in result.modules] == [4, 4, 4]
    for name, update in updates(stack[0]).items():
        assert distance(updates(out)[name], 1.25 * update) <= 1e-6


def test_svd_and_a_largest_rank_give_the_best_approximation(stack: list[Path]) -> None:
    for settings, ranks in (({"mode": "svd"}, (4, 4, 4)), ({"max_rank": 5}, (5, 5, 5))):
        found, error = _merged(stack, **settings)
        errors = []
        for (name, update), rank in zip(_sum(stack).items(), ranks, strict=True):
            left, values, right = np.linalg.svd(update, full_matrices=False)
            assert distance(found[name], (left[:, :rank] * values[:rank]) @ right[:rank]) <= 1e-6
            errors.append(np.linalg.norm(values[rank:]) / np.linalg.norm(values))
        assert error == pytest.approx(max(errors), rel=1e-6)


def test_one_file_with_strength_1_keeps_its_tensors(tmp_path: Path, stack: list[Path]) -> None:
    half = write_pairs(tmp_path / "half.safetensors", some_pairs(), dtype="F16")
    for path in (half, stack[2]):
        out = merge([path, stack[1]], tmp_path / "out", strengths=(1, 0)).out.path
        with WeightFile(path) as before, WeightFile(out) as after:
            assert set(before.tensors) == set(after.tensors)
            assert all(before.raw(name) == after.raw(name) for name in before.tensors)


def test_whole_numbers_as_strengths_give_the_same_bytes(stack: list[Path], tmp_path: Path) -> None:
    first, second = tmp_path / "first.safetensors", tmp_path / "second.safetensors"
    merge(stack[:2], first, strengths=[1, -0.5])
    merge(stack[:2], second, strengths=[1.0, -0.5])
    assert first.read_bytes() == second.read_bytes()


def test_ties_follows_its_formula() -> None:
    random = np.random.default_rng(0)
    deltas = [random.standard_normal((6, 7)).astype(np.float32) for _ in range(3)]
    found = ties(deltas, STRENGTHS, 0.5)
    trimmed = []
    for delta, strength in zip(deltas, STRENGTHS, strict=True):
        order = np.argsort(-np.abs(delta).ravel())
        kept = np.zeros(42, bool)
        kept[order[:21]] = True
        trimmed.append(np.where(kept.reshape(6, 7), delta * np.float32(strength), 0))
    for place in np.ndindex(6, 7):
        values = [float(one[place]) for one in trimmed]
        sign = np.sign(sum(values))
        agreeing = [value for value in values if value and np.sign(value) == sign]
        expected = sum(agreeing) / len(agreeing) if agreeing else 0
        assert found[place] == pytest.approx(expected, abs=1e-6)


def test_dare_follows_its_formula() -> None:
    random = np.random.default_rng(0)
    deltas = [random.standard_normal((40, 50)).astype(np.float32) for _ in range(2)]
    masks = [dare_mask((40, 50), 0.25, seed=7, name="m", number=number) for number in (0, 1)]
    assert not (masks[0] == masks[1]).all()
    assert [mask.mean() for mask in masks] == pytest.approx([0.25, 0.25], abs=0.04)
    expected = sum(
        strength * mask * delta / 0.25
        for strength, mask, delta in zip((0.8, -0.5), masks, deltas, strict=True)
    )
    assert np.allclose(dare(deltas, (0.8, -0.5), 0.25, masks), expected, atol=1e-5)


@pytest.mark.parametrize("mode", ["ties", "dare"])
def test_modes_on_elements_store_their_formula(stack: list[Path], mode: str) -> None:
    found, error = _merged(stack, mode=mode, density=0.6, seed=3, max_rank=30)
    files = [updates(path) for path in stack]
    for name in MODULES:
        have = [number for number, own in enumerate(files) if name in own]
        deltas = [files[number][name].astype(np.float32) for number in have]
        weights = [STRENGTHS[number] for number in have]
        if mode == "ties":
            expected = ties(deltas, weights, 0.6)
        else:
            masks = [
                dare_mask(deltas[0].shape, 0.6, seed=3, name=name, number=number) for number in have
            ]
            expected = dare(deltas, weights, 0.6, masks)
        # Without `max_rank` the factors have the ranks of the parts; here that is not enough.
        left, values, right = np.linalg.svd(expected, full_matrices=False)
        rank = min(sum((4, 3, 2)[number] for number in have), 30)
        assert distance(found[name], (left[:, :rank] * values[:rank]) @ right[:rank]) <= 1e-5
    assert 0 < error < 1


def test_dare_depends_on_its_seed_alone(stack: list[Path]) -> None:
    digests = [
        merge(
            stack,
            stack[0].with_name("out.safetensors"),
            strengths=STRENGTHS,
            settings=MergeSettings(mode="dare", seed=seed),
        ).out.sha256
        for seed in (1, 1, 2)
    ]
    assert digests[0] == digests[1] != digests[2]


def test_merged_metadata_has_the_origin_and_no_training(stack: list[Path], tmp_path: Path) -> None:
    shared = {
        "modelspec.architecture": "stable-diffusion-v1/lora",
        "ss_base_model_version": "sd_v1",
    }
    paths = [
        write_pairs(
            tmp_path / f"{name}.safetensors",
            some_pairs(seed=number),
            metadata={**shared, "ss_steps": "9", "modelspec.author": name},
        )
        for number, name in enumerate("xy")
    ]
    out = merge(paths, tmp_path / "out.safetensors", strengths=(0.5, 1)).out.path
    with WeightFile(out) as file:
        found = dict(file.metadata)
    assert found.pop("modelspec.hash_sha256").startswith("0x")
    assert json.loads(found.pop("lorary.operation")) == {
        "operation": "merge",
        "mode": "concat",
        "parts": [
            {"file": "x.safetensors", "strength": 0.5}, {"file": "y.safetensors", "strength": 1}
        ],
    }  # fmt: skip
    assert found == {
        **shared,
        "modelspec.sai_model_spec": "1.0.1",
        "modelspec.title": "x + y",
        "modelspec.merged_from": "x.safetensors, y.safetensors",
    }


def test_a_resized_merge_keeps_its_origin(stack: list[Path], tmp_path: Path) -> None:
    merged = merge(stack, tmp_path / "out.safetensors", strengths=STRENGTHS).out.path
    resized = resize_to_rank(merged, tmp_path / "small.safetensors", rank=2).out.path
    with WeightFile(merged) as before, WeightFile(resized) as after:
        source = json.loads(before.metadata["lorary.operation"])
        found = json.loads(after.metadata["lorary.operation"])
    assert found == {"operation": "resize", "max_rank": 2, "source": source}


@pytest.mark.parametrize("depth", [100, 990, 100_000])
def test_operations_of_any_depth_are_read_or_left_out(depth: int) -> None:
    deep = '{"source":' * depth + "{}" + "}" * depth
    found = operation_on({"lorary.operation": deep}, {"operation": "resize"})
    assert found.startswith('{"operation":"resize"')
    if depth != 990:  # there it depends on the stack of the caller
        assert ('"source"' in found) == (depth == 100)


def test_one_module_with_two_names_is_merged_or_refused(
    tmp_path: Path, subtests: pytest.Subtests
) -> None:
    encoder = "lora_te_text_model_encoder_layers_0_self_attn_q_proj"
    first = {
        "sgm": "lora_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_q",
        "fused": "lora_unet_double_blocks_0_img_attn_qkv",
        "flat": "lora_unet_blocks_0_self_attn_q",
    }
    second = {
        "sgm": "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn1_to_q",
        "fused": "lora_unet_transformer_blocks_0_attn_to_q",
        "flat": "lora_unet__blocks_0_self_attn_q",
    }
    out = tmp_path / "out.safetensors"
    for kind, name in first.items():
        paths = [
            write_pairs(tmp_path / str(number), some_pairs([own, encoder], [(8, 8), (8, 8)]))
            for number, own in enumerate((name, second[kind]))
        ]
        with subtests.test(kind):
            if kind == "fused":  # a fused projection has three times as many rows
                with pytest.raises(AlgebraError, match="can't be converted to the naming kohya"):
                    merge(paths, out, strengths=(1, 1))
                continue
            family = {"sgm": "sdxl"}.get(kind)
            merge(paths, out, strengths=(1, 1), settings=MergeSettings(family=family))
            total = 2 * updates(paths[0])[name]
            assert distance(updates(out)[name], total) <= 1e-6


def test_what_cannot_be_merged_is_refused(stack: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "out.safetensors"
    dotted = "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q"
    peft = write_pairs(
        tmp_path / "peft.safetensors",
        some_pairs([dotted], SHAPES[:1]),
        suffixes=(".lora_A.weight", ".lora_B.weight"),
    )
    wide = write_pairs(tmp_path / "wide.safetensors", some_pairs(shapes=((24, 22), *SHAPES[1:])))
    other = write_pairs(
        tmp_path / "other.safetensors", some_pairs(), more={"some.counter": np.ones(24)}
    )
    flux = write_pairs(
        tmp_path / "flux.safetensors",
        [Pair("lora_unet_double_blocks_0_img_attn_qkv", np.ones((1, 3072)), np.ones((9216, 1)), 1)],
    )
    sd1 = write_pairs(
        tmp_path / "sd1.safetensors", [Pair(MODULES[1], np.ones((1, 768)), np.ones((640, 1)), 1)]
    )
    kohya = write_pairs(
        tmp_path / "k.safetensors",
        [Pair("unet.conv_in", np.ones((1, 4, 3, 3)), np.ones((320, 1, 1, 1)), 1)],
        suffixes=(".lora_A.weight", ".lora_B.weight"),
    )
    for paths, code, words in (
        ([stack[0], peft], "family_unknown", r"a\.safetensors can't be converted .* --family"),
        ([stack[0], wide], "modules_differ", "24 × 20"),
        ([other, stack[0]], "extra_tensors", "some.counter"),
        ([sd1, flux], "families_differ", "FLUX.1"),
        ([kohya, flux], "families_differ", "FLUX.1"),
    ):
        with pytest.raises(AlgebraError, match=words) as caught:
            merge(paths, out, strengths=(1, 1))
        assert caught.value.code == code
    for strengths in ((1,), (1, float("nan")), (0, 0)):
        with pytest.raises(ValueError, match="strength"):
            merge(stack[:2], out, strengths=strengths)
    for settings in ({"mode": "sum"}, {"max_rank": 0}, {"density": 0.0}):
        with pytest.raises(ValueError, match=r"mode|rank|density"):
            MergeSettings(**settings)
    assert not out.exists()
