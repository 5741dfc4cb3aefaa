"""Commands that compute with the weights of adapters."""

from __future__ import annotations

import hashlib
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest

from lorary.algebra.files import WeightFile
from tests.builders.factors import MODULES, SHAPES, distance, some_pairs, updates, write_pairs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.client.conftest import Ran

    Run = Callable[..., Ran]


@pytest.fixture
def first(tmp_path: Path) -> Path:
    metadata = {"ss_steps": "9", "modelspec.title": "Noir"}
    return write_pairs(tmp_path / "a.safetensors", some_pairs(rank=4), metadata=metadata)


@pytest.fixture
def second(tmp_path: Path) -> Path:
    return write_pairs(tmp_path / "b.safetensors", some_pairs(rank=2, alpha=None, seed=1))


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_energy_and_compare_have_the_documented_results(
    run: Run, first: Path, second: Path
) -> None:
    energies = run("energy", first, "--json").document
    assert list(energies) == ["total", "blocks"]
    assert energies["total"] == pytest.approx(sum((u**2).sum() for u in updates(first).values()))
    assert [list(block) for block in energies["blocks"]] == [["block", "energy", "share"]] * 2
    compared = run("compare", first, second, "--json").document
    assert list(compared) == ["cosine", "blocks", "energy", "metadata"]
    assert list(compared["blocks"][0]) == ["block", "cosine", "energy", "moved"]
    assert compared["metadata"]["ss_steps"] == ["9", None]
    assert "down_blocks.1  " in run("energy", first).out
    table = run("compare", first, second).out
    assert "energy A" in table
    assert "modelspec.title" in table


def test_resize_writes_the_file_that_it_names(run: Run, first: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.safetensors"
    for target, ranks in ((("--rank", 2), {2}), (("--energy", "1"), {4}), (("--bytes", 2000), {1})):
        done = run("resize", first, *target, "--out", out, "--force", "--json").document
        assert done["out"] == {"path": str(out), "sha256": _sha256(out)}
        assert {module["rank"] for module in done["modules"]} >= ranks
        assert 0 < done["kept"] <= 1
    assert "of the energy" in run("resize", first, "--rank", "1", "--out", out, "--force").out


def test_merge_adds_with_strengths(run: Run, first: Path, second: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.safetensors"
    words = ("merge", first, second, "--strengths=-0.5,2", "--out", out)
    done = run(*words, "--json").document
    assert done["out"] == {"path": str(out), "sha256": _sha256(out)}
    for name, update in updates(first).items():
        assert distance(updates(out)[name], -0.5 * update + 2 * updates(second)[name]) < 1e-6
    done = run(*words, "--force", "--mode", "dare", "--seed", 3, "--max-rank", 3, "--json").document
    assert done["mode"] == "dare"
    assert 0 < done["max_relative_error"] < 1
    assert "3, ranks 6 to 6" in run(*words, "--force", "--dtype", "bf16").out
    with WeightFile(out) as file:
        assert file.tensors[f"{MODULES[0]}.lora_up.weight"].dtype == "BF16"
    assert run(*words, "--force", "--dtype", "F32").code == 0
    assert run(*words, "--force", "--dtype", "float32").code == 2


def test_merge_takes_other_namings_and_other_algorithms(
    run: Run, first: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.safetensors"
    peft = tmp_path / "peft.safetensors"
    run("convert", first, "--to", "peft", "--family", "sd1", "--out", peft)
    words = ("merge", first, peft, "--family", "sd1", "--out", out, "--json")
    assert run(*words).document["max_relative_error"] == 0
    for name, update in updates(first).items():
        assert distance(updates(out)[name], 2 * update) < 1e-6
    run(*words, "--to", "diffusers", "--force")
    assert all(name.startswith(("unet.", "text_encoder.")) for name in updates(out))
    compared = run("compare", first, peft, "--family", "sd1", "--json").document
    assert compared["cosine"] == pytest.approx(1)

    dora = write_pairs(
        tmp_path / "dora", some_pairs(), more={f"{MODULES[0]}.dora_scale": np.ones((24, 1))}
    )
    weight = (
        "model.diffusion_model.down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q.weight"
    )
    base = write_pairs(tmp_path / "base.safetensors", [], more={weight: np.eye(24, 20)})
    on_base = (dora, "--base", base, "--max-rank", 3, "--out", out, "--force", "--json")
    done = run("merge", first, *on_base).document
    assert [module["rank"] for module in done["modules"]] == [3, 3, 3]
    assert 0 < done["max_relative_error"] < 1
    rank = ("--max-rank", 3)
    for options, code, exit_code in (
        ((dora,), "no_factors", 1),
        ((dora, "--base", base), "usage", 2),
        ((dora, *rank, "--base", out), "same_file", 1),
        ((dora, *rank, "--base", first), "base_unfit", 1),
        ((dora, *rank, "--base", tmp_path / "x"), "file_missing", 3),
        ((peft, "--family", "sd9"), "usage", 2),
        ((peft, "--to", "sd-webui"), "usage", 2),
    ):
        ran = run("merge", first, *options, "--out", out, "--force", "--json")
        assert (ran.document["error"]["code"], ran.code) == (code, exit_code), options


def test_rewrite_changes_the_metadata_alone(run: Run, first: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.safetensors"
    words = ("--strip-training", "--set", "modelspec.trigger_phrase=a=b", "--unset", "x")
    ran = run("rewrite", first, *words, "--out", out, "--json")
    assert ran.document["removed"] == ["ss_steps"]
    assert ran.document["changed"] == ["modelspec.sai_model_spec", "modelspec.trigger_phrase"]
    assert "modelspec.architecture" in ran.err
    with WeightFile(first) as before, WeightFile(out) as after:
        assert after.metadata["modelspec.trigger_phrase"] == "a=b"
        assert before.array(f"{MODULES[0]}.alpha") == after.array(f"{MODULES[0]}.alpha")


def test_extract_reports_the_error_of_each_module(run: Run, tmp_path: Path) -> None:
    name = "model.diffusion_model.input_blocks.4.1.transformer_blocks.0.attn1.to_q.weight"
    weight = np.random.default_rng(0).standard_normal((20, 16))
    base = write_pairs(tmp_path / "base.safetensors", [], more={name: weight})
    tuned = write_pairs(tmp_path / "tuned.safetensors", [], more={name: weight * 1.5})
    out = tmp_path / "out.safetensors"
    done = run("extract", base, tuned, "--rank", 4, "--out", out, "--json").document
    (module,) = done["modules"]
    assert module["module"] == "lora_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_q"
    assert 0 < module["relative_error"] == done["max_relative_error"] < 1
    assert done["left_out"] == []


def test_refusals_have_codes(run: Run, first: Path, second: Path, tmp_path: Path) -> None:
    out, taken = tmp_path / "out.safetensors", tmp_path / "taken.safetensors"
    taken.write_bytes(b"")
    dora = write_pairs(
        tmp_path / "dora", some_pairs(), more={f"{MODULES[0]}.dora_scale": np.ones((24, 1))}
    )
    wide = write_pairs(tmp_path / "wide", some_pairs(shapes=((24, 22), *SHAPES[1:])))
    for words, code, exit_code in (
        (("resize", dora, "--rank", 2, "--out", out), "no_factors", 1),
        (("merge", first, wide, "--out", out), "modules_differ", 1),
        (("resize", taken, "--rank", 2, "--out", out), "file_empty", 1),
        (("resize", first, "--rank", 2, "--out", taken), "target_taken", 1),
        (("resize", first, "--rank", 2, "--out", first, "--force"), "same_file", 1),
        (("resize", first, "--rank", 2, "--out", first), "same_file", 1),
        (("resize", first, "--rank", 2, "--out", taken / "no" / "x"), "system", 1),
        (("resize", first, "--rank", 2, "--out", tmp_path, "--force"), "target_unusable", 1),
        (("energy", tmp_path / "missing"), "file_missing", 3),
        (("resize", first, "--rank", 0, "--out", out), "usage", 2),
        (("resize", first, "--energy", 2, "--out", out), "usage", 2),
        (("resize", first, "--bytes", "many", "--out", out), "usage", 2),
        (("resize", first, "--bytes", 0, "--out", out), "usage", 2),
        (("resize", first, "--bytes", "0.2", "--out", out), "usage", 2),
        (("resize", first, "--rank", 2, "--bytes", "5MB", "--out", out), "usage", 2),
        (("resize", first, "--out", out), "usage", 2),
        (("merge", first, second, "--strengths", "1", "--out", out), "usage", 2),
        (("rewrite", first, "--out", out), "usage", 2),
        (("rewrite", first, "--set", "key", "--out", out), "usage", 2),
        (("rewrite", first, "--set", "modelspec.date=x", "--out", out), "metadata_invalid", 1),
    ):
        ran = run(*words, "--json")
        assert (ran.document["error"]["code"], ran.code) == (code, exit_code), words
    assert not out.exists()


def test_the_folder_of_the_output_is_created(run: Run, first: Path, tmp_path: Path) -> None:
    for number, words in enumerate(
        (
            ("rewrite", first, "--unset", "ss_steps"), ("resize", first, "--rank", 1),
            ("merge", first, first), ("convert", first, "--to", "diffusers", "--family", "sd1"),
        )
    ):  # fmt: skip
        out = tmp_path / f"new{number}" / "more" / "out.safetensors"
        ran = run(*words, "--out", out)
        assert (ran.code, out.is_file()) == (0, True), ran.err


def test_without_numpy_the_command_says_what_to_install(
    run: Run, first: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    monkeypatch.delitem(sys.modules, "lorary.algebra.files")
    ran = run("energy", first)
    assert ran.code == 1
    assert "pip install 'lorary[algebra]'" in ran.err


def test_names_of_adapters_are_no_files_to_compare(run: Run, first: Path) -> None:
    ran = run("compare", "lorary/gold", "lorary/neon")
    assert ran.code == 3
    assert "lorary pull lorary/gold" in ran.err
    assert "/compare?a=lorary/gold&b=lorary/neon" in ran.err
    ran = run("compare", first, "lorary/neon")
    assert ("lorary pull lorary/neon" in ran.err, "/compare?" in ran.err) == (True, False)
    assert "loras/a.safetensors does not exist." in run("compare", first, "loras/a.safetensors").err
