"""Rewriting metadata."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import pytest

from lorary.algebra.errors import AlgebraError
from lorary.algebra.files import WeightFile
from lorary.algebra.metadata.modelspec import require_valid
from lorary.algebra.metadata.rewrite import rewrite
from lorary.safetensors import HeaderError
from tests.builders.factors import some_pairs, write_pairs
from tests.builders.weights import file_of

METADATA = {
    "ss_steps": "100", "ss_base_model_version": "sdxl_base_v1-0", "ss_v2": "False",
    "sshs_model_hash": "1" * 64, "ot_config": "{}", "lycoris_config": "{}",
    "software": "{}", "training_info": "{}", "format": "pt", "name": "noir",
    "lora_adapter_metadata": "{}", "modelspec.title": "Noir", "modelspec.sai_model_spec": "1.0.0",
}  # fmt: skip


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_pairs(tmp_path / "a.safetensors", some_pairs(), metadata=METADATA)


def _read(path: Path) -> tuple[dict[str, str], bytes, tuple[str, ...]]:
    with WeightFile(path) as file:
        return dict(file.metadata), path.read_bytes()[file.data_start :], file.tensors.names


def test_stripping_removes_the_training_and_keeps_the_data(tmp_path: Path, path: Path) -> None:
    result = rewrite(path, tmp_path / "out.safetensors", strips_training=True)
    before, after = _read(path), _read(result.out.path)
    assert after[0] == {
        key: METADATA[key]
        for key in (
            "format", "lora_adapter_metadata", "modelspec.sai_model_spec", "modelspec.title",
            "name", "ss_base_model_version", "ss_v2",
        )
    }  # fmt: skip
    assert after[1:] == before[1:]
    assert result.removed == tuple(sorted(METADATA.keys() - after[0].keys()))
    assert result.missing == ("modelspec.architecture", "modelspec.implementation")
    assert result.out.sha256 == hashlib.sha256(result.out.path.read_bytes()).hexdigest()


def test_values_are_set_and_the_hash_of_the_data_is_right(tmp_path: Path, path: Path) -> None:
    with_hash = write_pairs(
        tmp_path / "b.safetensors", some_pairs(), metadata={"modelspec.hash_sha256": "0x1"}
    )
    result = rewrite(
        with_hash,
        tmp_path / "out.safetensors",
        values={"modelspec.trigger_phrase": "film noir", "lineage": "pony"},
    )
    metadata, data, _ = _read(result.out.path)
    assert metadata == {
        "modelspec.hash_sha256": f"0x{hashlib.sha256(data).hexdigest()}",
        "modelspec.sai_model_spec": "1.0.1",
        "modelspec.trigger_phrase": "film noir",
        "lineage": "pony",
    }
    assert result.changed == tuple(sorted(metadata))
    again = rewrite(path, tmp_path / "out.safetensors", values={"a": "b"}, removes=["ss_steps"])
    assert again.removed == ("ss_steps",)
    assert _read(again.out.path)[0]["modelspec.sai_model_spec"] == "1.0.0"
    assert "modelspec.hash_sha256" not in _read(again.out.path)[0]


def test_order_and_padding_of_other_writers_stay(tmp_path: Path) -> None:
    header = {
        "b": {"dtype": "U8", "shape": [3], "data_offsets": [4, 7]},
        "a": {"dtype": "F4", "shape": [8], "data_offsets": [0, 4]},
    }
    path = tmp_path / "a.safetensors"
    path.write_bytes(file_of(header, b"1234567", align=False))
    out = rewrite(path, tmp_path / "out.safetensors", values={"k": "ü"}).out.path
    assert _read(out) == ({"k": "ü"}, b"1234567", ("b", "a"))


def test_values_that_break_modelspec_are_refused(subtests: pytest.Subtests) -> None:
    image = base64.b64encode(b"\xff\xd8picture").decode()
    good = {
        "date": "2025-01-31T10:00:00Z", "resolution": "1024x1024", "timestep_range": "0,499",
        "is_negative_embedding": "true", "thumbnail": f"data:image/jpeg;base64,{image}",
        "architecture": "stable-diffusion-xl-v1-base/lora", "lora_default_weight": "-0.5",
        "sai_model_spec": "1.0.1", "encoder_layer": "2", "title": "Noir",
    }  # fmt: skip
    bad = {
        "date": "yesterday", "resolution": "1024", "timestep_range": "0-499",
        "is_negative_embedding": "yes", "thumbnail": "javascript:alert(1)", "architecture": "a b",
        "lora_default_weight": "strong", "sai_model_spec": "2", "encoder_layer": "x", "title": " ",
        "hash_sha256": "0x00", "titel": "Noir",
    }  # fmt: skip
    for key, value in good.items():
        require_valid(f"modelspec.{key}", value)
    require_valid("any.other", "")
    for key, value in bad.items():
        with subtests.test(key), pytest.raises(AlgebraError, match=key) as caught:
            require_valid(f"modelspec.{key}", value)
        assert caught.value.code == "metadata_invalid"


def test_metadata_that_the_reader_refuses_is_not_written(tmp_path: Path, path: Path) -> None:
    with pytest.raises(HeaderError):
        rewrite(path, tmp_path / "out.safetensors", values={"k": "x" * 9_000_000})
    assert not (tmp_path / "out.safetensors").exists()


@pytest.mark.parametrize("stored", ["right", "0x" + "0" * 64, "0x1", "é" * 66])
def test_the_hash_of_the_data_is_renewed_if_it_is_wrong(tmp_path: Path, stored: str) -> None:
    plain = _read(write_pairs(tmp_path / "plain.safetensors", some_pairs()))[1]
    right = f"0x{hashlib.sha256(plain).hexdigest()}"
    value = right if stored == "right" else stored
    path = write_pairs(
        tmp_path / "a.safetensors", some_pairs(), metadata={"modelspec.hash_sha256": value}
    )
    result = rewrite(path, tmp_path / "out.safetensors", values={"lineage": "pony"})
    metadata, data, _ = _read(result.out.path)
    assert data == plain
    assert metadata == {"modelspec.hash_sha256": right, "lineage": "pony"}
    assert result.out.sha256 == hashlib.sha256(result.out.path.read_bytes()).hexdigest()
    assert ("modelspec.hash_sha256" in result.changed) == (stored != "right")
