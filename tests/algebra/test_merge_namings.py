"""Merges and comparisons of files that name the modules of a base model differently."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytest

from lorary.algebra.comparing import compare
from lorary.algebra.errors import AlgebraError
from lorary.algebra.files import WeightFile
from lorary.algebra.merging.merge import MergeSettings, merge
from lorary.algebra.naming.relations import FamilyNames, Piece, names_of
from lorary.algebra.naming.targets import namings_of
from tests.builders.factors import Pair, distance, updates, write_pairs

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

FAMILIES = (
    "sd1", "sdxl", "sd35_medium", "flux1", "chroma", "hunyuan_video", "qwen_image", "z_image",
    "lumina2", "wan_1_3b", "mochi", "auraflow",
)  # fmt: skip
WIDTH = 16
PEFT = (".lora_A.weight", ".lora_B.weight")
KOHYA = (".lora_down.weight", ".lora_up.weight")

Updates = dict[str, np.ndarray[Any, Any]]


class Chosen(NamedTuple):
    """Modules of a family in kohya's naming: fused, with swapped halves, and plain ones."""

    names: FamilyNames
    kohya: Mapping[str, tuple[Piece, ...]]

    @classmethod
    def of(cls, family: str) -> Chosen:
        names = names_of(family)
        modules = names.namings[namings_of(names, "kohya")[0]]
        fitting = {
            path: pieces
            for path, pieces in modules.items()
            if ":" not in path and len(names.shape(path) or ()) < 3
        }
        kinds: dict[tuple[int, int], str] = {}
        for path, pieces in fitting.items():
            kinds.setdefault((len({one.module for one in pieces}), pieces[0].parts), path)
        return cls(names, {path: fitting[path] for path in kinds.values()})

    def rows(self, piece: Piece) -> int:
        """Rows of a piece in a model of another width."""
        if self.names.is_square(piece):
            return WIDTH
        known = self.names.rows(piece)
        others = [self.names.rows(one) for own in self.kohya.values() for one in own]
        least = min(count for count in others if count) if known else 1
        return WIDTH * max(1, round((known or 1) / least))

    def hub(self) -> dict[str, list[Piece]]:
        """Modules of diffusers with their pieces in order."""
        found: dict[str, set[Piece]] = {}
        for pieces in self.kohya.values():
            for piece in pieces:
                found.setdefault(piece.module, set()).add(piece)
        return {module: sorted(pieces) for module, pieces in found.items()}

    def kohya_name(self, path: str) -> str:
        return f"lora_unet_{path.replace('.', '_')}"

    def as_kohya(self, parts: Mapping[Piece, np.ndarray[Any, Any]]) -> Updates:
        """The updates of kohya's modules that have the updates of pieces."""
        return {
            self.kohya_name(path): np.concatenate([parts[one] for one in pieces])
            for path, pieces in self.kohya.items()
        }

    def pieces_of(self, found: Updates, prefix: str) -> dict[Piece, np.ndarray[Any, Any]]:
        """The updates of pieces in those of diffusers' modules."""
        done = {}
        for module, pieces in self.hub().items():
            begin = 0
            for piece in pieces:
                done[piece] = found[f"{prefix}{module}"][begin : begin + self.rows(piece)]
                begin += self.rows(piece)
        return done


def pairs(names: Mapping[str, int], *, rank: int, alpha: float | None, seed: int) -> Iterator[Pair]:
    """A random pair for each name with its rows."""
    random = np.random.default_rng(seed)
    for name, rows in names.items():
        down, up = random.standard_normal((rank, WIDTH)), random.standard_normal((rows, rank))
        yield Pair(name, down, up, alpha)


@pytest.fixture(params=FAMILIES)
def mixed(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Chosen, list[Path]]:
    """Files of one family in kohya's, diffusers' and PEFT's naming, of other ranks and alphas."""
    chosen = Chosen.of(request.param)
    names = chosen.names
    fused = {
        chosen.kohya_name(path): sum(chosen.rows(piece) for piece in pieces)
        for path, pieces in chosen.kohya.items()
    }
    split = {
        f"{names.denoiser}.{module}": sum(map(chosen.rows, pieces))
        for module, pieces in chosen.hub().items()
    }
    fields = {f"{names.denoiser}.r": 5, f"{names.denoiser}.lora_alpha": 3}
    peft = {
        name.replace(names.denoiser, "base_model.model", 1): rows for name, rows in split.items()
    }
    return chosen, [
        write_pairs(
            tmp_path / "kohya.safetensors",
            pairs(fused, rank=3, alpha=1.5, seed=1),
        ),
        write_pairs(
            tmp_path / "diffusers.safetensors",
            pairs(split, rank=5, alpha=None, seed=2),
            suffixes=PEFT,
            metadata={"lora_adapter_metadata": json.dumps(fields)},
        ),
        write_pairs(
            tmp_path / "peft.safetensors",
            pairs(peft, rank=2, alpha=None, seed=3),
            suffixes=PEFT,
        ),
    ]  # fmt: skip


def expected(chosen: Chosen, paths: list[Path]) -> Updates:
    """0.8 · kohya − 0.5 · diffusers + 0.3 · PEFT under kohya's names, by the definition alone."""
    total = {name: 0.8 * update for name, update in updates(paths[0]).items()}
    prefix = f"{chosen.names.denoiser}."
    others = (
        (-0.5, updates(paths[1], 3 / 5), prefix),
        (0.3, updates(paths[2]), "base_model.model."),
    )
    for weight, found, start in others:
        for name, update in chosen.as_kohya(chosen.pieces_of(found, start)).items():
            total[name] = total[name] + weight * update
    return total


def test_the_sum_of_mixed_files_is_exact(mixed: tuple[Chosen, list[Path]], tmp_path: Path) -> None:
    chosen, paths = mixed
    out = tmp_path / "out.safetensors"
    wanted = expected(chosen, paths)
    settings = MergeSettings(family=chosen.names.family.id)
    result = merge(paths, out, strengths=(0.8, -0.5, 0.3), settings=settings)
    found = updates(out)
    assert found.keys() == wanted.keys()
    assert max(distance(found[name], update) for name, update in wanted.items()) <= 1e-6
    assert result.max_relative_error == 0
    assert not list(tmp_path.glob(".lorary-*"))

    # The naming of the first file is that of the result, unless another one is wanted.
    order = (1, 2, 0)
    paths, strengths = [paths[one] for one in order], (-0.5, 0.3, 0.8)
    for to, prefix in ((None, f"{chosen.names.denoiser}."), ("peft", "base_model.model.")):
        settings = MergeSettings(family=chosen.names.family.id, to=to)
        merge(paths, out, strengths=strengths, settings=settings)
        named = chosen.as_kohya(chosen.pieces_of(updates(out), prefix))
        assert max(distance(named[name], update) for name, update in wanted.items()) <= 1e-6


def test_files_of_other_namings_are_compared(
    mixed: tuple[Chosen, list[Path]], tmp_path: Path
) -> None:
    chosen, (kohya, diffusers, _) = mixed
    family = chosen.names.family.id
    mine = updates(kohya)
    prefix = f"{chosen.names.denoiser}."
    theirs = chosen.as_kohya(chosen.pieces_of(updates(diffusers, 3 / 5), prefix))
    product = sum(float((mine[name] * theirs[name]).sum()) for name in mine)
    sizes = [sum(float((one**2).sum()) for one in all_.values()) for all_ in (mine, theirs)]
    found = compare(kohya, diffusers, family=family)
    assert found.energy == pytest.approx(sizes)
    assert found.cosine == pytest.approx(product / np.sqrt(sizes[0] * sizes[1]), abs=1e-6)
    assert found.metadata["lora_adapter_metadata"][0] is None
    assert "lorary.operation" not in found.metadata


def test_one_file_in_the_wanted_naming_keeps_its_factors(
    mixed: tuple[Chosen, list[Path]], tmp_path: Path
) -> None:
    chosen, paths = mixed
    for path, to in zip(paths, ("kohya", "diffusers", "peft"), strict=True):
        out = tmp_path / "out.safetensors"
        for wanted in (None, to):
            settings = MergeSettings(family=chosen.names.family.id, to=wanted)
            merge([path], out, strengths=(1,), settings=settings)
            with WeightFile(path) as before, WeightFile(out) as after:
                assert set(before.tensors) == set(after.tensors)
                assert all(before.raw(name) == after.raw(name) for name in before.tensors)


def test_the_family_that_one_file_shows_counts_for_all(tmp_path: Path) -> None:
    """The text encoder has another name in kohya's files of SDXL than in those of SD 1."""
    block = "down_blocks.1.attentions.0.transformer_blocks.1.attn2.to_k"
    encoder = "text_model.encoder.layers.0.self_attn.q_proj"
    kohya = "lora_unet_input_blocks_4_1_transformer_blocks_1_attn2_to_k"
    unet = write_pairs(
        tmp_path / "unet.safetensors",
        [Pair(kohya, np.ones((2, 2048)), np.ones((640, 2)), 1.0)],
    )
    text = write_pairs(
        tmp_path / "text.safetensors",
        [Pair(f"text_encoder.{encoder}", np.ones((2, 768)), np.ones((768, 2)))],
        suffixes=PEFT,
    )
    out = tmp_path / "out.safetensors"
    merge([unet, text], out, strengths=(1, 1), settings=MergeSettings(to="kohya"))
    assert set(updates(out)) == {kohya, f"lora_te1_{encoder.replace('.', '_')}"}
    merge([unet, text], out, strengths=(1, 1), settings=MergeSettings(to="diffusers"))
    assert set(updates(out)) == {f"unet.{block}", f"text_encoder.{encoder}"}


def test_split_and_fused_files_of_one_tool_are_merged(tmp_path: Path) -> None:
    """ComfyUI reads Z-Image's projections split and fused, so both are files of one naming."""
    block = "diffusion_model.layers.0.attention"
    fused = write_pairs(
        tmp_path / "fused.safetensors", pairs({f"{block}.qkv": 48}, rank=2, alpha=1.0, seed=1)
    )
    names = [f"{block}.{one}" for one in ("to_q", "to_k", "to_v")]
    split = write_pairs(
        tmp_path / "split.safetensors", pairs(dict.fromkeys(names, 16), rank=3, alpha=1.0, seed=2)
    )
    out = tmp_path / "out.safetensors"
    settings = MergeSettings(family="z_image")
    merge([fused, split], out, strengths=(1, 2), settings=settings)
    found, parts = updates(out), updates(split)
    whole = updates(fused)[f"{block}.qkv"]
    for number, name in enumerate(names):
        total = whole[16 * number : 16 * number + 16] + 2 * parts[name]
        assert distance(found[name], total) <= 1e-6


def test_what_the_naming_of_the_first_file_cannot_hold_is_refused(tmp_path: Path) -> None:
    name = "lora_unet_double_blocks_0_img_attn_qkv"
    sides = {"w1_a": (48, 2), "w1_b": (2, 16), "w2_a": (48, 2), "w2_b": (2, 16)}
    loha = {f"{name}.hada_{one}": np.ones(shape) for one, shape in sides.items()}
    one = write_pairs(
        tmp_path / "a.safetensors",
        [Pair("transformer.transformer_blocks.0.attn.to_q", np.ones((2, 16)), np.ones((16, 2)))],
        suffixes=PEFT,
    )
    other = write_pairs(tmp_path / "b.safetensors", [], more=loha)
    unknown = write_pairs(
        tmp_path / "c.safetensors",
        [Pair("lora_unet_transformer_blocks_0_attn_to_q", np.ones((2, 16)), np.ones((16, 2)), 1.0),
         Pair("lora_unet_other_layer", np.ones((2, 16)), np.ones((16, 2)), 1.0)],
    )  # fmt: skip
    for path, words in ((other, r"b\.safetensors .* diffusers: .* LoHa"), (unknown, "other_layer")):
        settings = MergeSettings(family="flux1", max_rank=4)
        with pytest.raises(AlgebraError, match=words) as caught:
            merge([one, path], tmp_path / "out", strengths=(1, 1), settings=settings)
        assert caught.value.code == "not_convertible"
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.glob(".lorary-*"))
