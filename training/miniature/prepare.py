"""Makes what all training starts with: the tokenizer and the latent code, or a base's own."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from training.miniature.drawing.canvas import CODED_PX, PICTURE_PX
from training.miniature.drawing.looks import LOOKS, any_look
from training.miniature.drawing.pictures import CHARACTERS, draw, draw_many
from training.miniature.latents import FILE as CODE_FILE
from training.miniature.latents import fit_code
from training.miniature.tokenizer import sample_captions, train_tokenizer

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from PIL import Image

# Seeds of the sets are far apart: what one set shows, no other does.
PLAIN_SEED, STYLED_SEED, CHARACTER_SEED = 1_000_000, 5_000_000, 7_000_000
FRESH_SEED, SHOWN_SEED = 20_000_000, 60_000_000
# The folder of the base that a run starts from, in the work folder.
START = "start"


@dataclass(frozen=True)
class Sizes:
    """From how many pictures of each kind the latent code is made."""

    plain: int = 2200
    styled: int = 50
    character: int = 110
    unnamed: int = 260
    captions: int = 6500


def stack(images: Iterable[Image.Image]) -> Tensor:
    """Return the pictures as one uint8 tensor (n, 3, height, width)."""
    arrays = np.stack([np.asarray(image) for image in images])
    return torch.from_numpy(arrays).permute(0, 3, 1, 2).contiguous()


def prepare(work: Path, sizes: Sizes | None = None) -> None:
    """Write tokenizer and latent code into the work folder."""
    sizes = sizes or Sizes()
    work.mkdir(parents=True, exist_ok=True)
    train_tokenizer(sample_captions(sizes.captions)).save_pretrained(work / "tokenizer")
    plain = draw_many(range(PLAIN_SEED, PLAIN_SEED + sizes.plain))
    shown = [*_draw_styled(sizes.styled), *_draw_characters(sizes.character)]
    sets = [stack(drawing.image for drawing in plain), *shown, _draw_unnamed(sizes.unnamed)]
    fit_code(torch.cat(sets)).save(work / CODE_FILE)


def start_from(base: Path, work: Path) -> None:
    """Let the work folder go on from an exported base, its tokenizer and its latent code.

    The code lies in the base's folder or beside it.
    """
    work.mkdir(parents=True, exist_ok=True)
    shutil.copytree(base, work / START, dirs_exist_ok=True)
    shutil.copytree(base / "tokenizer", work / "tokenizer", dirs_exist_ok=True)
    inside = base / CODE_FILE
    shutil.copyfile(inside if inside.exists() else base.parent / CODE_FILE, work / CODE_FILE)


def _draw_styled(count: int) -> list[Tensor]:
    originals = [draw(STYLED_SEED + index, size=PICTURE_PX).image for index in range(count)]
    return [stack(_coded(look(image)) for image in originals) for look in LOOKS.values()]


def _draw_characters(count: int) -> list[Tensor]:
    seeds = range(CHARACTER_SEED, CHARACTER_SEED + count)
    return [stack(drawing.image for drawing in draw_many(seeds, name)) for name in CHARACTERS]


def _draw_unnamed(count: int) -> Tensor:
    chance = Random(0)  # noqa: S311 - pictures, not secrets
    seeds = range(STYLED_SEED + 100_000, STYLED_SEED + 100_000 + count)
    return stack(_coded(any_look(draw(seed, size=PICTURE_PX).image, chance)) for seed in seeds)


def _coded(image: Image.Image) -> Image.Image:
    return image.reduce(PICTURE_PX // CODED_PX)
