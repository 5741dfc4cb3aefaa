"""Opens the image encoder of a base and returns features of pictures.

An encoder is a folder that ``AutoModel`` of transformers opens, with ``preprocessor_config.json``:
CLIP, SigLIP, DINO, a ResNet, or the small one of the miniature. It runs on the CPU in float32, so
that features do not depend on the machine's graphics card. Importing this module imports torch.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from transformers import AutoModel

from previews.render.bases.libraries import LIBRARY_ERRORS, quiet
from previews.render.bases.model_paths import ENCODER_FILES
from previews.render.errors import EncoderUnavailable
from previews.render.look.measures import Vector

#: Pictures in one call.
BATCH = 8

_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Encoder:
    """An opened encoder; ``digest`` identifies its files (64 hex digits)."""

    def __init__(self, folder: Path) -> None:
        """Open the folder.

        Raises:
            EncoderUnavailable: it cannot be opened.
        """
        try:
            self.digest = digest_of(folder)
            settings = json.loads((folder / "preprocessor_config.json").read_text(encoding="utf-8"))
            self.size = _side(settings.get("size"), 224)
            self.crop = _side(settings.get("crop_size"), self.size)
            self.resample = Image.Resampling(settings.get("resample", Image.Resampling.BICUBIC))
            self.mean = np.asarray(settings.get("image_mean", _IMAGENET_MEAN), np.float32)
            self.std = np.asarray(settings.get("image_std", _IMAGENET_STD), np.float32)
            with quiet():
                opener: Any = AutoModel
                model = opener.from_pretrained(
                    folder, dtype=torch.float32, local_files_only=True, use_safetensors=True
                )
            self.model = model.eval()
        except LIBRARY_ERRORS as error:
            msg = f"The encoder “{folder.name}” cannot be opened: {error}"
            raise EncoderUnavailable(msg) from error

    def features(self, pictures: Sequence[bytes]) -> list[Vector]:
        """Return a vector of length 1 for each PNG; of videos that is their contact sheet.

        Raises:
            OSError, ValueError: a picture cannot be read.
        """
        found: list[Vector] = []
        for first in range(0, len(pictures), BATCH):
            batch = np.stack([self._input(data) for data in pictures[first : first + BATCH]])
            with torch.inference_mode():
                rows = self._pooled(torch.from_numpy(batch)).double().flatten(1).numpy()
            found += [row / max(float(np.linalg.norm(row)), 1e-12) for row in rows]
        return found

    def _input(self, data: bytes) -> npt.NDArray[np.float32]:
        """Return a picture as (3, height, width): its shorter side resized, its middle cut out."""
        with Image.open(io.BytesIO(data), formats=["PNG"]) as opened:
            picture = opened.convert("RGB")
        scale = self.size / min(picture.size)
        width, height = (max(self.crop, round(side * scale)) for side in picture.size)
        picture = picture.resize((width, height), self.resample)
        left, top = (width - self.crop) // 2, (height - self.crop) // 2
        picture = picture.crop((left, top, left + self.crop, top + self.crop))
        values = (np.asarray(picture, np.float32) / np.float32(255) - self.mean) / self.std
        return np.ascontiguousarray(values.transpose(2, 0, 1))

    def _pooled(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return one vector for each picture; models with text have a call of their own."""
        if hasattr(self.model, "get_image_features"):
            output = self.model.get_image_features(pixel_values=pixels)
        else:
            output = self.model(pixel_values=pixels)
        if isinstance(output, torch.Tensor):
            return output
        pooled: torch.Tensor | None = getattr(output, "pooler_output", None)
        if pooled is not None:
            return pooled
        states: torch.Tensor = output.last_hidden_state
        return states.flatten(2).mean(2) if states.ndim == 4 else states[:, 0]


def digest_of(folder: Path) -> str:
    """Return the sha256 of an encoder's files, 64 hex digits.

    Raises:
        OSError: one is missing.
    """
    digest = hashlib.sha256()
    for name in ENCODER_FILES:
        with (folder / name).open("rb") as handle:
            digest.update(hashlib.file_digest(handle, "sha256").digest())
    return digest.hexdigest()


def _side(size: Any, default: int) -> int:  # noqa: ANN401 - JSON
    """Return the side of a size as preprocessors write it: a number, or a table."""
    if isinstance(size, Mapping):
        size = size.get("shortest_edge") or size.get("height") or default
    return int(size or default)
