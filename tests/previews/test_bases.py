"""The bases file: what it may say, and how it says no."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from previews.render import BasesInvalid, BaseUnavailable, load_bases
from previews.render.bases import bases_file as bases_module

if TYPE_CHECKING:
    from pathlib import Path

FOLDER = '[bases.a]\nfamily = "sdxl"\npath = "models/a"\n'


def write(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "bases.toml"
    file.write_text(text)
    return file


def test_the_file_that_comes_along_has_the_miniature() -> None:
    base = load_bases().get("miniature")
    assert (base.family, base.steps, base.guidance, base.width) == ("miniature", 8, 2.5, 256)
    assert base.location.endswith("previews/miniature/base")


def test_the_documented_example_is_valid(request: pytest.FixtureRequest) -> None:
    bases = load_bases(request.config.rootpath / "docs" / "bases.example.toml")
    assert {"sd1", "sdxl", "flux1"} <= {base.family for base in bases}


def test_folders_are_relative_to_the_file(tmp_path: Path) -> None:
    base = load_bases(write(tmp_path, FOLDER)).get("a")
    assert base.is_local
    assert base.location == str(tmp_path / "models" / "a")


def test_a_folder_that_is_not_there_serves_nobody(tmp_path: Path) -> None:
    bases = load_bases(write(tmp_path, FOLDER))
    assert bases.serving("sdxl") == []
    assert not bases.families
    (tmp_path / "models" / "a").mkdir(parents=True)
    (tmp_path / "models" / "a" / "model_index.json").write_text("{}")
    assert bases.serving("sdxl") == [bases.get("a")]
    assert bases.families == ("sdxl",)


INT8 = 'quantization = "torchao-int8"\n'
CHECKPOINT = '[bases.a]\nfamily = "sdxl"\nfile = "a.safetensors"\nconfig = "built"\n'


def test_a_checkpoint_and_how_it_is_built_are_relative_to_the_file(tmp_path: Path) -> None:
    for text in (CHECKPOINT, CHECKPOINT.replace("file", "path")):
        base = load_bases(write(tmp_path, text)).get("a")
        assert (base.is_local, base.is_single_file) == (True, True)
        assert base.location == str(tmp_path / "a.safetensors")
        assert base.config == str(tmp_path / "built")
        assert not base.is_present
    (tmp_path / "built").mkdir()
    (tmp_path / "built" / "model_index.json").write_text("{}")
    assert not base.is_present
    (tmp_path / "a.safetensors").write_bytes(b"weights")
    assert base.is_present


def test_a_hub_id_serves_when_it_is_in_the_cache_or_may_be_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    text = '[bases.a]\nfamily = "sd1"\nrepo = "some/model"\n'
    bases = load_bases(write(tmp_path, text))
    assert bases.serving("sd1") == []
    assert load_bases(write(tmp_path, text + "download = true\n")).families == ("sd1",)
    snapshot = tmp_path / "models--some--model" / "snapshots" / "c0ffee"
    snapshot.mkdir(parents=True)
    (snapshot / "model_index.json").write_text("{}")
    (tmp_path / "models--some--model" / "refs").mkdir()
    (tmp_path / "models--some--model" / "refs" / "main").write_text("c0ffee")
    assert bases.serving("sd1") == [bases.get("a")]


def test_whole_numbers_do_for_numbers(tmp_path: Path) -> None:
    base = load_bases(write(tmp_path, FOLDER + "guidance = 4\n")).get("a")
    assert isinstance(base.guidance, float)


def test_an_unknown_base_is_named(tmp_path: Path) -> None:
    with pytest.raises(BaseUnavailable, match="“b”"):
        load_bases(write(tmp_path, FOLDER)).get("b")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[bases.a]\npath = 'x'\n", "“family” is missing"),
        ('[bases.a]\nfamily = "sd1"\n', "one of “path”"),
        (FOLDER + 'repo = "x/y"\n', "one of “path”"),
        (FOLDER + 'file = "x.safetensors"\n', "one of “path”"),
        (FOLDER + 'config = "x"\n', "“config” is only for a checkpoint"),
        (CHECKPOINT.replace("config", "title"), "a checkpoint needs “config”"),
        (CHECKPOINT.replace(".safetensors", ".ckpt"), "“file” must end in .safetensors or .gguf"),
        (FOLDER + "steps = 0\n", "“steps” must be between 1 and 200, not 0"),
        (FOLDER + "steps = true\n", "“steps” must be a whole number, not True"),
        (FOLDER + 'steps = "8"\n', "“steps” must be a whole number, not '8'"),
        (FOLDER + "width = 100\n", "“width” must be a multiple of 8, not 100"),
        (FOLDER + 'dtype = "fp16"\n', "“dtype” must be one of bfloat16, float16, float32"),
        (FOLDER + 'device = "gpu"\n', "“device” must be auto, cpu, mps, cuda or cuda:N"),
        (FOLDER + 'trigger = "middle"\n', "“trigger” must be one of end, front, none"),
        (FOLDER + 'quantization = "int8"\n', "“quantization” must be one of bitsandbytes-4bit"),
        (FOLDER + 'quantized_parts = ["unet"]\n', "“quantized_parts” needs “quantization”"),
        (FOLDER + f"{INT8}quantized_parts = []\n", "“quantized_parts” must be a list of names"),
        (FOLDER + f"{INT8}quantized_parts = [3]\n", "“quantized_parts” must be a list of names"),
        (FOLDER + INT8 + 'offload = "sequential"\n', "“offload” must be none or model"),
        (FOLDER + INT8 + "compile = true\n", "“compile” is for bases that are neither"),
        (FOLDER + 'offload = "model"\ncompile = true\n', "“compile” is for bases that are neither"),
        (FOLDER + 'quantization = "bitsandbytes-4bit"\ndevice = "cpu"\n', "needs an NVIDIA card"),
        (CHECKPOINT + INT8, "“quantization” needs a folder or “repo”"),
        (CHECKPOINT.replace(".safetensors", ".gguf") + INT8, "is quantised already"),
        (FOLDER + "stepps = 3\n", "unknown key “stepps”; known are batch,"),
        (
            "[bases.A]\nfamily = 'sd1'\npath = 'x'\n",
            "the name must have at most 48 lower-case letters",
        ),
        ("[base.a]\n", "unknown table “base”"),
        ("bases = 3\n", "must be tables"),
        ("bases = [", "bases.toml: "),
    ],
)
def test_faults_are_named(tmp_path: Path, text: str, fault: str) -> None:
    with pytest.raises(BasesInvalid) as caught:
        load_bases(write(tmp_path, text))
    assert fault in str(caught.value)


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(BasesInvalid) as caught:
        load_bases(write(tmp_path, FOLDER + "steps = 0\nheight = 9\n"))
    assert "“steps”" in str(caught.value)
    assert "“height”" in str(caught.value)


def test_an_absent_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BasesInvalid, match=r"gone\.toml"):
        load_bases(tmp_path / "gone.toml")


def test_every_key_is_documented(request: pytest.FixtureRequest) -> None:
    text = (request.config.rootpath / "docs" / "previews.md").read_text()
    assert [key for key in bases_module._KNOWN if f"`{key}`" not in text] == []
