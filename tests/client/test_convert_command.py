"""`lorary convert`."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from lorary.algebra.files import WeightFile
from tests.builders.factors import some_pairs, write_pairs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.client.conftest import Ran

    Run = Callable[..., Ran]

NAMES = ("lora_unet_double_blocks_0_img_attn_qkv", "lora_unet_double_blocks_0_img_mod_lin")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    pairs = some_pairs(NAMES, ((9216, 3072), (18432, 3072)), rank=1)
    return write_pairs(tmp_path / "a.safetensors", pairs, dtype="F16", metadata={"ss_steps": "9"})


def test_convert_writes_the_file_and_its_certificate(run: Run, file: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.safetensors"
    done = run("convert", file, "--to", "diffusers", "--out", out, "--json")
    digest = hashlib.sha256(out.read_bytes()).hexdigest()
    assert done.document == {
        "schema": 1,
        "out": {"path": str(out), "sha256": digest},
        "certificate": {
            "modules": 4, "renamed": 1, "split": 3, "fused": 0,
            "max_relative_error": pytest.approx(0, abs=1e-6),
        },
    }  # fmt: skip
    with WeightFile(out) as written:
        assert "transformer.transformer_blocks.0.attn.to_q.lora_A.weight" in written.tensors
    text = run("convert", file, "--to", "diffusers", "--out", out, "--force").out
    assert "diffusers of FLUX.1" in text
    assert "3 from fused modules" in text


def test_convert_refuses_with_the_reason(run: Run, file: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.safetensors"
    words = ("--to", "comfyui", "--out", out)
    refused = run("convert", file, "--to", "kohya", "--out", file, "--json")
    assert (refused.code, refused.document["error"]["code"]) == (1, "same_file")
    pairs = some_pairs(("lora_unet_mid_block_attentions_0_proj_in",), ((8, 8),))
    unsure = write_pairs(tmp_path / "u.safetensors", pairs)
    refused = run("convert", unsure, *words, "--json")
    assert (refused.code, refused.document["error"]["code"]) == (1, "family_unknown")
    assert "--family" in refused.err
    assert run("convert", unsure, *words, "--family", "sd1").code == 0
    unknown = run("convert", unsure, *words, "--family", "pony")
    assert unknown.code == 2
    assert "there is no family" in unknown.err
    missing = run("convert", tmp_path / "none", *words, "--json")
    assert (missing.code, missing.document["error"]["code"]) == (3, "file_missing")
    assert run("convert", file, "--to", "forge", "--out", out).code == 2


def test_a_file_that_adapts_several_models_gets_no_configuration(run: Run, tmp_path: Path) -> None:
    unet = "lora_unet_mid_block_attentions_0_proj_in"
    encoder = "lora_te_text_model_encoder_layers_0_mlp_fc1"
    out = tmp_path / "adapter_model.safetensors"
    words = ("--to", "peft", "--family", "sd1", "--out", out, "--force")
    for names, is_written in (((unet,), True), ((unet, encoder), False)):
        shapes = ((8, 8), (32, 8))[: len(names)]
        file = write_pairs(tmp_path / "a.safetensors", some_pairs(names, shapes))
        out.with_name("adapter_config.json").unlink(missing_ok=True)
        ran = run("convert", file, *words)
        assert (ran.code, out.with_name("adapter_config.json").exists()) == (0, is_written), ran.err
        assert ("no adapter_config.json was written" in ran.err) != is_written


def test_convert_says_which_namings_a_text_encoder_can_have(run: Run, tmp_path: Path) -> None:
    names = ("lora_te_text_model_encoder_layers_0_mlp_fc1",)
    file = write_pairs(tmp_path / "m.safetensors", some_pairs(names, ((384, 128),)))
    words = ("--family", "miniature", "--out", tmp_path / "out.safetensors")
    refused = run("convert", file, "--to", "comfyui", *words)
    assert f"“{names[0]}” has no known name in ComfyUI for" in refused.err
    assert "kohya (ComfyUI loads it, too)" in refused.err
    assert run("convert", file, "--to", "kohya", *words).code == 0
