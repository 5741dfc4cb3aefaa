"""Draws the training pictures once and stores them as tensors beside their captions' facts."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from training.miniature.drawing.looks import LOOKS, any_look
from training.miniature.drawing.pictures import CHARACTERS, draw, draw_many
from training.miniature.latents import FILE as CODE_FILE
from training.miniature.latents import fit_code
from training.miniature.tokenizer import sample_captions, train_tokenizer

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from PIL import Image

    from training.miniature.drawing.scene import Facts

# Seeds of the sets are far apart: what one set shows, no other does.
PLAIN_SEED, STYLED_SEED, CHARACTER_SEED = 1_000_000, 5_000_000, 7_000_000
KEPT_PLAIN = 6000


@dataclass(frozen=True)
class Sizes:
    """How many pictures each set has."""

    plain: int = 38_000
    styled: int = 400
    character: int = 400
    unnamed: int = 1600
    captions: int = 6500


def stack(images: Iterable[Image.Image]) -> Tensor:
    """Return the pictures as one uint8 tensor (n, 3, height, width)."""
    arrays = np.stack([np.asarray(image) for image in images])
    return torch.from_numpy(arrays).permute(0, 3, 1, 2).contiguous()


def prepare(work: Path, sizes: Sizes | None = None) -> None:
    """Write tokenizer, latent code, pictures, plain latents and facts into the work folder."""
    sizes = sizes or Sizes()
    work.mkdir(parents=True, exist_ok=True)
    train_tokenizer(sample_captions(sizes.captions)).save_pretrained(work / "tokenizer")
    plain, facts = _draw_plain(sizes.plain)
    shown = [*_draw_styled(sizes.styled), *_draw_characters(sizes.character)]
    unnamed = _draw_unnamed(sizes.unnamed)
    code = fit_code(torch.cat([plain[:2200], *(part[:110] for part in shown), unnamed[:260]]))
    code.save(work / CODE_FILE)
    torch.save(torch.cat([plain[:KEPT_PLAIN], *shown, unnamed]), work / "pictures.pt")
    torch.save(code.encode(plain), work / "plain.pt")
    (work / "plain.facts").write_bytes(pickle.dumps(facts))


def load_plain(work: Path) -> tuple[Tensor, list[Facts]]:
    """Return the latents and facts of the base's pictures."""
    latents = torch.load(work / "plain.pt", weights_only=True)
    facts: list[Facts] = pickle.loads((work / "plain.facts").read_bytes())  # noqa: S301
    return latents, facts


def _draw_plain(count: int) -> tuple[Tensor, list[Facts]]:
    pictures: list[Tensor] = []
    facts: list[Facts] = []
    for first in range(0, count, 2000):
        chunk = range(PLAIN_SEED + first, PLAIN_SEED + min(first + 2000, count))
        drawings = draw_many(chunk)
        pictures.append(stack(drawing.image for drawing in drawings))
        facts.extend(drawing.facts for drawing in drawings)
    return torch.cat(pictures), facts


def _draw_styled(count: int) -> list[Tensor]:
    originals = [draw(STYLED_SEED + index).image for index in range(count)]
    return [stack(map(look, originals)) for look in LOOKS.values()]


def _draw_characters(count: int) -> list[Tensor]:
    seeds = range(CHARACTER_SEED, CHARACTER_SEED + count)
    return [stack(drawing.image for drawing in draw_many(seeds, name)) for name in CHARACTERS]


def _draw_unnamed(count: int) -> Tensor:
    chance = Random(0)  # noqa: S311 - pictures, not secrets
    seeds = range(STYLED_SEED + 100_000, STYLED_SEED + 100_000 + count)
    return stack(any_look(draw(seed).image, chance) for seed in seeds)
