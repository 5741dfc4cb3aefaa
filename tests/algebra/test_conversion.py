"""Conversions of files: equal bytes, exact splits and fusions, alphas, metadata."""

from __future__ import annotations

import hashlib
import json
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from lorary.algebra.conversion import converting
from lorary.algebra.conversion.converting import convert
from lorary.algebra.conversion.sources import read_sources
from lorary.algebra.errors import AlgebraError
from lorary.algebra.files import NUMPY_DTYPES, PlannedTensor, WeightFile, write_weights
from lorary.algebra.modules import open_adapter
from lorary.anatomy import inspect_file

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    Arrays = Mapping[str, np.ndarray[Any, Any]]

BLOCK = "lora_unet_double_blocks_0"
SINGLE = "lora_unet_single_blocks_0"
QKV = ("to_q", "to_k", "to_v")
BF16 = NUMPY_DTYPES["BF16"]


def write(path: Path, arrays: Arrays, metadata: Mapping[str, str] | None = None) -> Path:
    formats = {dtype: name for name, dtype in NUMPY_DTYPES.items()}
    plan = {
        name: PlannedTensor(formats[array.dtype], array.shape, partial(np.asarray, array))
        for name, array in arrays.items()
    }
    write_weights(path, plan, metadata or {})
    return path


def pair(
    name: str, out: int, width: int, *, rank: int = 2, alpha: float | None = 1.0, seed: int = 0,
    dtype: Any = np.float16, kernel: tuple[int, ...] = (),
) -> dict[str, np.ndarray[Any, Any]]:  # fmt: skip
    """A pair of random factors under kohya's names."""
    random = np.random.default_rng([seed, *name.encode()])
    ones = (1,) * len(kernel)
    found = {
        f"{name}.lora_down.weight": random.standard_normal((rank, width, *kernel)).astype(dtype),
        f"{name}.lora_up.weight": random.standard_normal((out, rank, *ones)).astype(dtype),
    }
    if alpha is not None:
        found[f"{name}.alpha"] = np.asarray(alpha).astype(dtype)
    return found


def read(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    with WeightFile(path) as file:
        return {name: np.array(file.array(name)) for name in file.tensors}


def metadata(path: Path) -> dict[str, str]:
    with WeightFile(path) as file:
        return dict(file.metadata)


def update(arrays: Arrays, name: str, scale: float = 1.0) -> np.ndarray[Any, Any]:
    """ΔW of a module, by the definition alone."""
    suffixes = (
        ("lora_down", "lora_up") if f"{name}.lora_up.weight" in arrays else ("lora_A", "lora_B")
    )
    down, up = (arrays[f"{name}.{one}.weight"].astype(np.float64) for one in suffixes)
    rank = up.shape[1]
    alpha = float(arrays.get(f"{name}.alpha", np.asarray(rank * scale)))
    flat = up.reshape(len(up), -1) @ down.reshape(rank, -1)
    return np.asarray(alpha / rank * flat)


def distance(first: np.ndarray[Any, Any], second: np.ndarray[Any, Any]) -> float:
    return float(np.linalg.norm(first - second) / np.linalg.norm(second))


def test_a_rename_keeps_every_byte(tmp_path: Path) -> None:
    arrays = pair("lora_unet_blocks_0_self_attn_q", 1536, 1536, dtype=BF16) | pair(
        "lora_unet_blocks_0_ffn_0", 8960, 1536, dtype=BF16
    )
    path = write(tmp_path / "a.safetensors", arrays, {"ss_steps": "9"})
    there = convert(path, to="diffusers", out=tmp_path / "b.safetensors")
    back = convert(there.out.path, to="kohya", out=tmp_path / "c.safetensors")
    assert there.certificate.to_dict() == {
        "modules": 2, "renamed": 2, "split": 0, "fused": 0, "max_relative_error": 0.0,
    }  # fmt: skip
    new = read(there.out.path)
    name = "transformer.blocks.0.attn1.to_q"
    assert new.keys() == {
        f"{one}.{side}.weight"
        for one in (name, "transformer.blocks.0.ffn.net.0.proj")
        for side in ("lora_A", "lora_B")
    }
    old_up = arrays["lora_unet_blocks_0_self_attn_q.lora_up.weight"]
    assert new[f"{name}.lora_B.weight"].tobytes() == old_up.tobytes()
    found = read(back.out.path)
    assert {key: (a.dtype, a.tobytes()) for key, a in found.items()} == {
        key: (a.dtype, a.tobytes()) for key, a in arrays.items()
    }


def test_the_digest_is_that_of_the_new_file(tmp_path: Path) -> None:
    path = write(tmp_path / "a.safetensors", pair(f"{BLOCK}_img_attn_proj", 3072, 3072))
    done = convert(path, to="comfyui", out=tmp_path / "b.safetensors")
    raw = done.out.path.read_bytes()
    assert done.out.sha256 == hashlib.sha256(raw).hexdigest()
    assert done.out.size_bytes == len(raw)


def test_original_is_another_word_for_comfyui(tmp_path: Path) -> None:
    path = write(tmp_path / "a.safetensors", pair(f"{BLOCK}_img_attn_proj", 3072, 3072))
    for to in ("comfyui", "original"):
        convert(path, to=to, out=tmp_path / to)
    assert read(tmp_path / "comfyui").keys() == read(tmp_path / "original").keys()
    assert "diffusion_model.double_blocks.0.img_attn.proj.lora_A.weight" in read(
        tmp_path / "comfyui"
    )


def test_a_split_takes_the_rows_of_each_projection(tmp_path: Path) -> None:
    arrays = pair(f"{SINGLE}_linear1", 336, 48, alpha=0.5)
    path = write(tmp_path / "a.safetensors", arrays)
    done = convert(path, to="diffusers", out=tmp_path / "b.safetensors", family="flux1")
    assert done.certificate.to_dict()["split"] == 4
    assert done.certificate.max_relative_error == 0  # the factors are the same, bit by bit
    new, whole = read(done.out.path), update(arrays, f"{SINGLE}_linear1")
    begin = 0
    for leaf in (*(f"attn.{one}" for one in QKV), "proj_mlp"):
        part = update(new, f"transformer.single_transformer_blocks.0.{leaf}", scale=0.25)
        assert np.array_equal(part, whole[begin : begin + len(part)])
        begin += len(part)
    assert begin == 336


@pytest.mark.parametrize("factor", ["lora_A", "lora_B"])
def test_a_split_with_one_wrong_number_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, factor: str
) -> None:
    path = write(tmp_path / "a.safetensors", pair(f"{SINGLE}_linear1", 336, 48))
    wrong = f"transformer.single_transformer_blocks.0.attn.to_k.{factor}.weight"

    def write_wrong(out: Path, tensors: Mapping[str, PlannedTensor], *args: Any, **kw: Any) -> Any:
        def data() -> np.ndarray[Any, Any]:
            raw = tensors[wrong].data()
            array = np.array(raw) if isinstance(raw, np.ndarray) else np.frombuffer(raw, np.float16)
            array = array.reshape(tensors[wrong].shape).copy()
            array[0, 0] += 1
            return array

        planned = {**tensors, wrong: tensors[wrong]._replace(data=data)}
        return write_weights(out, planned, *args, **kw)

    monkeypatch.setattr(converting, "write_weights", write_wrong)
    with pytest.raises(AlgebraError, match="converted exactly"):
        convert(path, to="diffusers", out=tmp_path / "b.safetensors", family="flux1")
    assert not (tmp_path / "b.safetensors").exists()


def test_a_split_and_its_fusion_give_the_same_file(tmp_path: Path) -> None:
    arrays = pair(f"{BLOCK}_txt_attn_qkv", 144, 48, alpha=4.0)
    path = write(tmp_path / "a.safetensors", arrays)
    there = convert(path, to="diffusers", out=tmp_path / "b.safetensors", family="flux1")
    back = convert(there.out.path, to="kohya", out=tmp_path / "c.safetensors", family="flux1")
    assert back.certificate.count("fused") == 1
    found = read(back.out.path)
    assert {key: a.tobytes() for key, a in found.items()} == {
        key: a.tobytes() for key, a in arrays.items()
    }


def separate(names: tuple[str, ...] = QKV, **options: Any) -> dict[str, np.ndarray[Any, Any]]:
    """Projections of their own under diffusers' names, flattened."""
    found: dict[str, np.ndarray[Any, Any]] = {}
    for name in names:
        found |= pair(f"lora_unet_transformer_blocks_0_attn_{name}", 48, 48, **options)
    return found


def test_a_fusion_is_block_diagonal_and_splits_into_the_same_parts(tmp_path: Path) -> None:
    arrays = separate(alpha=4.0)
    path = write(tmp_path / "a.safetensors", arrays)
    done = convert(path, to="comfyui", out=tmp_path / "b.safetensors", family="flux1")
    assert done.certificate.count("fused") == 1
    assert done.certificate.max_relative_error <= 1e-6
    name = "diffusion_model.double_blocks.0.img_attn.qkv"
    new = read(done.out.path)
    assert new[f"{name}.lora_A.weight"].shape == (6, 48)
    assert float(new[f"{name}.alpha"]) == 12.0
    whole = update(new, name)
    for number, one in enumerate(QKV):
        part = update(arrays, f"lora_unet_transformer_blocks_0_attn_{one}")
        assert np.array_equal(whole[number * 48 : (number + 1) * 48], part)
    back = convert(done.out.path, to="diffusers", out=tmp_path / "c.safetensors", family="flux1")
    found = read(back.out.path)
    for one in QKV:
        old = arrays[f"lora_unet_transformer_blocks_0_attn_{one}.lora_down.weight"]
        assert np.array_equal(
            found[f"transformer.transformer_blocks.0.attn.{one}.lora_A.weight"], old
        )


def test_a_missing_projection_is_a_block_of_zeros(tmp_path: Path) -> None:
    arrays = separate(("to_q", "to_v"))
    path = write(tmp_path / "a.safetensors", arrays)
    done = convert(path, to="kohya", out=tmp_path / "b.safetensors", family="flux1")
    whole = update(read(done.out.path), f"{BLOCK}_img_attn_qkv")
    assert not whole[48:96].any()
    last = update(arrays, "lora_unet_transformer_blocks_0_attn_to_v")
    assert np.array_equal(whole[96:], last)


def test_projections_of_other_scales_are_fused_exactly(tmp_path: Path) -> None:
    arrays = separate(("to_q",), alpha=1.0) | separate(("to_k",), alpha=3.0, rank=5)
    path = write(tmp_path / "a.safetensors", arrays)
    done = convert(path, to="kohya", out=tmp_path / "b.safetensors", family="flux1")
    assert done.certificate.max_relative_error <= 1e-6
    new = read(done.out.path)
    assert new[f"{BLOCK}_img_attn_qkv.lora_up.weight"].dtype == np.float32
    whole = update(new, f"{BLOCK}_img_attn_qkv")
    for number, one in enumerate(("to_q", "to_k")):
        part = update(arrays, f"lora_unet_transformer_blocks_0_attn_{one}")
        assert distance(whole[number * 48 : (number + 1) * 48], part) < 1e-6


def test_unequal_projections_are_split_at_their_own_borders(tmp_path: Path) -> None:
    name = "lora_unet_layers_0_attention_qkv"
    arrays = pair(name, 3840, 2304)
    path = write(tmp_path / "a.safetensors", arrays)
    done = convert(path, to="diffusers", out=tmp_path / "b.safetensors", family="lumina2")
    rows = [
        len(read(done.out.path)[f"transformer.layers.0.attn.{one}.lora_B.weight"]) for one in QKV
    ]
    assert rows == [2304, 768, 768]


def test_shift_and_scale_of_the_last_layer_change_places(tmp_path: Path) -> None:
    name = "lora_unet_final_layer_adaLN_modulation_1"
    arrays = pair(name, 96, 48)
    path = write(tmp_path / "a.safetensors", arrays)
    done = convert(path, to="diffusers", out=tmp_path / "b.safetensors", family="flux1")
    whole = update(arrays, name)
    new = update(read(done.out.path), "transformer.norm_out.linear", scale=0.5)
    assert np.array_equal(new, np.concatenate([whole[48:], whole[:48]]))
    assert done.certificate.count("split") == 1


def test_alphas_become_the_configuration_of_the_loader(tmp_path: Path) -> None:
    arrays = (
        pair("lora_unet_blocks_0_self_attn_q", 1536, 1536, alpha=0.3)
        | pair("lora_unet_blocks_0_self_attn_k", 1536, 1536, alpha=0.3)
        | pair("lora_unet_blocks_0_self_attn_v", 1536, 1536, alpha=1.0, rank=4)
    )
    path = write(tmp_path / "a.safetensors", arrays)
    done = convert(path, to="diffusers", out=tmp_path / "b.safetensors")
    config = json.loads(metadata(done.out.path)["lora_adapter_metadata"])
    assert config["transformer.r"] == 2
    assert config["transformer.lora_alpha"] == float(np.float16(0.3))
    assert config["transformer.rank_pattern"] == {"^blocks.0.attn1.to_v": 4}
    assert config["transformer.alpha_pattern"] == {"^blocks.0.attn1.to_v": 1}
    back = convert(done.out.path, to="kohya", out=tmp_path / "c.safetensors")
    assert read(back.out.path).keys() == arrays.keys()
    for key, value in read(back.out.path).items():
        assert value.tobytes() == arrays[key].tobytes()


def test_an_alpha_that_the_format_would_round_is_stored_in_float32(tmp_path: Path) -> None:
    name = "transformer.blocks.0.attn1.to_q"
    arrays = {
        f"{name}.lora_A.weight": np.ones((4, 1536), np.float16),
        f"{name}.lora_B.weight": np.ones((1536, 4), np.float16),
    }
    config = {"transformer.r": 4, "transformer.lora_alpha": 2049, "transformer.use_rslora": False}
    path = write(tmp_path / "a.safetensors", arrays, {"lora_adapter_metadata": json.dumps(config)})
    new = read(convert(path, to="kohya", out=tmp_path / "b.safetensors").out.path)
    alpha = new["lora_unet_blocks_0_self_attn_q.alpha"]
    assert (alpha.dtype, float(alpha)) == (np.float32, 2049.0)


def test_the_configuration_of_peft_beside_the_file_counts(tmp_path: Path) -> None:
    name = "base_model.model.blocks.0.attn1.to_q"
    arrays = {
        f"{name}.lora_A.weight": np.ones((4, 1536), np.float32),
        f"{name}.lora_B.weight": np.ones((1536, 4), np.float32),
    }
    path = write(tmp_path / "adapter_model.safetensors", arrays)
    fields = {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "use_rslora": True}
    (tmp_path / "adapter_config.json").write_text(json.dumps(fields))
    new = read(convert(path, to="comfyui", out=tmp_path / "out").out.path)
    assert float(new["diffusion_model.blocks.0.self_attn.q.alpha"]) == 8 * 2


def test_a_configuration_beside_a_file_with_other_names_counts_nowhere(tmp_path: Path) -> None:
    """Only PEFT reads it, and PEFT does not read kohya's names."""
    name = "lora_unet_blocks_0_self_attn_q"
    path = write(tmp_path / "a.safetensors", pair(name, 1536, 1536, alpha=None))
    (tmp_path / "adapter_config.json").write_text('{"peft_type": "LORA", "r": 2, "lora_alpha": 8}')
    with open_adapter(path) as adapter, WeightFile(path) as file:
        assert adapter.modules[name].scale == 1
        assert [source.scale for source in read_sources(file)] == [1]


def test_configurations_beside_the_output_stay_unless_their_replacement_is_allowed(
    tmp_path: Path,
) -> None:
    path = write(tmp_path / "a.safetensors", pair("lora_unet_blocks_0_self_attn_q", 1536, 1536))
    folder = tmp_path / "peft"
    folder.mkdir()
    out, config = folder / "adapter_model.safetensors", folder / "adapter_config.json"
    config.write_text("{")
    with pytest.raises(AlgebraError, match="--force") as caught:
        convert(path, to="peft", out=out)
    assert caught.value.code == "config_exists"
    assert (config.read_text(), out.exists()) == ("{", False)
    other = convert(path, to="comfyui", out=out)  # neither reads it nor needs it
    assert other.certificate.max_relative_error == 0
    assert config.read_text() == "{"
    convert(path, to="peft", out=out, replaces_config=True)
    assert json.loads(config.read_text())["r"] == 2
    assert sorted(one.name for one in folder.iterdir()) == [config.name, out.name]
    mine = out.rename(folder / "adapter_model.old.safetensors")
    before = config.read_bytes()
    with pytest.raises(AlgebraError, match="belongs to the input"):
        convert(mine, to="peft", out=out, replaces_config=True)
    assert config.read_bytes() == before


def test_a_point_convolution_becomes_a_linear_layer_where_the_model_has_one(tmp_path: Path) -> None:
    name = "lora_unet_input_blocks_4_1_proj_in"
    arrays = pair(name, 640, 640, kernel=(1, 1))
    path = write(tmp_path / "a.safetensors", arrays)
    new = read(
        convert(path, to="diffusers", out=tmp_path / "b.safetensors", family="sdxl").out.path
    )
    assert new["unet.down_blocks.1.attentions.0.proj_in.lora_A.weight"].shape == (2, 640)
    sd1 = write(
        tmp_path / "s.safetensors", pair("lora_unet_mid_block_attentions_0_proj_in", 1280, 1280)
    )
    new = read(convert(sd1, to="comfyui", out=tmp_path / "t.safetensors", family="sd1").out.path)
    assert new["diffusion_model.middle_block.1.proj_in.lora_B.weight"].shape == (1280, 2, 1, 1)


def test_a_core_is_multiplied_into_down_for_peft(tmp_path: Path) -> None:
    name = "lora_unet_down_blocks_0_resnets_0_conv1"
    arrays = pair(name, 320, 320, kernel=(1, 1), rank=3)
    core = np.random.default_rng(3).standard_normal((3, 3, 3, 3)).astype(np.float16)
    arrays[f"{name}.lora_mid.weight"] = core
    path = write(tmp_path / "a.safetensors", arrays)
    kept = read(convert(path, to="comfyui", out=tmp_path / "k.safetensors", family="sd1").out.path)
    assert "diffusion_model.input_blocks.1.0.in_layers.2.lora_mid.weight" in kept
    assert "diffusion_model.input_blocks.1.0.in_layers.2.lora_up.weight" in kept
    done = convert(path, to="diffusers", out=tmp_path / "b.safetensors", family="sd1")
    new = read(done.out.path)["unet.down_blocks.0.resnets.0.conv1.lora_A.weight"]
    inner = arrays[f"{name}.lora_down.weight"][:, :, 0, 0].astype(np.float64)
    expected = np.einsum("pqxy,qi->pixy", core.astype(np.float64), inner)
    assert distance(new.astype(np.float64), expected) < 1e-6
    assert done.certificate.max_relative_error <= 1e-6


def test_magnitudes_are_renamed_both_ways(tmp_path: Path) -> None:
    name = "lora_unet_blocks_0_self_attn_q"
    arrays = pair(name, 1536, 1536)
    arrays[f"{name}.dora_scale"] = np.arange(1536, dtype=np.float16).reshape(1536, 1)
    path = write(tmp_path / "a.safetensors", arrays)
    there = convert(path, to="diffusers", out=tmp_path / "b.safetensors")
    key = "transformer.blocks.0.attn1.to_q.lora_magnitude_vector"
    assert read(there.out.path)[key].shape == (1536,)
    config = json.loads(metadata(there.out.path)["lora_adapter_metadata"])
    assert config["transformer.use_dora"] is True
    back = read(convert(there.out.path, to="kohya", out=tmp_path / "c.safetensors").out.path)
    assert np.array_equal(back[f"{name}.dora_scale"], arrays[f"{name}.dora_scale"])


def test_biases_are_kept_for_peft_and_refused_for_others(tmp_path: Path) -> None:
    name = "transformer.blocks.0.attn1.to_q"
    arrays = {
        f"{name}.lora_A.weight": np.ones((2, 1536), np.float32),
        f"{name}.lora_B.weight": np.ones((1536, 2), np.float32),
        f"{name}.lora_B.bias": np.ones(1536, np.float32),
    }
    path = write(tmp_path / "a.safetensors", arrays)
    done = convert(path, to="peft", out=tmp_path / "b.safetensors")
    assert "base_model.model.blocks.0.attn1.to_q.lora_B.bias" in read(done.out.path)
    assert json.loads(metadata(done.out.path)["lora_adapter_metadata"])["transformer.lora_bias"]
    with pytest.raises(AlgebraError, match="has a bias, which kohya has no form for"):
        convert(path, to="kohya", out=tmp_path / "c.safetensors")


def test_layers_that_no_table_has_stay_if_no_other_name_changes(tmp_path: Path) -> None:
    name = "diffusion_model.blocks.0.norm3"
    arrays = {
        "diffusion_model.blocks.0.ffn.0.lora_A.weight": np.ones((2, 1536), np.float32),
        "diffusion_model.blocks.0.ffn.0.lora_B.weight": np.ones((8960, 2), np.float32),
        f"{name}.diff": np.ones(1536, np.float32),
    }
    path = write(tmp_path / "a.safetensors", arrays)
    kept = convert(path, to="comfyui", out=tmp_path / "b.safetensors")
    assert read(kept.out.path).keys() == arrays.keys()
    flat = read(convert(path, to="kohya", out=tmp_path / "c.safetensors").out.path)
    assert "lora_unet_blocks_0_norm3.diff" in flat


def test_magnitudes_are_split_and_fused_with_their_rows(tmp_path: Path) -> None:
    name = f"{BLOCK}_img_attn_qkv"
    arrays = pair(name, 144, 48)
    arrays[f"{name}.dora_scale"] = np.arange(144, dtype=np.float32).reshape(-1, 1)
    path = write(tmp_path / "a.safetensors", arrays)
    there = convert(path, to="diffusers", out=tmp_path / "b.safetensors", family="flux1")
    key = "transformer.transformer_blocks.0.attn.to_k.lora_magnitude_vector"
    assert np.array_equal(read(there.out.path)[key], np.arange(48, 96, dtype=np.float32))
    back = read(
        convert(there.out.path, to="kohya", out=tmp_path / "c.safetensors", family="flux1").out.path
    )
    assert np.array_equal(back[f"{name}.dora_scale"], arrays[f"{name}.dora_scale"])


def test_adapters_of_single_blocks_by_xlabs_fill_a_part_of_the_layer(tmp_path: Path) -> None:
    block = "single_blocks.0.processor"
    random = np.random.default_rng(1)
    shapes = {
        "qkv_lora.down": (2, 48), "qkv_lora.up": (144, 2),
        "proj_lora.down": (2, 48), "proj_lora.up": (48, 2),
    }  # fmt: skip
    arrays = {
        f"{block}.{name}.weight": random.standard_normal(shape).astype(np.float32)
        for name, shape in shapes.items()
    }
    path = write(tmp_path / "a.safetensors", arrays)
    new = read(convert(path, to="kohya", out=tmp_path / "b.safetensors", family="flux1").out.path)
    first, second = (update(new, f"{SINGLE}_{one}") for one in ("linear1", "linear2"))
    up, down = arrays[f"{block}.qkv_lora.up.weight"], arrays[f"{block}.qkv_lora.down.weight"]
    assert distance(first[:144], up.astype(np.float64) @ down.astype(np.float64)) < 1e-6
    assert first.shape == (336, 48)
    assert not first[144:].any()
    assert second.shape == (48, 240)
    assert second[:, :48].any()
    assert not second[:, 48:].any()


@pytest.mark.parametrize("to", ["kohya", "comfyui", "diffusers", "peft"])
def test_a_converted_file_is_recognised_as_what_it_is(tmp_path: Path, to: str) -> None:
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    for block in (0, 18):
        name = f"lora_unet_double_blocks_{block}"
        arrays |= pair(f"{name}_img_attn_qkv", 9216, 3072) | pair(
            f"{name}_txt_mod_lin", 18432, 3072
        )
    arrays |= pair("lora_te1_text_model_encoder_layers_0_mlp_fc1", 3072, 768)
    path = write(tmp_path / "a.safetensors", arrays)
    done = convert(path, to=to, out=tmp_path / "b.safetensors")
    found = inspect_file(done.out.path).anatomy
    assert found is not None
    assert (found.base.family, set(found.parts)) == ("flux1", {"denoiser", "text_encoder"})
    conventions = {"kohya": "kohya", "comfyui": "comfyui_diffusion_model", "peft": "peft"}
    assert found.convention == conventions.get(to, "diffusers_peft")


def test_the_t5_of_flux_changes_its_number(tmp_path: Path) -> None:
    arrays = pair(f"{BLOCK}_img_mod_lin", 18432, 3072) | pair(
        "lora_te3_encoder_block_0_layer_0_SelfAttention_q", 4096, 4096
    )
    path = write(tmp_path / "a.safetensors", arrays)
    there = convert(path, to="diffusers", out=tmp_path / "b.safetensors", family="flux1")
    assert "text_encoder_2.encoder.block.0.layer.0.SelfAttention.q.lora_A.weight" in read(
        there.out.path
    )
    comfy = convert(there.out.path, to="comfyui", out=tmp_path / "c.safetensors", family="flux1")
    name = "text_encoders.t5xxl.transformer.encoder.block.0.layer.0.SelfAttention.q"
    assert f"{name}.lora_A.weight" in read(comfy.out.path)
    back = convert(comfy.out.path, to="kohya", out=tmp_path / "d.safetensors", family="flux1")
    assert read(back.out.path).keys() == arrays.keys()


def test_the_t5_of_chroma_is_its_only_text_encoder(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.safetensors", pair("lora_te3_encoder_block_0_layer_0_SelfAttention_q", 8, 8)
    )
    done = convert(path, to="diffusers", out=tmp_path / "b.safetensors", family="chroma")
    name = "text_encoder.encoder.block.0.layer.0.SelfAttention.q.lora_A.weight"
    assert name in read(done.out.path)


def test_other_algorithms_are_renamed_between_kohya_and_comfyui(tmp_path: Path) -> None:
    arrays = {
        f"{BLOCK}_img_attn_qkv.lokr_w1": np.ones((4, 4), np.float32),
        f"{BLOCK}_img_attn_qkv.lokr_w2": np.ones((2304, 768), np.float32),
        f"{BLOCK}_img_attn_qkv.alpha": np.asarray(1, np.float32),
    }
    path = write(tmp_path / "a.safetensors", arrays)
    there = convert(path, to="comfyui", out=tmp_path / "b.safetensors", family="flux1")
    name = "diffusion_model.double_blocks.0.img_attn.qkv"
    assert read(there.out.path).keys() == {
        f"{name}.{one}" for one in ("alpha", "lokr_w1", "lokr_w2")
    }
    back = convert(there.out.path, to="kohya", out=tmp_path / "c.safetensors", family="flux1")
    assert read(back.out.path).keys() == arrays.keys()


def test_rotations_of_kohyas_scripts_keep_their_prefix(tmp_path: Path) -> None:
    name = "oft_unet_input_blocks_4_1_proj_in"
    arrays = {
        f"{name}.oft_blocks": np.ones((4, 160, 160), np.float16),
        f"{name}.alpha": np.asarray(1, np.float16),
    }
    path = write(tmp_path / "a.safetensors", arrays)
    done = convert(path, to="kohya", out=tmp_path / "b.safetensors", family="sdxl")
    assert read(done.out.path).keys() == arrays.keys()
    with pytest.raises(AlgebraError, match="which ComfyUI does not read"):
        convert(path, to="comfyui", out=tmp_path / "c.safetensors", family="sdxl")


def test_metadata_is_carried_by_the_stated_rules(tmp_path: Path) -> None:
    arrays = pair("lora_unet_blocks_0_self_attn_q", 1536, 1536)
    old = {
        "ss_steps": "9", "sshs_model_hash": "ab", "modelspec.title": "noir",
        "modelspec.hash_sha256": "0xab",
    }  # fmt: skip
    path = write(tmp_path / "a.safetensors", arrays, old)
    done = convert(path, to="diffusers", out=tmp_path / "b.safetensors")
    new = metadata(done.out.path)
    with WeightFile(done.out.path) as file:
        data = done.out.path.read_bytes()[file.data_start :]
    assert new.keys() == {
        "ss_steps", "modelspec.title", "modelspec.hash_sha256", "format", "lorary.operation",
        "lora_adapter_metadata",
    }  # fmt: skip
    assert new["modelspec.hash_sha256"] == f"0x{hashlib.sha256(data).hexdigest()}"
    assert json.loads(new["lorary.operation"]) == {
        "operation": "convert", "from": "kohya", "to": "diffusers",
    }  # fmt: skip
    assert done.left_out == ("sshs_model_hash",)
    back = metadata(convert(done.out.path, to="kohya", out=tmp_path / "c.safetensors").out.path)
    assert json.loads(back["lorary.operation"]) == {
        "operation": "convert", "from": "diffusers_peft", "to": "kohya",
        "source": json.loads(new["lorary.operation"]),
    }  # fmt: skip
    assert "lora_adapter_metadata" not in back
