"""Exports give the hub's own pictures: the script, ``load_pack`` and the ComfyUI workflow."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("diffusers")
pytest.importorskip("peft")

from diffusers import DiffusionPipeline  # noqa: E402
from PIL import Image  # noqa: E402

from lorary.exports import export, look_of  # noqa: E402
from lorary.integrations.diffusers import load_pack  # noqa: E402
from tests.documents import snippets  # noqa: E402
from tests.exports.comfy_nodes import Interpreter  # noqa: E402
from tests.exports.conftest import BASE, PACK, SEED, SUBJECT, VARIANTS, Fair  # noqa: E402

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

Pictures = dict[str, np.ndarray[Any, Any]]
DOCS = "docs/clients.md"
NAMES = [variant["name"] for variant in VARIANTS]


def difference(first: np.ndarray[Any, Any], second: np.ndarray[Any, Any]) -> int:
    assert first.shape == second.shape
    return int(abs(first - second).max())


def pixels(picture: Image.Image) -> np.ndarray[Any, Any]:
    return np.asarray(picture.convert("RGB")).astype(int)


@pytest.fixture
def pipe() -> Any:
    opener: Any = DiffusionPipeline
    opened = opener.from_pretrained(BASE, torch_dtype=torch.float32)
    opened.set_progress_bar_config(disable=True)
    return opened


@pytest.mark.parametrize("name", [NAMES[0], pytest.param(NAMES[1], marks=pytest.mark.long)])
def test_a_pulled_pack_and_its_script_give_the_picture_elsewhere(
    fair: Fair, pictures: Pictures, tmp_path: Path, name: str
) -> None:
    """In another process, with another home, from nothing but the commands in the script."""

    def run(*command: object) -> None:
        kept = {key: value for key, value in os.environ.items() if not key.startswith("LORARY_")}
        ran = subprocess.run(
            [sys.executable, *map(str, command)],
            cwd=tmp_path,
            env={
                **kept, "LORARY_HOME": str(tmp_path / "home"), "LORARY_ENDPOINT": fair.hub.url,
                "OMP_NUM_THREADS": "1",
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )  # fmt: skip
        assert ran.returncode == 0, ran.stderr

    lorary, pack = ("-m", "lorary"), f"{PACK}@v1"
    run(*lorary, "pull", f"pack:{pack}", "--variant", name, "--to", "loras")
    run(*lorary, "pack", "export", pack, "--for", "diffusers", "--variant", name, "--out", "a.py")
    run("a.py", "--base", BASE, "--prompt", SUBJECT, "--seed", SEED, "--out", "out.png")
    assert difference(pixels(Image.open(tmp_path / "out.png")), pictures[name]) <= 1


@pytest.mark.filterwarnings("ignore:Already found a `peft_config`")  # the second part
def test_load_pack_gives_the_pictures_one_after_the_other(
    fair: Fair, pictures: Pictures, pipe: Any
) -> None:
    for name in [*NAMES, NAMES[0]]:
        with fair.client() as hub:
            look = load_pack(pipe, f"pack:{PACK}@v1", variant=name, hub=hub)
        generator = torch.Generator("cpu").manual_seed(SEED)
        arguments = look(SUBJECT)
        assert arguments["prompt"] == look_of(fair.version, name).prompt_for(SUBJECT)
        picture = pipe(**arguments, generator=generator).images[0]
        assert difference(pixels(picture), pictures[name]) <= 1, name


@pytest.mark.parametrize("name", [NAMES[0], pytest.param(NAMES[1], marks=pytest.mark.long)])
def test_the_comfyui_workflow_gives_the_picture(
    fair: Fair, pictures: Pictures, tmp_path: Path, name: str
) -> None:
    with fair.client() as hub:
        hub.pull_pack(PACK, variant=name, to=tmp_path)
    workflow = json.loads(export(look_of(fair.version, name), "comfyui").text)
    (subject,) = (
        one for one in workflow.values() if one.get("_meta", {}).get("title") == "Subject"
    )
    (sampler,) = (one for one in workflow.values() if one["class_type"] == "KSampler")
    subject["inputs"]["value"], sampler["inputs"]["seed"] = SUBJECT, SEED
    ran = Interpreter({"miniature.safetensors": BASE}, tmp_path).run(workflow)
    assert difference(ran, pictures[name]) <= 1


@pytest.mark.filterwarnings("ignore:Already found a `peft_config`")  # the second part
def test_the_code_of_the_documents_gives_the_picture(
    fair: Fair, pictures: Pictures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (code,) = snippets(DOCS, "python", "Packs")
    for written, here in (
        ("studio/dusk@v2", f"{PACK}@v1"), ("sdxl", NAMES[0]), ("a lighthouse", SUBJECT),
        ("manual_seed(7)", f"manual_seed({SEED})"),
    ):  # fmt: skip
        assert written in code
        code = code.replace(written, here)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LORARY_ENDPOINT", fair.hub.url)
    monkeypatch.setenv("LORARY_HOME", str(tmp_path / "home"))
    (tmp_path / "base").symlink_to(BASE)
    exec(compile(code, DOCS, "exec"), {})
    with Image.open(tmp_path / "lighthouse.png") as made:
        assert difference(pixels(made), pictures[NAMES[0]]) <= 1
