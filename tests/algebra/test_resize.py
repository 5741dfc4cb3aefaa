"""Resizing to a rank, a share of the energy or a size."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from lorary.algebra.errors import AlgebraError
from lorary.algebra.files import WeightFile
from lorary.algebra.merging.merge import merge
from lorary.algebra.modules import open_adapter
from lorary.algebra.resize import resize_to_bytes, resize_to_rank, resize_to_share
from tests.builders.factors import (
    MODULES,
    SHAPES,
    UNET,
    Pair,
    distance,
    some_pairs,
    updates,
    write_pairs,
)


def _best(update: np.ndarray, rank: int) -> np.ndarray:
    left, values, right = np.linalg.svd(update, full_matrices=False)
    best: np.ndarray = (left[:, :rank] * values[:rank]) @ right[:rank]
    return best


def test_resize_gives_the_best_approximation_and_keeps_the_scale(tmp_path: Path) -> None:
    path = write_pairs(tmp_path / "a.safetensors", some_pairs(rank=8, alpha=4))
    out = tmp_path / "out.safetensors"
    result = resize_to_rank(path, out, rank=3)
    before, after = updates(path), updates(out)
    assert before.keys() == after.keys()
    for name, update in before.items():
        assert distance(after[name], _best(update, 3)) <= 1e-6
    with WeightFile(out) as file:
        assert file.array(f"{MODULES[0]}.alpha") == 1.5  # 4 / 8 · 3
        assert file.tensors[f"{MODULES[0]}.lora_down.weight"].shape == (3, 20)
    kept = sum((_best(one, 3) ** 2).sum() for one in before.values())
    assert result.kept == pytest.approx(kept / sum((one**2).sum() for one in before.values()))
    assert [module.rank for module in result.modules] == [3, 3, 3]


def test_a_rank_that_is_not_smaller_keeps_the_bytes(tmp_path: Path) -> None:
    for dtype in ("F16", "BF16", "F8_E4M3"):
        path = write_pairs(tmp_path / "a.safetensors", some_pairs(), dtype=dtype)
        result = resize_to_rank(path, tmp_path / "out.safetensors", rank=9)
        assert result.out.path.read_bytes() == path.read_bytes()


def test_convolutions_and_tucker_cores_are_resized(tmp_path: Path) -> None:
    names = [f"{UNET}_conv1", f"{UNET}_conv2"]
    random = np.random.default_rng(3)
    pairs = some_pairs(names[:1], [(12, 6, 3, 3)], rank=6)
    tucker = Pair(
        names[1],
        random.standard_normal((4, 6, 1, 1)),
        random.standard_normal((12, 4, 1, 1)),
        4.0,
        random.standard_normal((4, 4, 3, 3)),
    )
    path = write_pairs(tmp_path / "a.safetensors", [*pairs, tucker])
    out = tmp_path / "out.safetensors"
    resize_to_rank(path, out, rank=2)
    after = updates(out)
    for name, update in updates(path).items():
        assert distance(after[name], _best(update, 2)) <= 1e-6
    with WeightFile(out) as file:
        assert file.tensors[f"{names[1]}.lora_down.weight"].shape == (2, 6, 3, 3)
        assert file.tensors[f"{names[1]}.lora_up.weight"].shape == (12, 2, 1, 1)
        assert not [name for name in file.tensors if "mid" in name]


def test_a_rank_above_the_size_of_the_weight_is_reduced(tmp_path: Path) -> None:
    names, shapes = ["lora_unet_conv_out", "lora_unet_conv_in"], [(4, 32, 3, 3), (32, 1)]
    path = write_pairs(tmp_path / "a.safetensors", some_pairs(names, shapes, rank=20_000))
    out = tmp_path / "out.safetensors"
    for target, ranks in ((8, [1, 4]), (30_000, [20_000, 20_000])):
        result = resize_to_rank(path, out, rank=target)
        assert [module.rank for module in result.modules] == ranks  # `conv_in` comes first
        assert result.kept == pytest.approx(1)
        for name, update in updates(path).items():
            assert distance(updates(out)[name], update) <= 1e-6
    assert [one.rank for one in resize_to_share(path, out, share=1).modules] == [1, 4]
    assert [one.rank for one in resize_to_bytes(path, out, size_bytes=9_000).modules] == [1, 4]


def test_a_share_of_the_energy_takes_the_smallest_ranks(tmp_path: Path) -> None:
    path = write_pairs(tmp_path / "a.safetensors", some_pairs(rank=8))
    result = resize_to_share(path, tmp_path / "out.safetensors", share=0.9)
    for module in result.modules:
        values = np.linalg.svd(updates(path)[module.name], compute_uv=False)
        shares = np.cumsum(values**2) / (values**2).sum()
        assert module.rank == int(np.argmax(shares >= 0.9)) + 1
        assert module.kept / module.energy == pytest.approx(shares[module.rank - 1])


def test_a_size_is_used_where_it_keeps_the_most(tmp_path: Path) -> None:
    pairs = some_pairs(rank=8)
    strong = pairs[1]._replace(up=pairs[1].up * 100)
    path = write_pairs(
        tmp_path / "a.safetensors", [pairs[0], strong, pairs[2]], metadata={"ss_network_dim": "8"}
    )
    most = path.stat().st_size * 3 // 4
    result = resize_to_bytes(path, tmp_path / "out.safetensors", size_bytes=most)
    assert most - 400 < result.out.size_bytes <= most
    ranks = {module.name: module.rank for module in result.modules}
    assert ranks[strong.name] == 8
    assert ranks[pairs[0].name] < 8 > ranks[pairs[2].name]
    with pytest.raises(AlgebraError) as caught:
        resize_to_bytes(path, tmp_path / "out.safetensors", size_bytes=500)
    assert caught.value.code == "size_too_small"
    least = caught.value.facts["least_bytes"]
    assert isinstance(least, int)
    fitting = resize_to_bytes(path, tmp_path / "out.safetensors", size_bytes=least)
    assert fitting.out.size_bytes <= least


def test_a_size_is_kept_with_a_hash_and_alphas_that_become_wider(tmp_path: Path) -> None:
    names = [f"{UNET}_{kind}_to_{role}" for kind in ("attn1", "attn2") for role in "qkv"]
    pairs = some_pairs(names, [(24, 20)] * len(names), rank=12, alpha=8)
    metadata = {"modelspec.hash_sha256": f"0x{'1' * 64}"}
    path = write_pairs(tmp_path / "a.safetensors", pairs, dtype="F16", metadata=metadata)
    out = tmp_path / "out.safetensors"
    for most in range(path.stat().st_size // 2, path.stat().st_size * 3 // 4, 149):
        result = resize_to_bytes(path, out, size_bytes=most)
        assert most - 400 < result.out.size_bytes <= most
    with WeightFile(out) as file:
        assert file.tensors[f"{names[0]}.alpha"].dtype == "F32"


def test_scales_of_configurations_are_multiplied_in(tmp_path: Path) -> None:
    names = [f"unet.{name}" for name in ("mid_block.a.to_q", "mid_block.a.to_k")]
    pairs = some_pairs(names, SHAPES[:2], rank=4, alpha=None)
    config: dict[str, object] = {"unet.r": 4, "unet.lora_alpha": 6, "unet.use_rslora": True}
    config["unet.alpha_pattern"] = {"to_k": 1}
    path = write_pairs(
        tmp_path / "a.safetensors",
        pairs,
        suffixes=(".lora_A.weight", ".lora_B.weight"),
        metadata={"lora_adapter_metadata": json.dumps(config), "format": "pt"},
    )
    with open_adapter(path) as adapter:
        assert {m.name: m.scale for m in adapter.modules.values()} == {names[0]: 3, names[1]: 0.5}
    out = tmp_path / "out.safetensors"
    resize_to_rank(path, out, rank=2)
    for pair, scale in zip(pairs, (3, 0.5), strict=True):
        assert distance(updates(out)[pair.name], _best(scale * pair.up @ pair.down, 2)) <= 1e-6
    with WeightFile(out) as file:
        assert file.metadata.keys() == {"format", "lorary.operation"}


def test_a_configuration_beside_the_output_does_not_scale_it_again(tmp_path: Path) -> None:
    folder, other = tmp_path / "peft", tmp_path / "other"
    folder.mkdir()
    other.mkdir()
    name = "base_model.model.mid_block.a.to_q"
    pairs = some_pairs([name], SHAPES[:1], rank=16, alpha=None)
    path = write_pairs(
        folder / "adapter_model.safetensors", pairs, suffixes=(".lora_A.weight", ".lora_B.weight")
    )
    config = {"peft_type": "LORA", "r": 16, "lora_alpha": 32}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    out = folder / "adapter_model.r8.safetensors"
    for write in (
        lambda place: resize_to_rank(path, place, rank=8),
        lambda place: merge([path, path], place, strengths=(0.5, 0.5)),
    ):
        with pytest.raises(AlgebraError, match="Choose another folder") as caught:
            write(out)
        assert (caught.value.code, out.exists()) == ("config_exists", False)
    done = resize_to_rank(path, other / out.name, rank=8).out.path
    with open_adapter(done) as adapter:
        assert [module.scale for module in adapter.modules.values()] == [1]
    assert distance(updates(done)[name], _best(2 * pairs[0].up @ pairs[0].down, 8)) <= 1e-6


def test_metadata_says_what_is_true_of_the_new_file(tmp_path: Path) -> None:
    metadata = {
        "ss_network_dim": "8", "ss_network_alpha": "4.0", "ss_steps": "100",
        "sshs_model_hash": "0" * 64, "modelspec.hash_sha256": "0x12", "modelspec.title": "Noir",
    }  # fmt: skip
    path = write_pairs(tmp_path / "a.safetensors", some_pairs(rank=8, alpha=4), metadata=metadata)
    out = resize_to_rank(path, tmp_path / "out.safetensors", rank=3).out
    with WeightFile(out.path) as file:
        found = dict(file.metadata)
        data = out.path.read_bytes()[file.data_start :]
    assert out.sha256 == hashlib.sha256(out.path.read_bytes()).hexdigest()
    assert found == {
        "ss_network_dim": "3", "ss_network_alpha": "1.5", "ss_steps": "100",
        "lorary.operation": '{"max_rank":3,"operation":"resize"}',
        "modelspec.hash_sha256": f"0x{hashlib.sha256(data).hexdigest()}", "modelspec.title": "Noir",
    }  # fmt: skip


def test_what_has_no_two_factors_is_refused_by_name(
    tmp_path: Path, subtests: pytest.Subtests
) -> None:
    vector, square = np.ones(24), np.ones((24, 20))
    cases = {
        "dora_scale": ("DoRA", vector[:, None]),
        "hada_w1_a": ("LoHa", square),
        "lokr_w1": ("LoKr", square),
        "diff": ("full difference", square),
        "oft_blocks": ("OFT", np.ones((4, 6, 6))),
        "lora_E": ("AdaLoRA", vector[:4]),
        "scalar": ("tensor “scalar” beside", np.ones(())),
    }
    for suffix, (title, array) in cases.items():
        with subtests.test(suffix):
            path = write_pairs(
                tmp_path / "a.safetensors", some_pairs(), more={f"{MODULES[0]}.{suffix}": array}
            )
            with pytest.raises(AlgebraError, match=title) as caught:
                resize_to_rank(path, tmp_path / "out.safetensors", rank=2)
            assert caught.value.code == "no_factors"
            assert MODULES[0] in str(caught.value)
    assert not (tmp_path / "out.safetensors").exists()


def test_ranks_and_shares_out_of_their_range_are_refused(tmp_path: Path) -> None:
    path, out = write_pairs(tmp_path / "a.safetensors", some_pairs()), tmp_path / "out.safetensors"
    with pytest.raises(ValueError, match="rank"):
        resize_to_rank(path, out, rank=0)
    for share in (0.0, 1.5, float("nan")):
        with pytest.raises(ValueError, match="share"):
            resize_to_share(path, out, share=share)
    assert not out.exists()


def test_vectors_beside_the_factors_are_kept(tmp_path: Path) -> None:
    more = {f"{MODULES[0]}.diff_b": np.arange(24.0), "lora_unet_norm.w_norm": np.arange(8.0)}
    path = write_pairs(tmp_path / "a.safetensors", some_pairs(), more=more)
    out = resize_to_rank(path, tmp_path / "out.safetensors", rank=2).out.path
    with WeightFile(out) as file:
        for name, array in more.items():
            assert file.array(name).tolist() == array.tolist()


def test_hostile_files_are_refused(tmp_path: Path, subtests: pytest.Subtests) -> None:
    first, *rest = some_pairs()
    nan = first.up.copy()
    nan[3, 1] = np.nan
    alias = {f"{first.name}.lora_A.weight": first.down, f"{first.name}.lora_B.weight": first.up}
    cases = {
        "not_finite": ([first._replace(up=nan), *rest], {}),
        "names_alias": ([first, *rest], alias),
        "shape_invalid": ([first._replace(up=first.up[:, :3]), *rest], {}),
        "alpha_invalid": ([first._replace(alpha=float("inf")), *rest], {}),
    }
    for code, (pairs, more) in cases.items():
        with subtests.test(code), np.errstate(all="ignore"):
            path = write_pairs(tmp_path / "a.safetensors", pairs, more=more)
            with pytest.raises(AlgebraError) as caught:
                resize_to_rank(path, tmp_path / "out.safetensors", rank=2)
            assert caught.value.code == code
            assert first.name in str(caught.value)
    empty = first._replace(down=first.down[:0], up=first.up[:, :0])
    with pytest.raises(AlgebraError, match="fit together"):
        resize_to_rank(write_pairs(tmp_path / "b", [empty]), tmp_path / "out", rank=2)
    with pytest.raises(AlgebraError, match="no module"):
        resize_to_rank(write_pairs(tmp_path / "d", [], more={"w": nan}), tmp_path / "out", rank=2)
    strong = [pair._replace(up=pair.up * 1e9) for pair in some_pairs()]
    large = write_pairs(tmp_path / "c", strong)
    with pytest.raises(AlgebraError, match="too large for F16"):
        resize_to_rank(large, tmp_path / "out", rank=2, dtype="F16")
