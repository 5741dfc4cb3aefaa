"""Encoders of several architectures are opened by one call; what is wrong with one is said."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import (
    CLIPConfig,
    CLIPModel,
    CLIPTextConfig,
    CLIPVisionConfig,
    Dinov2Config,
    Dinov2Model,
    ResNetConfig,
    ResNetModel,
)

from previews.render import EncoderUnavailable, load_bases
from previews.render.bases.verify import verify
from previews.render.look.encoder import Encoder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NARROW: dict[str, Any] = {
    "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16,
}  # fmt: skip


def clip() -> Any:
    text = CLIPTextConfig(**NARROW, vocab_size=30, max_position_embeddings=8)
    vision = CLIPVisionConfig(**NARROW, image_size=32, patch_size=8)
    return CLIPModel(
        CLIPConfig(text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=12)
    )


def dino() -> Any:
    config = Dinov2Config(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=32, patch_size=8
    )
    return Dinov2Model(config)


def resnet() -> Any:
    return ResNetModel(
        ResNetConfig(embedding_size=8, hidden_sizes=[8, 20], depths=[1, 1], layer_type="basic")
    )


def write(folder: Path, make: Callable[[], Any], **settings: Any) -> Path:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        make().save_pretrained(folder)
    text = json.dumps({"size": {"shortest_edge": 36}, "crop_size": 32, **settings})
    (folder / "preprocessor_config.json").write_text(text)
    return folder


def png(width: int, height: int, *, color: tuple[int, int, int] = (200, 30, 60)) -> bytes:
    picture = Image.new("RGB", (width, height), color)
    picture.paste((0, 0, 0), (width // 4, height // 4, width // 2, height // 2))
    data = io.BytesIO()
    picture.save(data, "PNG")
    return data.getvalue()


@pytest.mark.parametrize(("make", "size"), [(clip, 12), (dino, 16), (resnet, 20)])
def test_features_are_vectors_of_length_one(
    tmp_path: Path, make: Callable[[], Any], size: int
) -> None:
    encoder = Encoder(write(tmp_path / "encoder", make))
    pictures = [png(64, 64), png(128, 64), png(20, 30, color=(0, 200, 0))] * 4
    found = encoder.features(pictures)
    assert [one.shape for one in found] == [(size,)] * 12
    assert [float(np.linalg.norm(one)) for one in found] == pytest.approx([1.0] * 12)
    assert np.allclose(found[0], found[3])
    assert not np.allclose(found[0], found[2])


def test_the_digest_is_that_of_all_files(tmp_path: Path) -> None:
    folder = write(tmp_path / "encoder", resnet)
    before = Encoder(folder).digest
    assert Encoder(folder).digest == before
    write(folder, resnet, image_mean=[0.1, 0.1, 0.1])
    assert Encoder(folder).digest != before


@pytest.mark.parametrize("absent", ["config.json", "preprocessor_config.json", "model.safetensors"])
def test_an_encoder_that_lacks_a_file_is_refused(tmp_path: Path, absent: str) -> None:
    folder = write(tmp_path / "encoder", resnet)
    (folder / absent).unlink()
    with pytest.raises(EncoderUnavailable, match="“encoder” cannot be opened"):
        Encoder(folder)


def test_bytes_that_are_no_picture_are_refused(tmp_path: Path) -> None:
    encoder = Encoder(write(tmp_path / "encoder", resnet))
    with pytest.raises(OSError, match="cannot identify"):
        encoder.features([b"no picture"])


def test_the_encoder_of_a_base_is_relative_to_the_file_and_verified(tmp_path: Path) -> None:
    file = tmp_path / "bases.toml"
    file.write_text('[bases.a]\nfamily = "sdxl"\nrepo = "some/model"\nencoder = "small"\n')
    base = load_bases(file).get("a")
    assert base.encoder == str(tmp_path / "small")

    def faults() -> list[str]:
        return [fault.message for fault in verify(base) if "encoder" in fault.message]

    assert faults() == [f"encoder: no folder {tmp_path / 'small'}"]
    write(tmp_path / "small", resnet)
    assert faults() == []
    (tmp_path / "small" / "model.safetensors").write_bytes(b"damaged")
    assert len(faults()) == 1
    assert not any(fault.is_fatal for fault in verify(base) if "encoder" in fault.message)
