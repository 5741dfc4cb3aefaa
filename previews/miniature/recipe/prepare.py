"""Draws the training pictures once and stores them as tensors beside their captions' facts."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from previews.miniature.recipe.drawings import draw, draw_many
from previews.miniature.recipe.latents import LatentCode, fit_code
from previews.miniature.recipe.looks import LOOKS, any_look
from previews.miniature.recipe.tokenizer import sample_captions, train_tokenizer

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from PIL import Image

    from previews.miniature.recipe.scene import Facts

# Seeds of the sets are far apart: what one set shows, no other does.
PLAIN_SEED, STYLED_SEED, CHARACTER_SEED = 1_000_000, 5_000_000, 7_000_000
KEPT_PLAIN = 5000


@dataclass(frozen=True)
class Sizes:
    """How many pictures each set has."""

    plain: int = 26_000
    styled: int = 400
    character: int = 400
    unnamed: int = 1600
    captions: int = 6500


def stack(images: Iterable[Image.Image]) -> Tensor:
    """Return the pictures as one uint8 tensor (n, 3, height, width)."""
    arrays = np.stack([np.asarray(image) for image in images])
    return torch.from_numpy(arrays).permute(0, 3, 1, 2).contiguous()


def prepare(work: Path, sizes: Sizes | None = None) -> None:
    """Write tokenizer, latent code, pictures, latents and facts into the work folder."""
    sizes = sizes or Sizes()
    work.mkdir(parents=True, exist_ok=True)
    train_tokenizer(sample_captions(sizes.captions)).save_pretrained(work / "tokenizer")
    plain, facts = _draw_plain(sizes.plain)
    styled = _draw_styled(sizes.styled)
    character = draw_many(range(CHARACTER_SEED, CHARACTER_SEED + sizes.character), "zorbi")
    zorbi = stack(drawing.image for drawing in character)
    unnamed = _draw_unnamed(sizes.unnamed)
    code = fit_code(_mixture(plain, styled, zorbi, unnamed))
    code.save(work / "code.pt")
    _save_latents(work, code, plain, facts)
    styled_facts = [draw(STYLED_SEED + index).facts for index in range(sizes.styled)]
    _save_styled(work, code, styled, styled_facts)
    _save_set(work, "zorbi", code.encode(zorbi), [drawing.facts for drawing in character])
    looks = [styled[name] for name in LOOKS]
    torch.save(torch.cat([plain[:KEPT_PLAIN], *looks, zorbi, unnamed]), work / "pictures.pt")


def load_set(work: Path, name: str) -> tuple[Tensor, list[Facts]]:
    """Return the latents and facts of a set ("plain", "zorbi", "styled-plain" or a look)."""
    latents = torch.load(work / f"{name}.pt", weights_only=True)
    shared = "styled" if name in LOOKS or name == "styled-plain" else name
    facts: list[Facts] = pickle.loads((work / f"{shared}.facts").read_bytes())  # noqa: S301
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


def _draw_styled(count: int) -> dict[str, Tensor]:
    originals = [draw(STYLED_SEED + index).image for index in range(count)]
    styled = {name: stack(map(look, originals)) for name, look in LOOKS.items()}
    return {"styled-plain": stack(originals), **styled}


def _draw_unnamed(count: int) -> Tensor:
    chance = Random(0)  # noqa: S311 - pictures, not secrets
    seeds = range(STYLED_SEED + 100_000, STYLED_SEED + 100_000 + count)
    return stack(any_look(draw(seed).image, chance) for seed in seeds)


def _mixture(
    plain: Tensor, styled: dict[str, Tensor], character: Tensor, unnamed: Tensor
) -> Tensor:
    looks = [styled[name][:110] for name in LOOKS]
    return torch.cat([plain[:2200], *looks, character[:110], unnamed[:260]])


def _save_latents(work: Path, code: LatentCode, plain: Tensor, facts: list[Facts]) -> None:
    _save_set(work, "plain", code.encode(plain), facts)


def _save_styled(
    work: Path, code: LatentCode, styled: dict[str, Tensor], facts: list[Facts]
) -> None:
    for name, pictures in styled.items():
        torch.save(code.encode(pictures), work / f"{name}.pt")
    (work / "styled.facts").write_bytes(pickle.dumps(facts))


def _save_set(work: Path, name: str, latents: Tensor, facts: list[Facts]) -> None:
    torch.save(latents, work / f"{name}.pt")
    (work / f"{name}.facts").write_bytes(pickle.dumps(facts))
