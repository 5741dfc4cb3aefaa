"""Checkpoints in a single file draw what the folder draws that they were made from."""

from __future__ import annotations

import json
import shutil
from io import StringIO
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from django.core.management import call_command

from previews.render import BaseUnavailable, load_bases
from previews.render.bases.libraries import quiet
from previews.render.bases.verify import verify
from previews.render.defaults import recipe_of
from previews.render.engine import Engine
from tests.previews import checkpoints
from tests.previews.families import bases, texts, videos
from tests.previews.updates import pixels, some_updates, write_kohya

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    Build = Callable[[], Any]
    Write = Callable[[Path, Any], Path]


def sdxl() -> Any:
    """Its text encoders differ in width, by which diffusers tells them apart."""
    model = bases.made(
        "UNet2DConditionModel", block_out_channels=(8, 16, 16), layers_per_block=2,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        transformer_layers_per_block=(1, 1, 2), attention_head_dim=(2, 2, 2), sample_size=16,
        cross_attention_dim=48, norm_num_groups=4, use_linear_projection=True,
        addition_embed_type="text_time", addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=6 * 8 + 32,
    )  # fmt: skip
    return bases.made(
        "StableDiffusionXLPipeline", vae=bases.vae(), text_encoder=texts.clip(),
        text_encoder_2=texts.clip(32, width=32), tokenizer=texts.tokenizer(),
        tokenizer_2=texts.tokenizer(), unet=model, scheduler=bases.made("EulerDiscreteScheduler"),
    )  # fmt: skip


def ltx() -> Any:
    return next(tiny for tiny in videos.VIDEOS if tiny.family == "ltx_video").build()


def transformer_alone(path: Path, pipeline: Any) -> Path:
    return checkpoints.write_part(path, pipeline.transformer)


UNET = ("unet", "vae", "text_encoder", "text_encoder_2")


def placed(folder: Path, family: str, build: Build, write: Write, held: Sequence[str]) -> Path:
    """A bases file with the same model as a folder, and as a file with what it does not hold."""
    with quiet(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        pipeline = build()
        pipeline.save_pretrained(folder / "whole")
    shutil.copytree(folder / "whole", folder / "built")
    for part in held:
        for weights in (folder / "built" / part).glob("*.safetensors"):
            weights.unlink()
    write(folder / "model.safetensors", pipeline)
    more = 'device = "cpu"\ndtype = "float32"\nsteps = 2\nwidth = 32\nheight = 32\n'
    more += "frames = 9\n" if family == "ltx_video" else ""
    file = folder / "bases.toml"
    file.write_text(
        f'[bases.folder]\nfamily = "{family}"\npath = "whole"\n{more}'
        f'[bases.file]\nfamily = "{family}"\nfile = "model.safetensors"\nconfig = "built"\n{more}'
    )
    return file


@pytest.mark.parametrize(
    ("family", "build", "write", "held"),
    [
        ("sd1", bases.sd1, checkpoints.write_stable_diffusion, UNET),
        ("sdxl", sdxl, checkpoints.write_stable_diffusion, UNET),
        ("flux1", bases.flux1, transformer_alone, ("transformer",)),
        ("ltx_video", ltx, checkpoints.write_ltx, ("transformer",)),
    ],
)
def test_a_single_file_is_drawn_as_its_folder(
    tmp_path: Path, family: str, build: Build, write: Write, held: Sequence[str]
) -> None:
    known = load_bases(placed(tmp_path, family, build, write, held))
    assert [fault for base in known for fault in verify(base) if fault.is_fatal] == []
    drawn = []
    for base in known:
        asked = recipe_of(base, prompts=["a cat"], seeds=[1], strengths=[0.0])
        drawn.append(pixels(Engine(known).render(asked)[0].png))
    assert np.array_equal(drawn[0], drawn[1])
    assert drawn[0].std() > 5


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("original")
    placed(folder, "sd1", bases.sd1, checkpoints.write_stable_diffusion, UNET)
    return folder


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    """A checkpoint to break."""
    return shutil.copytree(original, tmp_path / "bases")


def refused(folder: Path) -> tuple[str, str]:
    """What ``verify`` says, and what opening it says."""
    known = load_bases(folder / "bases.toml")
    faults = [fault.message for fault in verify(known.get("file")) if fault.is_fatal]
    with pytest.raises(BaseUnavailable) as caught:
        Engine(known).bases.get("file")
    return "; ".join(faults), str(caught.value)


def test_an_adapter_is_no_checkpoint(folder: Path) -> None:
    with quiet():
        write_kohya(folder / "model.safetensors", some_updates(bases.sd1()))
    said, opened = refused(folder)
    assert "is a LoRA adapter" in said
    assert "not a base model" in said
    assert "cannot be opened" in opened


def test_a_checkpoint_of_another_family_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tables know published sizes only: what they say of such a file is put in."""

    monkeypatch.setattr(
        "previews.render.bases.verify.checkpoint_families", lambda _tensors: {"sdxl": 0}
    )
    [fault] = verify(load_bases(folder / "bases.toml").get("file"))
    assert "is for Stable Diffusion XL, not for Stable Diffusion 1.x" in fault.message
    assert fault.is_fatal


def test_half_a_checkpoint_is_refused(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    said, opened = refused(folder)
    assert said.startswith("bases/model.safetensors: ")
    assert "cannot be opened" in opened


def test_a_checkpoint_without_text_encoder_is_refused(folder: Path) -> None:
    with quiet():
        checkpoints.write_part(folder / "model.safetensors", bases.sd1().unet)
    known = load_bases(folder / "bases.toml")
    with pytest.raises(BaseUnavailable, match="cannot be opened"):
        Engine(known).bases.get("file")


def test_pickles_are_not_read_in_place_of_what_a_checkpoint_lacks(folder: Path) -> None:
    (folder / "built" / "text_encoder" / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    said, opened = refused(folder)
    assert "text_encoder: only pickle files (pytorch_model.bin), which are never loaded" in said
    assert "only pickle files, which are never loaded" in opened


@pytest.mark.parametrize(
    ("gone", "why"),
    [
        ("model.safetensors", "no such file. Correct “file”"),
        ("built", "built. Correct “config”"),
        ("built/model_index.json", "no model_index.json in the folder"),
    ],
)
def test_what_is_not_there_is_named(folder: Path, gone: str, why: str) -> None:
    place = folder / gone
    (shutil.rmtree if place.is_dir() else type(place).unlink)(place)
    out = StringIO()
    asked = ("list", "file", "--bases", str(folder / "bases.toml"))
    with pytest.raises(SystemExit):
        call_command("bases", *asked, stdout=out)
    assert why in out.getvalue()
    assert f"model.safetensors, configuration {folder / 'built'}" in out.getvalue()
    assert refused(folder)


def test_a_checkpoint_is_measured_like_a_folder(folder: Path) -> None:
    out = StringIO()
    asked = ("measure", "file", "--json", "--bases", str(folder / "bases.toml"))
    with pytest.raises(SystemExit) as leaving:
        call_command("bases", *asked, stdout=out, stderr=StringIO())
    assert leaving.value.code == 0
    assert json.loads(out.getvalue())["bases"][0]["ok"]
