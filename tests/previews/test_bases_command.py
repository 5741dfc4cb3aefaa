"""``manage.py bases``: what people are told of their base models."""

from __future__ import annotations

import json
import shutil
from io import StringIO
from typing import TYPE_CHECKING, Any

import pytest
import torch
from django.core.management import call_command
from django.core.management.base import CommandError

from previews.render import load_bases
from previews.render.bases import measure
from previews.render.bases.verify import Fault, verify
from tests.previews.fresh import run_fresh

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

INDEX = "model_index.json"


def run(*arguments: str) -> tuple[int, str, str]:
    out, err = StringIO(), StringIO()
    with pytest.raises(SystemExit) as leaving:
        call_command("bases", *arguments, stdout=out, stderr=err)
    return int(leaving.value.code or 0), out.getvalue(), err.getvalue()


def asked(*arguments: str) -> tuple[int, Any]:
    code, out, _err = run(*arguments, "--json")
    assert out.count("\n") == 1
    return code, json.loads(out)


@pytest.fixture
def folder(tiny_folder: Path, tmp_path: Path) -> Path:
    """A base to break."""
    shutil.copytree(tiny_folder, tmp_path / "tiny")
    return tmp_path / "tiny"


@pytest.fixture
def file(folder: Path) -> Path:
    return write(folder)


def write(folder: Path, more: str = "") -> Path:
    file = folder.parent / "bases.toml"
    file.write_text(
        '[bases.tiny]\nfamily = "miniature"\npath = "tiny"\ndevice = "cpu"\nsteps = 2\n'
        f"width = 64\nheight = 64\nbatch = 3\n{more}"
    )
    return file


def faults(file: Path) -> list[Fault]:
    return [fault for base in load_bases(file) for fault in verify(base)]


def test_the_list_names_every_base(file: Path) -> None:
    code, out, _err = run("--bases", str(file))
    assert code == 0
    header, row, where = out.splitlines()
    assert header.split() == ["id", "family", "size", "steps", "device", "dtype", "offload", "here"]
    assert row.split() == ["tiny", "miniature", "64x64", "2", "cpu", "float32", "none", "yes"]
    assert where.strip() == str(file.parent / "tiny")


def test_the_list_says_why_a_base_is_not_here(file: Path, folder: Path) -> None:
    shutil.rmtree(folder)
    code, out, _err = run("list", "--bases", str(file))
    assert code == 0
    assert "no such folder. Correct “path”" in out
    folder.mkdir()
    assert "no model_index.json in the folder" in run("list", "--bases", str(file))[1]
    folder.rmdir()
    folder.write_bytes(b"weights")
    assert "a single file" in run("list", "--bases", str(file))[1]


def test_a_hub_id_that_is_not_in_the_cache_is_not_here(tmp_path: Path) -> None:
    file = tmp_path / "bases.toml"
    file.write_text('[bases.a]\nfamily = "sd1"\nrepo = "nobody/nothing-here"\nrevision = "r1"\n')
    code, document = asked("verify", "--bases", str(file))
    assert (code, document["ok"]) == (1, False)
    [fault] = document["bases"][0]["faults"]
    assert "not in the local cache" in fault["message"]
    assert "hf download nobody/nothing-here --revision r1" in fault["hint"]
    file.write_text('[bases.a]\nfamily = "sd1"\nrepo = "nobody/nothing-here"\ndownload = true\n')
    assert asked("verify", "--bases", str(file))[0] == 0


def test_the_bases_of_the_miniature_are_without_fault() -> None:
    code, out, _err = run("verify")
    assert (code, out) == (0, "ok      miniature\nok      miniature-motion\n")


def remove_weights(folder: Path) -> None:
    (folder / "unet" / "diffusion_pytorch_model.safetensors").unlink()


def pickle_only(folder: Path) -> None:
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_suffix(".bin"))


def cut_short(folder: Path) -> None:
    weights = folder / "vae" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])


def index(folder: Path, **said: Any) -> None:
    file = folder / INDEX
    file.write_text(json.dumps(json.loads(file.read_text()) | said))


def shards(folder: Path, names: Any) -> None:
    remove_weights(folder)
    file = folder / "unet" / "diffusion_pytorch_model.safetensors.index.json"
    file.write_text(json.dumps({"weight_map": names}))


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (remove_weights, "unet: no weights as safetensors"),
        (
            pickle_only,
            "unet: only pickle files (diffusion_pytorch_model.bin), which are never loaded",
        ),
        (cut_short, "vae/diffusion_pytorch_model.safetensors: "),
        (lambda at: (at / INDEX).write_text("{"), "model_index.json is not valid JSON"),
        (lambda at: (at / INDEX).write_text("[" * 10**5), "model_index.json is not valid JSON"),
        (
            lambda at: (at / INDEX).write_text("[]"),
            "model_index.json is too large or not a JSON object",
        ),
        (lambda at: (at / "unet" / "config.json").unlink(), "unet/config.json is missing"),
        (lambda at: shutil.rmtree(at / "tokenizer"), "tokenizer: the folder is missing"),
        (lambda at: shutil.rmtree(at / "scheduler"), "scheduler: the folder is missing"),
        (lambda at: index(at, _class_name="FancyPipeline"), "diffusers has no FancyPipeline"),
        (lambda at: index(at, _class_name=["mine", "Own"]), "names no pipeline of diffusers"),
        (lambda at: index(at, **{"../unet": ["diffusers", "X"]}), "an invalid component '../unet'"),
        (
            lambda at: shards(at, {"a": "model-1.safetensors"}),
            "unet/model-1.safetensors is missing",
        ),
        (lambda at: shards(at, {"a": "../x.safetensors"}), "names files in other folders"),
        (
            lambda at: shards(at, {"a": "model-1.bin"}),
            "names files in other folders or of other types",
        ),
        (lambda at: shards(at, []), "has no “weight_map”"),
    ],
)
def test_a_broken_base_is_named_with_what_to_do(
    folder: Path, file: Path, harm: Callable[[Path], object], message: str
) -> None:
    harm(folder)
    [fault] = faults(file)
    assert message in fault.message
    assert fault.hint
    code, out, _err = run("verify", "--bases", str(file))
    assert code == 1
    assert out.startswith("ERROR   tiny\n")
    assert message in out


def test_a_pipeline_of_another_family_is_named(folder: Path) -> None:
    file = write(folder)
    file.write_text(file.read_text().replace('"miniature"', '"sdxl"'))
    [fault] = faults(file)
    assert "it is a StableDiffusionPipeline; sdxl is rendered by StableDiffusionXL" in fault.message


def test_pickles_beside_weights_are_only_mentioned(folder: Path, file: Path) -> None:
    (folder / "unet" / "diffusion_pytorch_model.bin").write_bytes(b"\x80\x04.")
    code, out, _err = run("verify", "--bases", str(file))
    assert code == 0
    assert "note: unet: pickle files in the folder" in out


def test_a_variant_and_its_shards_are_found(folder: Path) -> None:
    file = write(folder, 'variant = "fp16"\n')
    assert faults(file) == []  # the plain files will do
    shard = folder / "unet" / "diffusion_pytorch_model.fp16-00001-of-00001.safetensors"
    (folder / "unet" / "diffusion_pytorch_model.safetensors").rename(shard)
    listed = folder / "unet" / "diffusion_pytorch_model.safetensors.index.fp16.json"
    listed.write_text(json.dumps({"weight_map": {"a": shard.name}}))
    assert faults(file) == []


def test_every_fault_is_told(folder: Path, file: Path) -> None:
    pickle_only(folder)
    cut_short(folder)
    assert len(faults(file)) == 2


def test_an_unknown_name_is_refused_with_those_that_there_are(file: Path) -> None:
    with pytest.raises(CommandError, match=r"no base model “sdxl”\. Known base models: tiny\."):
        call_command("bases", "verify", "sdxl", "--bases", str(file))
    code, document = asked("verify", "sdxl", "--bases", str(file))
    assert (code, document["error"]["code"]) == (1, "base_unavailable")


def test_an_unknown_key_is_refused(folder: Path) -> None:
    file = write(folder, "stepps = 3\nguidance = -1\n")
    with pytest.raises(CommandError) as caught:
        call_command("bases", "--bases", str(file))
    assert "unknown key “stepps”" in str(caught.value)
    assert "\nbases.toml: base “tiny”: “guidance” must" in str(caught.value)
    code, document = asked("--bases", str(file))
    assert (code, document["error"]["code"]) == (1, "bases_invalid")


def test_warm_opens_and_renders(file: Path) -> None:
    code, out, err = run("warm", "tiny", "--bases", str(file))
    assert code == 0
    assert out.startswith("ok      tiny\n  opened in ")
    assert err.splitlines() == ["tiny: opening …", "tiny: rendering a picture …"]


def test_measure_says_what_to_write_into_the_file(file: Path) -> None:
    code, out, _err = run("measure", "--bases", str(file))
    assert code == 0
    assert "    memory_gb = " in out
    assert "    batch = " in out
    assert "    weights: " in out
    assert "    copy of the weights that an adapter changes: at most 0." in out
    assert "beside quantised layers" not in out
    code, document = asked("measure", "--bases", str(file))
    [told] = document["bases"]
    assert code == 0
    assert told["batch_tried"] == 3
    assert told["batch"] in {1, 3}
    assert told["vram_gb"] is None
    assert told["ram_gb"] > told["ram_added_gb"] >= 0
    assert 0 < told["picture_s"] < 60
    plan = told["plan"]
    assert plan["parts"].keys() == {"unet", "vae", "text_encoder"}
    assert 0 <= plan["originals_gb"] <= sum(plan["parts"].values())
    assert (plan["quantized"], plan["pairs_gb"], plan["matrices_gb"]) == ([], 0, 0)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("call = { clip_skip = 'x' }\n", "renders no picture: "),
        ('sampler = "NoScheduler"\n', "There is no sampler “NoScheduler”."),
    ],
)
def test_a_base_that_opens_and_cannot_render_is_refused_politely(
    folder: Path, more: str, words: str
) -> None:
    file = write(folder, more)
    for verb in ("warm", "measure"):
        code, out, _err = run(verb, "--bases", str(file))
        assert code == 1
        assert words in out


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a graphics card")
@pytest.mark.parametrize("verb", ["warm", "measure"])
def test_a_graphics_card_that_is_not_there_is_said(folder: Path, verb: str) -> None:
    file = write(folder)
    file.write_text(file.read_text().replace('"cpu"', '"cuda"'))
    code, out, _err = run(verb, "--bases", str(file))
    assert code == 1
    assert "“tiny” cannot be opened" in out
    assert "CUDA" in out


def test_on_a_graphics_card_its_peak_is_what_is_proposed(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CUDA itself is pretended: what it tells goes into the proposal."""
    asked_for: list[str] = []
    monkeypatch.setattr(measure, "device_of", lambda _base: "cuda:1")
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.reset_peak_memory_stats", asked_for.append)
    monkeypatch.setattr("torch.cuda.max_memory_reserved", lambda _device: 5_000_000_000)
    _code, document = asked("measure", "--bases", str(file))
    [told] = document["bases"]
    assert asked_for == ["cuda:1"]
    assert (told["device"], told["vram_gb"], told["memory_gb"]) == ("cuda:1", 5.0, 5.5)


def test_a_base_that_does_not_open_does_not_stop_the_next(folder: Path) -> None:
    cut_short(folder)
    file = write(folder, '[bases.gone]\nfamily = "sd1"\npath = "gone"\n')
    code, document = asked("warm", "--bases", str(file))
    assert code == 1
    assert [told["ok"] for told in document["bases"]] == [False, False]
    assert "cannot be opened" in document["bases"][0]["error"]


def test_list_and_verify_import_no_torch() -> None:
    code = (
        "import sys, django; django.setup()\n"
        "from django.core.management import call_command\n"
        "for verb in ('list', 'verify'):\n"
        "    try: call_command('bases', verb)\n"
        "    except SystemExit as leaving: assert not leaving.code\n"
        "sys.exit(bool({'torch', 'diffusers', 'transformers'} & set(sys.modules)))"
    )
    done = run_fresh(code)
    assert done.returncode == 0, done.stderr
